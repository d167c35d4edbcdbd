//! Answers the links of one namespace: what to write is decided by [`Answers`], and on record before it is written.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::guards::News;
use crate::agent::clock;
use crate::domain::answer::{Action, Answers, Rules};
use crate::domain::error::with_sources;
use crate::domain::link::{Ifindex, Link};
use crate::domain::mtu::LinkMtu;
use crate::kernel::link_events::{Because, LinkEvents, LinkSocket, Told};
use crate::kernel::links::Linked;
use crate::kernel::nsid::Nsid;
use crate::publish::metrics::{Metrics, TuneResult, Tuned};
use crate::publish::tune::{Ledger, NetnsId, RecordError, RecordedLink};

/// What all guards have in common.
pub(super) struct Shared {
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) news: News,
    /// Nothing can be recorded, and that is said.
    pub(super) is_unrecorded: Cell<bool>,
}

/// The guard of one namespace.
pub(super) struct Guard {
    netns: NetnsId,
    cookie: Option<u64>,
    called: String,
    events: LinkEvents,
    rules: watch::Receiver<Rules>,
    answers: Answers<Nsid>,
    /// Numbers of the last writes.
    sent: BTreeMap<Ifindex, u32>,
    /// Number of the request for all links, until that is answered.
    dump: Option<u32>,
    shared: Rc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared.news.contested().retain(|(netns, link), _| *netns != self.netns || link.is_none());
    }
}

impl Guard {
    pub(super) fn new(
        netns: NetnsId,
        called: String,
        socket: LinkSocket,
        mut rules: watch::Receiver<Rules>,
        shared: Rc<Shared>,
    ) -> io::Result<Self> {
        let answers = Answers::new(rules.borrow_and_update().clone());
        let cookie = socket.netns_cookie()?;
        let events = LinkEvents::listen(socket)?;
        Ok(Self { netns, cookie, called, events, rules, answers, sent: BTreeMap::new(), dump: None, shared })
    }

    /// Ends when nobody has rules for it any more.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.keep().await {
            warn!(netns = self.called, %error, "new links are not answered until the next survey");
        }
    }

    async fn keep(&mut self) -> io::Result<()> {
        // After the socket has joined: what comes in between is told twice, and nothing is missed.
        self.dump = Some(self.events.ask_for_all()?);
        loop {
            tokio::select! {
                changed = self.rules.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let rules = self.rules.borrow_and_update().clone();
                    self.answers.set_rules(rules);
                }
                told = self.events.next() => for told in told? {
                    self.hear(told)?;
                },
            }
            let heard = clock();
            // In the middle of all links, the ports of a bridge may still be to come.
            if self.dump.is_none() {
                self.answer(heard)?;
            }
        }
    }

    fn hear(&mut self, told: Told) -> io::Result<()> {
        match told {
            Told::Link { link, because } => self.answers.told(link, because == Because::Question),
            Told::Gone(ifindex) => {
                self.answers.gone(ifindex);
                self.sent.remove(&ifindex);
                self.shared.news.contested().remove(&(self.netns, Some(ifindex)));
            }
            Told::Done { sequence } => self.written(sequence),
            Told::Refused { sequence, error } if self.dump == Some(sequence) => return Err(error),
            Told::Refused { sequence, error } => self.refused(sequence, &error),
            Told::Complete => {
                self.dump = None;
                self.answers.complete();
            }
            Told::Lost => {
                debug!(netns = self.called, "the kernel dropped events; all links are read again");
                self.answers.begin_anew();
                if self.dump.is_none() {
                    self.dump = Some(self.events.ask_for_all()?);
                }
            }
        }
        Ok(())
    }

    /// The link to which this was the last write.
    fn take_sent(&mut self, sequence: u32) -> Option<Ifindex> {
        self.sent.extract_if(.., |_, sent| *sent == sequence).map(|(ifindex, _)| ifindex).next()
    }

    fn written(&mut self, sequence: u32) {
        let sent = self.take_sent(sequence);
        if let Some(link) = sent.and_then(|ifindex| self.answers.written(ifindex)) {
            self.shared.metrics.count_tune_write(Tuned::Link, TuneResult::Written);
            info!(netns = self.called, link = link.name, mtu = link.mtu.get(), "new link has its MTU");
        }
    }

    fn refused(&mut self, sequence: u32, error: &io::Error) {
        let Some(ifindex) = self.take_sent(sequence) else { return };
        // One that has gone meanwhile is told as that, before or after.
        if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) {
            return;
        }
        if let Some(link) = self.answers.refused(ifindex) {
            self.shared.metrics.count_tune_write(Tuned::Link, TuneResult::Refused);
            warn!(netns = self.called, link = link.name, %error, "the kernel refused a link's MTU; it is left alone");
        }
    }

    fn answer(&mut self, heard: Instant) -> io::Result<()> {
        let mut writes = Vec::new();
        for action in self.answers.poll(heard) {
            match action {
                Action::Ask(ifindex) => self.events.ask_for(ifindex)?,
                Action::Write { link, to } => writes.push((self.recorded(&link, to), to)),
                Action::GiveBack { link, to } => {
                    let written = self.recorded(&link, link.mtu);
                    writes.push((RecordedLink { was: to, ..written }, to));
                }
                Action::Contested { link, until } => {
                    self.shared.metrics.count_tune_write(Tuned::Link, TuneResult::Contested);
                    self.shared.news.contested().insert((self.netns, Some(link.ifindex)), until);
                    let (link, mtu) = (link.name, link.mtu.get());
                    warn!(
                        netns = self.called,
                        link, mtu, "a link is set back again and again; it is left alone for a while"
                    );
                }
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        debug!(netns = self.called, links = writes.len(), "links are to be written");
        let written = self.write(&writes, heard)?;
        let is_news = !self.shared.is_unrecorded.replace(written.is_err());
        if let Err(error) = written {
            for (link, _) in &writes {
                self.answers.put_off(link.ifindex);
            }
            if is_news {
                let error = with_sources(&error);
                warn!(error, "new links are not lowered, for that cannot be recorded");
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        writes: &[(RecordedLink, LinkMtu)],
        heard: Instant,
    ) -> io::Result<Result<(), RecordError>> {
        let shared = Rc::clone(&self.shared);
        let record = || {
            let session = shared.ledger.session()?;
            session.add_links(writes.iter().map(|(link, _)| link.clone()))?;
            Ok(session)
        };
        let _session = match record() {
            Ok(session) => session,
            Err(error) => return Ok(Err(error)),
        };
        for (link, to) in writes {
            let sequence = self.events.set_link_mtu(link.ifindex, *to)?;
            self.sent.insert(link.ifindex, sequence);
            self.shared.metrics.observe_tune_answer(clock().saturating_duration_since(heard));
        }
        Ok(Ok(()))
    }

    fn recorded(&self, link: &Link<Linked>, to: LinkMtu) -> RecordedLink {
        let home = (self.netns, self.called.clone());
        let by_hand = RecordedLink::of(home, link, to, Option::is_none);
        RecordedLink { cookie: self.cookie, is_live: true, ..by_hand }
    }
}
