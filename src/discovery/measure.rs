//! Probes the targets of a survey, all at once.

use std::net::IpAddr;

use tokio::task::JoinSet;
use tracing::debug;

use super::path::{Path, PathResult};
use crate::domain::mtu::PathMtu;
use crate::domain::search::Progress;
use crate::kernel::egress::{EgressQuery, egress};
use crate::probes::driver::{ProbeError, ProbeReport, ProbeRequest, Prober};
use crate::probes::resolve::{Target, first_of_each_family};

/// How far one search of several is, for a line that lives while it works.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The target as the user named it.
    pub target: &'a str,
    /// Packets sent to it so far.
    pub probes_sent: u32,
    /// Largest size that passed so far.
    pub largest_passed: Option<PathMtu>,
}

/// Searches the path MTU to one address of each family of each target, from the calling thread's namespace.
pub async fn measure(targets: Vec<Target>, on_step: impl Fn(Step<'_>) + Clone + 'static) -> Vec<Path> {
    let mut searches = JoinSet::new();
    for (position, target) in targets.into_iter().enumerate() {
        let on_step = on_step.clone();
        searches.spawn_local(async move { (position, measure_one(target, on_step).await) });
    }
    let mut found = searches.join_all().await;
    found.sort_by_key(|(position, _)| *position);
    found.into_iter().flat_map(|(_, paths)| paths).collect()
}

/// What the kernel learned about the targets by itself; sends nothing to them.
pub async fn recall(targets: Vec<Target>) -> Vec<Path> {
    let mut paths = Vec::new();
    for target in targets {
        let addresses = match addresses(&target).await {
            Ok(addresses) => addresses,
            Err(unresolved) => {
                paths.push(unresolved);
                continue;
            }
        };
        for destination in addresses {
            let query = EgressQuery { destination, device: target.device(), source: None };
            let learned = egress(query).inspect_err(|error| debug!(%destination, %error, "no way out"));
            let result = PathResult::NotProbed { learned: learned.ok().and_then(|egress| egress.learned) };
            paths.push(Path::new(target.to_string(), Some(destination), result));
        }
    }
    paths
}

async fn measure_one(target: Target, on_step: impl Fn(Step<'_>) + Clone + 'static) -> Vec<Path> {
    let name = target.to_string();
    let addresses = match addresses(&target).await {
        Ok(addresses) => addresses,
        Err(unresolved) => return vec![unresolved],
    };
    let open = |destination| {
        let device = target.device().map(str::to_owned);
        (destination, Prober::open(ProbeRequest { device, ..ProbeRequest::new(destination) }))
    };
    let probers: Vec<_> = addresses.into_iter().map(open).collect();
    // A name may have addresses of a family that this host does not speak; that is no news while the other works.
    let some_way_out = probers.iter().any(|(_, prober)| prober.is_ok());
    let no_way_out = |opened: &Result<Prober, ProbeError>| matches!(opened, Err(ProbeError::Egress(_)));
    let mut searches = JoinSet::new();
    for (address, opened) in probers.into_iter().filter(|(_, opened)| !(some_way_out && no_way_out(opened))) {
        let (target, on_step) = (name.clone(), on_step.clone());
        searches.spawn_local(async move {
            let outcome = match opened {
                Ok(prober) => search(prober, &target, on_step).await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(report) => {
                    let path = Path::new(target, Some(address), PathResult::Searched(report.outcome));
                    Path { ignored: report.ignored, ..path }
                }
                Err(error) => Path::new(target, Some(address), failed(&error)),
            }
        });
    }
    let mut paths = searches.join_all().await;
    paths.sort_by_key(|path| path.address);
    paths
}

async fn search(prober: Prober, target: &str, on_step: impl Fn(Step<'_>)) -> Result<ProbeReport, ProbeError> {
    let step = |progress: &Progress| {
        let (probes_sent, largest_passed) = (progress.probes_sent, progress.largest_passed);
        on_step(Step { target, probes_sent, largest_passed });
    };
    prober.run(step).await
}

async fn addresses(target: &Target) -> Result<Vec<IpAddr>, Path> {
    let resolved = target.resolve().await.map(|addresses| first_of_each_family(&addresses));
    resolved.map_err(|error| {
        let why = with_sources(&error);
        Path::new(target.to_string(), None, PathResult::Failed { why, unresolved: true })
    })
}

fn failed(error: &ProbeError) -> PathResult {
    PathResult::Failed { why: with_sources(error), unresolved: false }
}

/// The error with all that it comes from, on one line.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |line, source| format!("{line}: {source}"))
}
