//! Paths to the targets, measured again and again: each target by a task of its own.

mod ways_out;

use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::{sleep, sleep_until};
use tracing::debug;

pub(super) use self::ways_out::ways_out;
use super::clock;
use super::spread::seed;
use crate::discovery::measure::measure;
use crate::discovery::path::{Path, PathResult};
use crate::domain::mtu::IpFamily;
use crate::domain::search::confirm::{Confirm, Due, Pair};
use crate::domain::search::control_size;
use crate::probes::driver::check::Checked;
use crate::probes::driver::{ProbeError, ProbeRequest, Prober};
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
    /// Without targets. `node_name` spreads the probes of many nodes; `earlier` is what another run measured, in the
    /// order of its targets.
    pub(super) fn new(node_name: String, earlier: &[Path]) -> Self {
        let of_one_target = earlier.chunk_by(|path, next| path.target == next.target);
        Self {
            node_name,
            known: of_one_target.map(<[Path]>::to_vec).collect(),
            tasks: Vec::new(),
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

    /// Waits until a target was measured; its paths are the news. `has_way_out`: whether the host has one to an address.
    pub(super) async fn next(&mut self, has_way_out: impl Fn(IpAddr) -> bool + Copy) -> &[Path] {
        loop {
            let Some(found) = self.found.1.recv().await else { unreachable!("a sender is kept here") };
            if found.generation != self.generation {
                continue; // of a target that was removed meanwhile
            }
            let known = &mut self.known[found.target];
            let mut earlier = std::mem::take(known);
            let kept = |path: Path| match earlier.iter().find(|it| it.family() == path.family()) {
                Some(earlier) => path.keeping(earlier),
                None => path,
            };
            let news = found.paths.len();
            known.extend(found.paths.into_iter().map(kept));
            // A family that this host has no way out for now is not among them, and no family is while the name does
            // not resolve: what their paths measured is kept as it is.
            let unresolved = known.iter().all(Path::is_unresolved);
            earlier.retain(|path| {
                let is_missing = known.iter().all(|it| it.family() != path.family());
                is_missing
                    && path.measured().is_some()
                    && (unresolved || !path.address.is_some_and(has_way_out))
            });
            known.extend(earlier);
            return &self.known[found.target][..news];
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
            () = until_in_doubt(&mut known, rhythm, async |address, pair, confirm: &mut Confirm| {
                check(&target, address, pair, confirm).await
            }) => {}
        }
    }
}

/// A path, and how it is checked.
struct Known {
    address: IpAddr,
    /// Whether its search told a number. One that told none is asked whether it answers by now.
    is_measured: bool,
    confirm: Confirm,
}

/// `None` for a name without an address: only another search helps.
fn known(path: &Path, rhythm: Rhythm) -> Option<Known> {
    let address = path.address?;
    let (passed, rtt) = match &path.result {
        PathResult::Searched(outcome) => (outcome.verdict.path_mtu(), outcome.rtt),
        PathResult::NotProbed { .. } | PathResult::Failed { .. } => (None, None),
    };
    let (is_measured, control) = (passed.is_some(), control_size(IpFamily::of(address)));
    let full = passed.or(path.widest).unwrap_or(control);
    let now = clock();
    let confirm = Confirm::new(full, control, is_measured && path.widest == passed, rtt, now);
    Some(Known { address, is_measured, confirm: confirm.every(rhythm.interval(), now) })
}

async fn check(
    target: &Target,
    address: IpAddr,
    pair: Pair,
    confirm: &mut Confirm,
) -> Result<Checked, ProbeError> {
    let device = target.device().map(str::to_owned);
    Prober::open(ProbeRequest { device, ..ProbeRequest::new(address) })?.check(pair, confirm).await
}

/// Checks each path in its time; ends when one of them may not hold any more or answers again, or none was measured.
async fn until_in_doubt(
    known: &mut [Known],
    rhythm: Rhythm,
    check: impl AsyncFn(IpAddr, Pair, &mut Confirm) -> Result<Checked, ProbeError>,
) {
    let mut next = clock() + rhythm.interval().saturating_sub(rhythm.least());
    loop {
        sleep_until(next.into()).await;
        if !known.iter().any(|path| path.is_measured) {
            return;
        }
        next = clock() + rhythm.interval();
        for Known { address, is_measured, confirm } in known.iter_mut() {
            let mut due = confirm.poll(clock());
            if let Due::Check(pair) = due {
                let is_as_before = match check(*address, pair, confirm).await {
                    Ok(Checked::Holds) => *is_measured,
                    Ok(Checked::InDoubt) => false,
                    // A search tells more about silence, or why nothing could be sent; but only once.
                    Ok(Checked::Silent) | Err(_) => !*is_measured,
                };
                if !is_as_before {
                    return;
                }
                due = confirm.poll(clock());
            }
            match due {
                Due::Nothing { until } => next = next.min(until),
                Due::Search | Due::Check(_) => return,
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
