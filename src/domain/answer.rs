//! What to write when a link is told: the answer to each new bridge and veth of one namespace, before its first packet.
//!
//! Only ever down to the cap, never twice for the same cause, and not where it is in doubt whose a link is: that is
//! left to the next plan, which knows all namespaces.
//!
//! ```text
//!  told, too large ──► write ──┬──► carried out ──► raised by that: given back
//!        ▲                     └──► refused: left alone
//!        └── set back (again and again: contested, left alone for a while)
//! ```
//!
//! Somebody may lower a link after it was told and before it is written, and then the write raises it. What happens is
//! told in order, and that a write was carried out, too: so this is seen, and undone.
//!
//! A bridge follows the smallest of its ports by itself until somebody sets it, and one without ports carries nothing.
//! So it is asked for once its ports are fine, and written only if it has not followed them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::dockers;
use super::link::{Ifindex, Link, LinkKind};
use super::mtu::LinkMtu;
use super::plan::loses_ipv6;
use super::strife::Strife;

/// Whose namespace it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// A plain docker host: only what docker made.
    Host,
    /// A pod or container that was opted in: all but its own ways out.
    OptedIn,
    /// One nested in those: all.
    Nested,
}

/// What may be written in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whose it is.
    pub ground: Ground,
    /// What no bridge or veth in there may exceed: what gets out of the namespace.
    pub cap: LinkMtu,
    /// What its own ways out may not exceed: what is beyond them.
    pub outward: LinkMtu,
    /// Links by which its own packets leave.
    pub ways_out: BTreeSet<Ifindex>,
    /// Links that a whole look found to be in scope.
    pub in_scope: BTreeSet<Ifindex>,
    /// Ends of pairs whose other end stays larger, since it cannot be reached: lower, they would drop its packets. And
    /// links to an uplink besides, beyond which more gets out than the cap: what they may not exceed, a plan knows.
    pub apart: BTreeSet<Ifindex>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<N> {
    /// Ask the kernel for a link, and tell it here with [`Answers::told`] as the answer.
    Ask(Ifindex),
    /// Lower a link that is as told here.
    Write {
        /// The link.
        link: Link<Option<N>>,
        /// What it gets.
        to: LinkMtu,
    },
    /// Somebody had lowered a link before it was written: it is to have that again.
    GiveBack {
        /// The link, as it was written.
        link: Link<Option<N>>,
        /// What somebody gave it.
        to: LinkMtu,
    },
    /// Somebody sets it back again and again: it is left alone for a while. Said once.
    Contested {
        /// The link.
        link: Link<Option<N>>,
        /// What is told later than this is answered again.
        until: Instant,
    },
}

/// All that is known of the links of one namespace. `N` names other namespaces.
#[derive(Clone, Debug)]
pub struct Answers<N> {
    rules: Rules,
    links: BTreeMap<Ifindex, Known<N>>,
}

#[derive(Clone, Debug)]
struct Known<N> {
    link: Link<Option<N>>,
    /// Written, and it is not told yet what came of that.
    pending: Option<LinkMtu>,
    /// The last write raised it from this.
    raised_from: Option<LinkMtu>,
    /// It was too large when it was told, and not only since there are other rules.
    is_set_back: bool,
    strife: Strife,
    question: Question,
    is_refused: bool,
    is_told_of: bool,
}

/// Whether it was asked for since it changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Open,
    Asked,
    Answered,
}

impl<N: Clone> Answers<N> {
    /// Nothing is known yet: all links of the namespace are to be told.
    pub fn new(rules: Rules) -> Self {
        Self { rules, links: BTreeMap::new() }
    }

    /// The rules are these from now on.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// All links will be told anew, since changes were lost.
    pub fn begin_anew(&mut self) {
        for known in self.links.values_mut() {
            (known.is_told_of, known.pending, known.question) = (false, None, Question::Open);
        }
    }

    /// All links have been told anew.
    pub fn complete(&mut self) {
        self.links.retain(|_, known| known.is_told_of);
    }

    /// A link is as told; `is_asked_for`: that was asked, and so it is not in the middle of being made.
    pub fn told(&mut self, link: Link<Option<N>>, is_asked_for: bool) {
        let question = if is_asked_for { Question::Answered } else { Question::Open };
        let fresh = Known {
            link: link.clone(),
            pending: None,
            raised_from: None,
            is_set_back: false,
            strife: Strife::default(),
            question,
            is_refused: false,
            is_told_of: true,
        };
        let is_set_back = link.mtu > self.cap_of(link.ifindex);
        let known = self.links.entry(link.ifindex).or_insert(fresh);
        (known.is_told_of, known.question, known.is_set_back) = (true, question, is_set_back);
        let before = std::mem::replace(&mut known.link, link).mtu;
        let now = known.link.mtu;
        if now != before {
            known.raised_from = Some(before).filter(|before| *before < now && known.pending == Some(now));
        }
    }

    /// The last write to a link was carried out: what is told of it from here on came after that. Tells the link, if it is
    /// as it should be.
    pub fn written(&mut self, ifindex: Ifindex) -> Option<&Link<Option<N>>> {
        let known = self.links.get_mut(&ifindex)?;
        known.pending.take()?;
        known.raised_from.is_none().then_some(&known.link)
    }

    /// A link ended, or moved to another namespace.
    pub fn gone(&mut self, ifindex: Ifindex) {
        self.links.remove(&ifindex);
        // The next one with its index is another one.
        let Rules { in_scope, ways_out, apart, .. } = &mut self.rules;
        for known in [in_scope, ways_out, apart] {
            known.remove(&ifindex);
        }
    }

    /// The last write to a link was refused: it is left alone.
    pub fn refused(&mut self, ifindex: Ifindex) -> Option<&Link<Option<N>>> {
        let known = self.links.get_mut(&ifindex)?;
        (known.pending, known.is_refused) = (None, true);
        Some(&known.link)
    }

    /// A write was not made, and not for the link's sake: it is due when something is told or asked next.
    pub fn put_off(&mut self, ifindex: Ifindex) {
        if let Some(known) = self.links.get_mut(&ifindex) {
            known.pending = None;
            if known.is_set_back {
                known.strife.unwritten();
            }
        }
    }

    /// What is to be done now. What it says is taken to be done.
    pub fn poll(&mut self, now: Instant) -> Vec<Action<N>> {
        let mut actions: Vec<_> = self.links.values_mut().filter_map(Known::give_back).collect();
        let large: Vec<_> =
            self.links.iter().filter(|(_, known)| self.is_too_large(known)).map(|(at, _)| *at).collect();
        let (contested, large): (Vec<_>, Vec<_>) =
            large.into_iter().partition(|at| self.links[at].strife.is_on(now));
        let (bridges, others): (Vec<_>, Vec<_>) =
            large.into_iter().partition(|at| self.links[at].link.kind == LinkKind::Bridge);
        actions.extend(contested.iter().filter_map(|at| self.say_contested(*at, now)));
        for at in others {
            actions.extend(self.answer(at, now));
        }
        for at in bridges {
            let mut ports = self.links.values().filter(|port| port.link.master == Some(at)).peekable();
            let is_to_lower = |port: &Known<N>| self.is_too_large(port) && !port.strife.is_on(now);
            let has_ports = ports.peek().is_some();
            if has_ports && ports.all(|port| port.pending.is_none() && !is_to_lower(port)) {
                actions.extend(self.answer(at, now));
            }
        }
        actions
    }

    fn say_contested(&mut self, at: Ifindex, now: Instant) -> Option<Action<N>> {
        let Known { link, strife, .. } = self.links.get_mut(&at)?;
        let until = strife.until(now)?;
        strife.is_news(now).then(|| Action::Contested { link: link.clone(), until })
    }

    fn answer(&mut self, at: Ifindex, now: Instant) -> Option<Action<N>> {
        let to = self.cap_of(at);
        let known = self.links.get_mut(&at)?;
        // A veth that is told while it is made has no other end yet.
        let is_whole = if known.link.kind == LinkKind::Bridge {
            known.question == Question::Answered
        } else {
            known.link.linked.is_some()
        };
        if !is_whole {
            let is_new = known.question == Question::Open;
            known.question = if is_new { Question::Asked } else { known.question };
            return is_new.then_some(Action::Ask(at));
        }
        if known.is_set_back {
            known.strife.written(now);
        }
        known.pending = Some(to);
        Some(Action::Write { link: known.link.clone(), to })
    }

    fn is_too_large(&self, known: &Known<N>) -> bool {
        let Known { link, pending, is_refused, .. } = known;
        let cap = self.cap_of(link.ifindex);
        let is_large = link.mtu > cap && !loses_ipv6(link.mtu, cap);
        is_large && pending.is_none() && !is_refused && self.is_ours(link)
    }

    fn cap_of(&self, ifindex: Ifindex) -> LinkMtu {
        if self.rules.ways_out.contains(&ifindex) { self.rules.outward } else { self.rules.cap }
    }

    /// Whether the link is nested, as far as one namespace tells.
    fn is_ours(&self, link: &Link<Option<N>>) -> bool {
        let Rules { ground, ways_out, in_scope, apart, .. } = &self.rules;
        if !matches!(link.kind, LinkKind::Bridge | LinkKind::Veth) || apart.contains(&link.ifindex) {
            return false;
        }
        let is_known = in_scope.contains(&link.ifindex);
        match ground {
            Ground::Nested => true,
            Ground::Host | Ground::OptedIn if ways_out.contains(&link.ifindex) => false,
            Ground::Host => is_known || dockers::is_called_so(link),
            Ground::OptedIn => is_known || link.kind == LinkKind::Bridge || is_daemons(link),
        }
    }
}

impl<N: Clone> Known<N> {
    fn give_back(&mut self) -> Option<Action<N>> {
        let to = self.raised_from.filter(|_| self.pending.is_none() && !self.is_refused)?;
        self.pending = Some(to);
        Some(Action::GiveBack { link: self.link.clone(), to })
    }
}

/// A daemon makes both ends of a pair where it stands, and then moves one; a CNI's other end is elsewhere when it comes.
fn is_daemons<N>(veth: &Link<Option<N>>) -> bool {
    let is_elsewhere = veth.linked.as_ref().is_some_and(|linked| linked.netns.is_some());
    !is_elsewhere || dockers::is_veth(&veth.name)
}

#[cfg(test)]
mod tests;
