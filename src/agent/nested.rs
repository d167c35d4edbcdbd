//! Whether tuned namespaces carry full-size packets, probed from inside of them again and again.
//!
//! ```text
//!  look, paths, tuned ──► wanted ──► schedule ──► probe ──► known ──► survey
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tokio::time::{Instant, sleep_until};

use self::schedule::Schedule;
use crate::discovery::nested::{NestedNetns, NestedPath, NestedProbe, NestedTarget, targets};
use crate::discovery::path::Path;
use crate::discovery::survey::Look;
use crate::domain::mtu::LinkMtu;

mod schedule;

/// What was found is told so often at most: each time is a survey.
const TELL: Duration = Duration::from_secs(1);

/// What is known of tuned namespaces, and the task that finds it out.
pub(super) struct Nested {
    tuned: watch::Receiver<BTreeSet<u64>>,
    wanted: watch::Sender<Wanted>,
    found: mpsc::Receiver<Vec<Found>>,
    known: BTreeMap<u64, Known>,
    /// Dates what is found; nothing waits for it.
    wall: fn() -> Timestamp,
    task: AbortHandle,
}

/// What to probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    namespaces: BTreeMap<u64, NestedNetns>,
    targets: Vec<NestedTarget>,
    interval: Duration,
}

/// What a probe is of: once that is another, it says nothing any more.
type Subject = (Option<LinkMtu>, Vec<NestedTarget>);

/// One namespace was probed.
#[derive(Debug)]
struct Found {
    inode: u64,
    of: Subject,
    probes: Vec<NestedProbe>,
}

#[derive(Debug)]
struct Known {
    of: Subject,
    probes: Vec<NestedProbe>,
    at: Timestamp,
}

impl Wanted {
    fn subject(&self, netns: &NestedNetns) -> Subject {
        (netns.mtu, self.targets.clone())
    }
}

impl Nested {
    /// Follows which namespaces are tuned, by inode. `node_name` spreads the probes of many nodes. Takes a `LocalSet`.
    pub(super) fn follow(
        tuned: watch::Receiver<BTreeSet<u64>>,
        node_name: String,
        wall: fn() -> Timestamp,
    ) -> Self {
        let probe =
            |netns: NestedNetns, targets: Vec<NestedTarget>| async move { netns.probe(&targets).await };
        Self::follow_by(probe, tuned, node_name, wall)
    }

    fn follow_by<P>(
        probe: impl Fn(NestedNetns, Vec<NestedTarget>) -> P + 'static,
        tuned: watch::Receiver<BTreeSet<u64>>,
        node_name: String,
        wall: fn() -> Timestamp,
    ) -> Self
    where
        P: Future<Output = Vec<NestedProbe>> + 'static,
    {
        let (wanted, receiver) = watch::channel(Wanted::default());
        let (finder, found) = mpsc::channel(8);
        let task = spawn_local(keep(probe, receiver, finder, node_name)).abort_handle();
        Self { tuned, wanted, found, known: BTreeMap::new(), wall, task }
    }

    /// What is known of the tuned namespaces that are there, and what to probe from now on: the first targets of these
    /// paths that answer the host, as often as those are checked.
    pub(super) fn paths(&mut self, look: &Look, paths: &[Path], interval: Duration) -> Vec<NestedPath> {
        let tuned = self.tuned.borrow_and_update().clone();
        let nested = look.topology.iter().filter_map(|(ix, _)| Some((ix, NestedNetns::of(look, ix)?)));
        let nested: Vec<_> = nested.filter(|(_, netns)| tuned.contains(&netns.inode)).collect();
        let namespaces = nested.iter().map(|(_, netns)| (netns.inode, netns.clone())).collect();
        let wanted = Wanted { namespaces, targets: targets(paths), interval };
        self.known.retain(|inode, known| {
            wanted.namespaces.get(inode).is_some_and(|netns| wanted.subject(netns) == known.of)
        });
        let nobody = if wanted.targets.is_empty() {
            NestedProbe::unknown("no target is known to answer the host: nobody could be asked")
        } else {
            NestedProbe::unknown("it is yet to be probed")
        };
        let mut told = Vec::new();
        for (ix, netns) in nested {
            let known = self.known.get(&netns.inode);
            let observed_at = known.map(|known| known.at);
            for probe in known.map_or(std::slice::from_ref(&nobody), |known| &known.probes) {
                let probe = probe.clone();
                told.push(NestedPath { netns: ix, level: netns.level, probe, observed_at });
            }
        }
        self.wanted.send_if_modified(|before| {
            let is_other = *before != wanted;
            *before = wanted;
            is_other
        });
        told
    }

    /// Waits until there is something to tell.
    pub(super) async fn next(&mut self) {
        loop {
            let retuned = async {
                if self.tuned.changed().await.is_err() {
                    pending::<()>().await;
                }
            };
            tokio::select! {
                () = retuned => return,
                Some(found) = self.found.recv() => if self.take(found) { return },
            }
        }
    }

    /// Whether any of it is news, and not the same again.
    fn take(&mut self, found: Vec<Found>) -> bool {
        let at = (self.wall)();
        let mut is_news = false;
        for Found { inode, of, probes } in found {
            is_news |= self.known.get(&inode).is_none_or(|known| known.of != of || known.probes != probes);
            self.known.insert(inode, Known { of, probes, at });
        }
        is_news
    }
}

impl Drop for Nested {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Probes what is wanted, each in its turn, until nobody wants anything any more.
async fn keep<P>(
    probe: impl Fn(NestedNetns, Vec<NestedTarget>) -> P,
    mut wanted: watch::Receiver<Wanted>,
    finder: mpsc::Sender<Vec<Found>>,
    node_name: String,
) where
    P: Future<Output = Vec<NestedProbe>> + 'static,
{
    let mut schedule = Schedule::new(&node_name, clock());
    let mut under_way = JoinSet::new();
    let (mut found, mut tell_at) = (Vec::new(), clock());
    let mut namespaces = BTreeMap::new();
    loop {
        while let Some((inode, of)) = schedule.poll(clock()) {
            let netns = NestedNetns::clone(&namespaces[&inode]);
            let probes = probe(netns, Subject::clone(&of).1);
            under_way.spawn_local(async move { Found { inode, of, probes: probes.await } });
        }
        let tell = (!found.is_empty()).then_some(tell_at);
        let due = async {
            match [schedule.poll_timeout(), tell].into_iter().flatten().min() {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let wanted = wanted.borrow_and_update();
                // Without a target there is nothing to be probed.
                let any = !wanted.targets.is_empty();
                namespaces = if any { wanted.namespaces.clone() } else { BTreeMap::new() };
                let subjects = namespaces.values().map(|netns| (netns.inode, wanted.subject(netns)));
                schedule.want(subjects, wanted.interval, clock());
            }
            Some(done) = under_way.join_next() => {
                let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                let is_known = done.probes.iter().all(|probe| probe.passes.is_verified().is_some());
                schedule.done(done.inode, is_known, clock());
                found.push(done);
            }
            () = due => {}
        }
        if !found.is_empty() && tell_at <= clock() {
            tell_at = clock() + TELL;
            if finder.send(std::mem::take(&mut found)).await.is_err() {
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the task is an edge: its schedule takes `now`")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
