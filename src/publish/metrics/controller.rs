//! Every metric of the controller.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus::{IntCounterVec, Registry, TextEncoder};

use super::catalog::{CONTROLLER, Catalog, Described, Label};
use super::process::OwnProcess;
use super::shown::Shown;
use super::{bytes, seconds};
use crate::domain::fleet::{Age, Pool};

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchKind {
    /// What agents report.
    NodeMtus,
    /// For their pools.
    Nodes,
    /// For their labels.
    Namespaces,
    /// Those that the controller keeps.
    ConfigMaps,
}

impl WatchKind {
    const NAMES: [&'static str; 4] = ["nodemtus", "nodes", "namespaces", "configmaps"];

    /// Its resource.
    pub fn name(self) -> &'static str {
        let [node_mtus, nodes, namespaces, config_maps] = Self::NAMES;
        match self {
            Self::NodeMtus => node_mtus,
            Self::Nodes => nodes,
            Self::Namespaces => namespaces,
            Self::ConfigMaps => config_maps,
        }
    }
}

/// What came of writing a ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigMapWrite {
    /// It says what it should.
    Applied,
    /// It is not there any more.
    Deleted,
    /// The Lease may be another's: nothing was written.
    NotLeader,
    /// It is as it was.
    Failed,
}

impl ConfigMapWrite {
    const NAMES: [&'static str; 4] = ["applied", "deleted", "not_leader", "failed"];

    fn name(self) -> &'static str {
        let [applied, deleted, not_leader, failed] = Self::NAMES;
        match self {
            Self::Applied => applied,
            Self::Deleted => deleted,
            Self::NotLeader => not_leader,
            Self::Failed => failed,
        }
    }
}

/// What came of telling an Event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTold {
    /// It is told.
    Created,
    /// It was told before.
    Known,
    /// The API server will not have it.
    Refused,
    /// It is told later.
    Failed,
}

impl EventTold {
    const NAMES: [&'static str; 4] = ["created", "known", "refused", "failed"];

    fn name(self) -> &'static str {
        let [created, known, refused, failed] = Self::NAMES;
        match self {
            Self::Created => created,
            Self::Known => known,
            Self::Refused => refused,
            Self::Failed => failed,
        }
    }
}

/// Every metric of one controller.
#[derive(Debug)]
pub struct ControllerMetrics {
    registry: Registry,
    /// Held while several samples change that belong together: a scrape sees all of them or none.
    whole: Mutex<()>,

    leader: Shown<0>,
    nodes: Shown<1>,
    nodes_reporting: Shown<1>,
    nodes_old: Shown<1>,
    pool_dind_mtu: Shown<1>,
    pool_dind_mtu_stale: Shown<1>,
    pool_largest_dind_mtu: Shown<1>,
    reports_refused: Shown<0>,
    config_maps_foreign: Shown<0>,
    config_map_writes: IntCounterVec,
    events: IntCounterVec,
    watch_errors: IntCounterVec,
    serving_certificate_expiry: Shown<0>,
    ca_certificate_expiry: Shown<0>,
}

impl Default for ControllerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl ControllerMetrics {
    /// What each of them is.
    pub fn described() -> Vec<Described> {
        register().1
    }

    /// With nothing known and nothing counted yet.
    pub fn new() -> Self {
        register().0
    }

    /// In Prometheus' text format, [`super::TEXT_FORMAT`].
    pub fn render(&self) -> String {
        let families = {
            let _whole = self.hold();
            self.registry.gather()
        };
        TextEncoder::new().encode_to_string(&families).expect("no family is empty, a string takes all")
    }

    /// Whether this replica leads.
    pub fn observe_leader(&self, is_leader: bool) {
        self.leader.set(Some(f64::from(u8::from(is_leader))));
    }

    /// The pools were drawn together again; so many reports tell a number that cannot be.
    pub fn observe_pools(&self, pools: &BTreeMap<String, Pool>, refused: usize) {
        let _whole = self.hold();
        let samples = |value: fn(&Pool) -> Option<f64>| {
            pools.iter().filter_map(move |(name, pool)| Some(([name.clone()], value(pool)?)))
        };
        self.nodes.replace(samples(|pool| count(pool.nodes)));
        self.nodes_reporting.replace(samples(|pool| count(pool.reporting)));
        self.nodes_old.replace(samples(|pool| count(pool.old)));
        self.pool_dind_mtu.replace(samples(|pool| pool.mtu.map(bytes)));
        self.pool_dind_mtu_stale.replace(samples(|pool| {
            pool.mtu?;
            Some(if pool.age() == Age::Fresh { 0.0 } else { 1.0 })
        }));
        self.pool_largest_dind_mtu.replace(samples(|pool| pool.largest.map(bytes)));
        self.reports_refused.set(count(refused));
    }

    /// So many labelled namespaces have somebody else's ConfigMap.
    pub fn observe_foreign(&self, config_maps: usize) {
        self.config_maps_foreign.set(count(config_maps));
    }

    /// A ConfigMap was written, or not.
    pub fn config_map_written(&self, result: ConfigMapWrite) {
        self.config_map_writes.with_label_values(&[result.name()]).inc();
    }

    /// An Event was told, or not.
    pub fn event_told(&self, result: EventTold) {
        self.events.with_label_values(&[result.name()]).inc();
    }

    /// A list or watch failed.
    pub fn watch_failed(&self, kind: WatchKind) {
        self.watch_errors.with_label_values(&[kind.name()]).inc();
    }

    /// When the webhook's certificates end, as far as there are any.
    pub fn observe_expiry(&self, serving: Option<Timestamp>, authority: Option<Timestamp>) {
        self.serving_certificate_expiry.set(serving.map(seconds));
        self.ca_certificate_expiry.set(authority.map(seconds));
    }

    /// For metrics of others in the same process.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.whole.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(count: usize) -> Option<f64> {
    u32::try_from(count).ok().map(f64::from)
}

/// All of them, and what each is.
fn register() -> (ControllerMetrics, Vec<Described>) {
    const POOL: Label = Label::few("pool", "as nodes are labelled, or `default`");
    let mut catalog = Catalog::new(CONTROLLER);
    let metrics = ControllerMetrics {
        whole: Mutex::default(),
        leader: catalog.gauge("leader", "1 while this replica holds the Lease, 0 while another may."),
        nodes: catalog.gauges("nodes", [POOL], "Nodes."),
        nodes_reporting: catalog.gauges("nodes_reporting", [POOL], "Nodes that report a value."),
        nodes_old: catalog.gauges(
            "nodes_old",
            [POOL],
            "Nodes whose last value counts though it was reported more than 3 hours ago, or is reported no more.",
        ),
        pool_dind_mtu: catalog.gauges(
            "pool_dind_mtu_bytes",
            [POOL],
            "The MTU that dockerds in the pool are told: the least over its nodes, lowered at once, raised only after \
             it lasted and more than half of the nodes report.",
        ),
        pool_dind_mtu_stale: catalog.gauges(
            "pool_dind_mtu_stale",
            [POOL],
            "1 while old reports count for the pool's value, or no node reports any more and it is the last good one.",
        ),
        pool_largest_dind_mtu: catalog.gauges(
            "pool_largest_dind_mtu_bytes",
            [POOL],
            "The largest MTU that a node of the pool reports. Above the pool's own, its nodes differ.",
        ),
        reports_refused: catalog
            .gauge("reports_refused", "NodeMtus whose dindMtu is not between 576 and 65535: they count nowhere."),
        config_maps_foreign: catalog.gauge(
            "config_maps_foreign",
            "Namespaces labelled for a ConfigMap that have somebody else's of that name, which is left alone.",
        ),
        config_map_writes: catalog.counters(
            "config_map_writes_total",
            [Label::closed("result", &ConfigMapWrite::NAMES)],
            "Writes of ConfigMaps. not_leader: none was sent, since another replica may hold the Lease.",
        ),
        events: catalog.counters(
            "events_total",
            [Label::closed("result", &EventTold::NAMES)],
            "Events about pods. known: it was told before; refused: never to be told; failed: told later.",
        ),
        watch_errors: catalog.counters(
            "watch_errors_total",
            [Label::closed("kind", &WatchKind::NAMES)],
            "Lists and watches that failed and were begun anew.",
        ),
        serving_certificate_expiry: catalog.gauge(
            "serving_certificate_expiry_timestamp_seconds",
            "When the certificate ends that this replica serves the webhook with, since the epoch.",
        ),
        ca_certificate_expiry: catalog.gauge(
            "ca_certificate_expiry_timestamp_seconds",
            "When the newest CA of the webhook ends, since the epoch.",
        ),
        registry: catalog.registry.clone(),
    };
    let build_info =
        catalog.gauges("build_info", [Label::few("version", "of mtu-agent")], "1: what is running.");
    build_info.replace([([env!("CARGO_PKG_VERSION").to_owned()], 1.0)]);
    catalog.add(OwnProcess::new(), OwnProcess::described());
    (metrics, catalog.described)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mtu::LinkMtu;

    fn pool(mtu: Option<u32>, nodes: usize, reporting: usize, old: usize) -> Pool {
        let mtu = mtu.map(|mtu| LinkMtu::new(mtu).unwrap());
        Pool { mtu, largest: mtu.map(|_| LinkMtu::DOCKER_DEFAULT), nodes, reporting, old }
    }

    fn told(metrics: &ControllerMetrics, name: &str) -> Vec<String> {
        let prefix = format!("{CONTROLLER}{name}");
        let text = metrics.render();
        let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn each_pool_has_its_samples_and_what_is_unknown_has_none() {
        let metrics = ControllerMetrics::new();
        let pools = [("cloud", pool(Some(1450), 3, 2, 1)), ("metal", pool(None, 1, 0, 0))];
        metrics.observe_pools(&pools.map(|(name, pool)| (name.to_owned(), pool)).into(), 4);
        assert_eq!(told(&metrics, "nodes{"), ["pool=\"cloud\"} 3", "pool=\"metal\"} 1"]);
        assert_eq!(told(&metrics, "nodes_old{"), ["pool=\"cloud\"} 1", "pool=\"metal\"} 0"]);
        assert_eq!(told(&metrics, "pool_dind_mtu_bytes{"), ["pool=\"cloud\"} 1450"]);
        assert_eq!(told(&metrics, "pool_dind_mtu_stale{"), ["pool=\"cloud\"} 1"]);
        assert_eq!(told(&metrics, "pool_largest_dind_mtu_bytes{"), ["pool=\"cloud\"} 1500"]);
        assert_eq!(told(&metrics, "reports_refused "), ["4"]);
        metrics.observe_pools(&BTreeMap::new(), 0);
        assert!(told(&metrics, "nodes{").is_empty());
    }

    #[test]
    fn results_are_counted_from_0_on() {
        let metrics = ControllerMetrics::new();
        metrics.config_map_written(ConfigMapWrite::Applied);
        metrics.event_told(EventTold::Known);
        metrics.watch_failed(WatchKind::Nodes);
        let applied = [
            "result=\"applied\"} 1",
            "result=\"deleted\"} 0",
            "result=\"failed\"} 0",
            "result=\"not_leader\"} 0",
        ];
        assert_eq!(told(&metrics, "config_map_writes_total{"), applied);
        assert!(told(&metrics, "events_total{").contains(&"result=\"known\"} 1".to_owned()));
        assert!(told(&metrics, "watch_errors_total{").contains(&"kind=\"nodes\"} 1".to_owned()));
        assert!(told(&metrics, "leader").is_empty(), "not known yet");
        metrics.observe_expiry(Timestamp::from_second(1_700_000_000).ok(), None);
        assert_eq!(told(&metrics, "serving_certificate_expiry_timestamp_seconds "), ["1700000000"]);
        assert!(told(&metrics, "ca_certificate_expiry").is_empty());
        metrics.observe_leader(true);
        assert_eq!(told(&metrics, "leader "), ["1"]);
    }
}
