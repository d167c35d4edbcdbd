//! Paths to the targets, measured again and again: each target by a task of its own.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, timeout};

use crate::discovery::measure::measure;
use crate::discovery::path::Path;
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
            let rhythm = Rhythm { interval, seed: seed(&self.node_name, &name) };
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

async fn keep(target: Target, rhythm: Rhythm, mut changed: watch::Receiver<()>, finder: Finder) {
    sleep(rhythm.first()).await;
    loop {
        changed.mark_unchanged();
        let paths = measure(vec![target.clone()], |_| {}).await;
        let found = Found { generation: finder.generation, target: finder.target, paths };
        if finder.found.send(found).await.is_err() {
            return;
        }
        // A host whose links change all the time is no reason to flood its targets.
        sleep(rhythm.least()).await;
        let _changed_or_due = timeout(rhythm.rest(), changed.changed()).await;
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

    /// After [`Self::least`], if nothing changes: the intervals of two nodes differ by up to a tenth.
    fn rest(self) -> Duration {
        self.interval.mul_f64(1.0 + 0.1 * self.seed).saturating_sub(self.least())
    }
}

/// A number from 0 to 1 that is the same whenever this node probes this target.
fn seed(node_name: &str, target: &str) -> f64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((node_name, target));
    let [high, low, ..] = hash.to_be_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests;
