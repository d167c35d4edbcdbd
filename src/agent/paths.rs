//! Paths to the targets, measured again and again: each target by a task of its own.

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, sleep_until};
use tracing::debug;

use super::clock;
use super::spread::seed;
use crate::discovery::measure::measure;
use crate::discovery::path::{Path, PathResult};
use crate::domain::mtu::IpFamily;
use crate::domain::search::confirm::{Confirm, Due};
use crate::domain::search::control_size;
use crate::probes::driver::check::Checked;
use crate::probes::driver::{ProbeRequest, Prober};
use crate::probes::resolve::Target;

/// However long the interval is, a first search and one after a change wait no longer.
const SOON: Duration = Duration::from_secs(10);

/// What is known of the paths to all targets, and the tasks that find it out.
pub(super) struct Paths {
    node_name: String,
    known: Vec<Vec<Path>>,
    tasks: Vec<AbortHandle>,
    found: (mpsc::Sender<Found>, mpsc::Receiver<Found>),
    changed: watch::Sender<()>,
    generation: u64,
}

/// One target was measured.
struct Found {
    generation: u64,
    target: usize,
    paths: Vec<Path>,
}

impl Paths {
    /// Without targets. `node_name` spreads the probes of many nodes.
    pub(super) fn new(node_name: String) -> Self {
        let (known, tasks) = (Vec::new(), Vec::new());
        Self {
            node_name,
            known,
            tasks,
            found: mpsc::channel(8),
            changed: watch::Sender::new(()),
            generation: 0,
        }
    }

    /// Probes these from now on. What was known of those that stay stays known. Takes a `LocalSet`.
    pub(super) fn probe(&mut self, targets: &[Target], interval: Duration) {
        self.stop();
        self.generation += 1;
        let mut known = std::mem::take(&mut self.known);
        for (position, target) in targets.iter().enumerate() {
            let name = target.to_string();
            let earlier =
                known.iter_mut().find(|paths| paths.first().is_some_and(|path| path.target == name));
            self.known.push(earlier.map(std::mem::take).unwrap_or_default());
            let rhythm = Rhythm { interval, seed: seed(&self.node_name, name.as_str()) };
            let found = Finder { generation: self.generation, target: position, found: self.found.0.clone() };
            self.tasks.push(
                spawn_local(keep(target.clone(), rhythm, self.changed.subscribe(), found)).abort_handle(),
            );
        }
    }

    /// Something on the way out changed: what is known may not hold any more.
    pub(super) fn look_again(&self) {
        self.changed.send_replace(());
    }

    /// Waits until a target was measured; its paths are the news.
    pub(super) async fn next(&mut self) -> &[Path] {
        loop {
            let Some(found) = self.found.1.recv().await else { unreachable!("a sender is kept here") };
            if found.generation != self.generation {
                continue; // of a target that was removed meanwhile
            }
            let known = &mut self.known[found.target];
            let earlier = std::mem::take(known);
            let kept = |path: Path| match earlier.iter().find(|it| it.family() == path.family()) {
                Some(earlier) => path.keeping(earlier),
                None => path,
            };
            // A name that does not resolve any more has no family: what its paths measured is kept as it is.
            let unresolved = found.paths.iter().all(Path::is_unresolved);
            known.extend(found.paths.into_iter().map(kept));
            if unresolved {
                known.extend(earlier.into_iter().filter(|path| path.measured().is_some()));
            }
            return &self.known[found.target];
        }
    }

    /// What is known now, in the order of the targets.
    pub(super) fn known(&self) -> Vec<Path> {
        self.known.iter().flatten().cloned().collect()
    }

    fn stop(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Paths {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Finder {
    generation: u64,
    target: usize,
    found: mpsc::Sender<Found>,
}

/// Searches the paths to a target, then checks what was found, and searches again when that is in doubt.
async fn keep(target: Target, rhythm: Rhythm, mut changed: watch::Receiver<()>, finder: Finder) {
    sleep(rhythm.first()).await;
    loop {
        changed.mark_unchanged();
        let paths = measure(vec![target.clone()], |_| {}).await;
        let mut known: Vec<_> = paths.iter().filter_map(|path| known(path, rhythm)).collect();
        let found = Found { generation: finder.generation, target: finder.target, paths };
        if finder.found.send(found).await.is_err() {
            return;
        }
        // A host whose links change all the time is no reason to flood its targets.
        sleep(rhythm.least()).await;
        tokio::select! {
            _ = changed.changed() => debug!(%target, "the way out changed: its path is searched again"),
            () = until_in_doubt(&target, &mut known, rhythm) => {}
        }
    }
}

/// An address with what is known of the path to it.
type Known = (IpAddr, Confirm);

/// `None` for a path whose search told no number: only another search helps.
fn known(path: &Path, rhythm: Rhythm) -> Option<Known> {
    let PathResult::Searched(outcome) = &path.result else { return None };
    let (address, full) = (path.address?, outcome.verdict.path_mtu()?);
    let control = control_size(IpFamily::of(address));
    let now = clock();
    let confirm = Confirm::new(full, control, path.widest == Some(full), outcome.rtt, now);
    Some((address, confirm.every(rhythm.interval(), now)))
}

/// Checks each path in its time; ends when one of them may not hold any more, or nothing is known of any.
async fn until_in_doubt(target: &Target, known: &mut [Known], rhythm: Rhythm) {
    let mut next = clock() + rhythm.interval().saturating_sub(rhythm.least());
    loop {
        sleep_until(next.into()).await;
        if known.is_empty() {
            return;
        }
        next = clock() + rhythm.interval();
        for (address, confirm) in known.iter_mut() {
            match confirm.poll(clock()) {
                Due::Search => return,
                Due::Nothing { until } => next = next.min(until),
                Due::Check(pair) => {
                    let device = target.device().map(str::to_owned);
                    let checked = match Prober::open(ProbeRequest { device, ..ProbeRequest::new(*address) }) {
                        Ok(prober) => prober.check(pair, confirm).await,
                        Err(error) => Err(error),
                    };
                    // A search tells more about silence, or why nothing could be sent.
                    let (Ok(Checked::Holds), Due::Nothing { until }) = (checked, confirm.poll(clock()))
                    else {
                        return;
                    };
                    next = next.min(until);
                }
            }
        }
    }
}

/// When a node probes a target. 5,000 nodes that start together do not meet there.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    interval: Duration,
    /// Of this node and target: 0 to 1.
    seed: f64,
}

impl Rhythm {
    /// Before the first search.
    fn first(self) -> Duration {
        self.least().mul_f64(self.seed)
    }

    /// Between two searches at least.
    fn least(self) -> Duration {
        self.interval.min(SOON)
    }

    /// Between two checks: the intervals of two nodes differ by up to a tenth.
    fn interval(self) -> Duration {
        self.interval.mul_f64(1.0 + 0.1 * self.seed)
    }
}

#[cfg(test)]
mod tests;
