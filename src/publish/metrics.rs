//! Every metric of the agent and the controller, in one place. Lower layers hand over what happened; here it is counted.
//!
//! A label's values come from our enums or from the configuration. What is unknown has no sample: 0 is a number. At
//! most 150 series with two targets, whatever is on the node, and 20 more where something may be tuned.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry, TextEncoder};

use crate::discovery::nested::verified_by_level;
use crate::discovery::path::{Path, PathResult};
use crate::discovery::survey::Survey;
use crate::domain::mtu::{IpFamily, LinkMtu};
use crate::domain::safe::SMALLEST_USEFUL;
use crate::domain::search::Outcome;
use crate::domain::steady::SteadyMtu;
use crate::kernel::counters::PacketCounters;
use crate::probes::ledger::IgnoredCounts;
use crate::publish::host_file::{HostFileError, Written};
use crate::publish::kubernetes::outcome::PublishResult;
use crate::publish::links::{self, Level};

pub mod catalog;
pub mod controller;
mod names;
mod process;
mod register;
mod shown;

use catalog::Described;
use names::{AGGREGATES, BOTH, CHANGES, FAILED, NO_LEVEL, NODE_MTU, TUNE_RESULTS, TUNED, VERDICTS};
use shown::{KernelCounter, Shown};

pub use names::{SurveyReason, TuneResult, Tuned};
pub use prometheus::TEXT_FORMAT;

/// Every metric of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Held while several samples change that belong together: a scrape sees all of them or none.
    whole: Mutex<()>,
    published: Mutex<Option<LinkMtu>>,

    safe_dind_mtu: Shown<1>,
    published_dind_mtu: Shown<0>,
    published_is_stale: Shown<0>,
    published_changes: IntCounterVec,
    mismatched_links: Shown<2>,
    link_mtu: Shown<3>,
    namespaces: Shown<1>,
    unseen: Shown<0>,
    path_mtu: Shown<3>,
    path_verdict: Shown<4>,
    nested_path_verified: Shown<1>,
    node_info: Shown<2>,
    last_survey: Shown<0>,

    surveys: IntCounterVec,
    survey_errors: IntCounter,
    survey_duration: Histogram,
    searches: IntCounterVec,
    search_duration: Histogram,
    probes_sent: IntCounter,
    messages_ignored: IntCounterVec,
    netlink_events: IntCounter,
    netlink_overruns: IntCounter,
    host_file_writes: IntCounterVec,
    publishes: IntCounterVec,
    published_at: Shown<1>,
    config_is_current: Shown<0>,
    config_loaded: Shown<0>,

    tune_pending: Shown<0>,
    tune_writes: IntCounterVec,
    tune_answer: HistogramVec,
    tuned_namespaces: Shown<0>,

    icmp_unreachable_sent: KernelCounter<0>,
    icmp6_packet_too_big_sent: KernelCounter<0>,
    fragmentation_failures: KernelCounter<1>,
    tcp_mtu_probe_failures: KernelCounter<0>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// What each of them is.
    pub fn described() -> Vec<Described> {
        register::metrics().1
    }

    /// With nothing known and nothing counted yet.
    pub fn new() -> Self {
        register::metrics().0
    }

    /// In Prometheus' text format, [`TEXT_FORMAT`].
    pub fn render(&self) -> String {
        let families = {
            let _whole = self.hold();
            self.registry.gather()
        };
        TextEncoder::new().encode_to_string(&families).expect("no family is empty, a string takes all")
    }

    /// A survey was concluded `took` after it began.
    pub fn observe_survey(&self, survey: &Survey, reason: SurveyReason, took: Duration) {
        let _whole = self.hold();
        self.surveys.with_label_values(&[reason.name()]).inc();
        self.survey_duration.observe(took.as_secs_f64());
        self.last_survey.set(Some(seconds(survey.observed_at)));

        let safe = survey.safe.iter().filter(|(_, safe)| safe.mtu.get() >= SMALLEST_USEFUL);
        self.safe_dind_mtu
            .replace(safe.map(|(family, safe)| ([names::family(*family).to_owned()], bytes(safe.mtu))));
        self.observe_links(survey);
        self.path_mtu.replace(survey.paths.iter().filter_map(path_mtu));
        self.path_verdict.replace(survey.paths.iter().flat_map(path_verdict));

        self.nested_path_verified.replace(nested_paths_verified(survey));

        let look = &survey.look;
        self.unseen.set(u32::try_from(look.unseen.len()).ok().map(f64::from));
        let cni = look.cni.as_ref().map(|cni| cni.name.clone()).unwrap_or_default();
        self.node_info.replace([([cni, look.kernel_release.clone()], 1.0)]);
    }

    /// A survey could not be made.
    pub fn survey_failed(&self) {
        self.survey_errors.inc();
    }

    /// A search ran to its end.
    pub fn observe_search(&self, outcome: &Outcome, ignored: &IgnoredCounts) {
        let _whole = self.hold();
        self.searches.with_label_values(&[outcome.verdict.name()]).inc();
        self.search_duration.observe(outcome.elapsed.as_secs_f64());
        self.probes_sent.inc_by(outcome.probes_sent.into());
        for (reason, count) in names::ignored(ignored) {
            self.messages_ignored.with_label_values(&[reason]).inc_by(count);
        }
    }

    /// A search could not run: no address, no way out, no socket.
    pub fn search_failed(&self) {
        self.searches.with_label_values(&[FAILED]).inc();
    }

    /// The value to publish was looked at again.
    pub fn observe_published(&self, steady: &SteadyMtu) {
        let _whole = self.hold();
        let value = steady.value();
        self.published_dind_mtu.set(value.map(bytes));
        let is_stale = if steady.lost_since().is_some() { 1.0 } else { 0.0 };
        self.published_is_stale.set(value.map(|_| is_stale));
        let Some(is) = value else { return };
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(was) = published.replace(is).filter(|was| *was != is) {
            let [down, up] = CHANGES;
            self.published_changes.with_label_values(&[if is < was { down } else { up }]).inc();
        }
    }

    /// Events of links, addresses, routes or nsids came.
    pub fn count_netlink_events(&self, events: u64) {
        self.netlink_events.inc_by(events);
    }

    /// The kernel dropped events that we were too slow to read.
    pub fn count_netlink_overrun(&self) {
        self.netlink_overruns.inc();
    }

    /// A host file was written, or not.
    pub fn observe_host_file(&self, result: &Result<Written, HostFileError>) {
        let result = match result {
            Ok(written) => written.name(),
            Err(error) => error.reason(),
        };
        self.host_file_writes.with_label_values(&[result]).inc();
    }

    /// The NodeMtu was written, or not, at this time.
    pub fn observe_publish(&self, result: PublishResult, at: Timestamp) {
        let _whole = self.hold();
        self.publishes.with_label_values(&[NODE_MTU, result.name()]).inc();
        if result == PublishResult::Success {
            self.published_at.replace([([NODE_MTU.to_owned()], seconds(at))]);
        }
    }

    /// A configuration was taken over at this time.
    pub fn config_taken(&self, at: Timestamp) {
        let _whole = self.hold();
        self.config_is_current.set(Some(1.0));
        self.config_loaded.set(Some(seconds(at)));
    }

    /// A configuration was refused; the one before goes on.
    pub fn config_refused(&self) {
        self.config_is_current.set(Some(0.0));
    }

    /// So many changes would be made where somebody opted in, and are not.
    pub fn tune_pending(&self, changes: usize) {
        self.tune_pending.set(u32::try_from(changes).ok().map(f64::from));
    }

    /// Something may be written from now on: what counts that is there from 0 on.
    pub fn tuning_begins(&self) {
        for (what, result) in TUNED.iter().flat_map(|what| TUNE_RESULTS.map(|result| (what, result))) {
            self.tune_writes.with_label_values(&[what, result]);
        }
        self.tune_answer.with_label_values::<&str>(&[]);
        self.tuned_namespaces(0);
    }

    /// Something was written to tune it, or not.
    pub fn count_tune_write(&self, what: Tuned, result: TuneResult) {
        self.tune_writes.with_label_values(&[what.name(), result.name()]).inc();
    }

    /// A new link was answered `after` it was told.
    pub fn observe_tune_answer(&self, after: Duration) {
        self.tune_answer.with_label_values::<&str>(&[]).observe(after.as_secs_f64());
    }

    /// New links of so many namespaces are answered now.
    pub fn tuned_namespaces(&self, namespaces: usize) {
        self.tuned_namespaces.set(u32::try_from(namespaces).ok().map(f64::from));
    }

    /// The host's own counters were read.
    pub fn observe_passive(&self, seen: &PacketCounters) {
        let _whole = self.hold();
        self.icmp_unreachable_sent.set([], seen.icmp4_unreachable_sent);
        self.icmp6_packet_too_big_sent.set([], seen.icmp6_ptb_sent);
        for family in IpFamily::ALL {
            let failures = match family {
                IpFamily::V4 => seen.ipv4_fragmentation_failed,
                IpFamily::V6 => seen.ipv6_fragmentation_failed,
            };
            self.fragmentation_failures.set([names::family(family)], failures);
        }
        self.tcp_mtu_probe_failures.set([], seen.tcp_mtu_probes_failed);
    }

    fn observe_links(&self, survey: &Survey) {
        let groups = links::groups(survey);
        let mismatched = groups.iter().map(|((level, role), group)| {
            ([level.label(), role.label()].map(str::to_owned), f64::from(group.mismatched))
        });
        self.mismatched_links.replace(mismatched);
        let mtus = groups.iter().flat_map(|((level, role), group)| {
            let of = |aggregate: &str| [level.label(), role.label(), aggregate].map(str::to_owned);
            let [min, max] = AGGREGATES.map(of);
            [(min, bytes(group.least)), (max, bytes(group.largest))]
        });
        self.link_mtu.replace(mtus);

        let levels = survey.look.topology.iter().map(|(_, netns)| netns.place.level());
        let mut namespaces = BTreeMap::new();
        for level in levels {
            let label = level.map_or(NO_LEVEL, |level| Level::new(level).label());
            *namespaces.entry([label.to_owned()]).or_insert(0.0) += 1.0;
        }
        self.namespaces.replace(namespaces);
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes(mtu: LinkMtu) -> f64 {
    mtu.get().into()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// What was measured; what the kernel learned by itself is a hint, and what was kept of an earlier search is told
/// by the value that it still caps.
fn path_mtu(path: &Path) -> Option<([String; 3], f64)> {
    let PathResult::Searched(outcome) = &path.result else { return None };
    let path_mtu = outcome.verdict.path_mtu()?;
    let labels = [path.target.clone(), names::family(path.family()?).to_owned(), BOTH.to_owned()];
    Some((labels, path_mtu.get().into()))
}

/// Of each level of which something is known; deeper ones than the last are one.
fn nested_paths_verified(survey: &Survey) -> BTreeMap<[String; 1], f64> {
    let mut levels = BTreeMap::new();
    for (level, is_verified) in verified_by_level(&survey.nested_paths) {
        let value: &mut f64 = levels.entry([Level::new(level).label().to_owned()]).or_insert(1.0);
        *value = value.min(if is_verified { 1.0 } else { 0.0 });
    }
    levels
}

/// One sample for each verdict that there could be.
fn path_verdict(path: &Path) -> Vec<([String; 4], f64)> {
    let (Some(is), Some(family)) = (path.verdict(), path.family()) else { return Vec::new() };
    let sample = |verdict: &str| {
        let labels = [&path.target, names::family(family), BOTH, verdict].map(str::to_owned);
        (labels, if verdict == is { 1.0 } else { 0.0 })
    };
    VERDICTS.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests;
