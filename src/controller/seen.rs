//! Objects of Kubernetes as they are seen: of each, only what is used, and nothing in it is trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::core::PartialObjectMeta;
use kube::core::metadata::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::Deserialize;
use serde_json::Value;

use super::mirror::Change;
use crate::domain::fleet::{DEFAULT_POOL, Report, named_pools, useful};
use crate::domain::mtu::LinkMtu;
use crate::publish::kubernetes::names::{
    CONFIG_MAP_DAEMON_JSON, CONFIG_MAP_KEY, CONFIG_MAP_LABEL, CONTROLLER_MANAGER, ENABLED, MANAGED_BY,
    OLD_VALUES, POOLS,
};
use crate::publish::kubernetes::node_mtu::{NodeMtu, ReportedPod};

/// A report that was told longer ago is old: agents repeat theirs about hourly.
const OLD_AFTER: Duration = Duration::from_hours(3);
/// Further pods of one node are not looked at: its agent tells fewer.
const MOST_PODS: usize = 64;

/// A `NodeMtu`, whatever its fields are.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = NodeMtu)]
pub(super) struct SeenNodeMtu {
    pub(super) metadata: ObjectMeta,
    #[serde(default)]
    status: Option<SeenStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SeenStatus {
    dind_mtu: Value,
    methods: Value,
    searches: Value,
    report_time: Value,
    pods: Value,
}

/// What is kept of a `NodeMtu`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NodeReport {
    pub(super) report: Report,
    /// Whether it tells a number that cannot be.
    pub(super) is_refused: bool,
    /// Pods in which something disagrees.
    pub(super) pods: Vec<ReportedPod>,
}

impl SeenNodeMtu {
    /// What it says. `now` and `wall` are the same moment by two clocks.
    pub(super) fn report(&self, now: Instant, wall: Timestamp) -> NodeReport {
        let none = SeenStatus::default();
        let status = self.status.as_ref().unwrap_or(&none);
        let bytes = status.dind_mtu.as_u64().and_then(|bytes| u32::try_from(bytes).ok());
        let dind_mtu = bytes.and_then(useful);
        let methods: BTreeSet<_> =
            status.methods.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let searches = status.searches.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let told = status.report_time.as_str().and_then(|time| time.parse::<Timestamp>().ok());
        let age =
            told.map_or(OLD_AFTER, |told| Duration::try_from(wall.duration_since(told)).unwrap_or_default());
        let pods = status.pods.as_array().into_iter().flatten().take(MOST_PODS);
        let pods = pods.filter_map(|pod| ReportedPod::deserialize(pod).ok()).collect();
        NodeReport {
            report: Report {
                dind_mtu,
                methods: methods.len(),
                searches,
                old_from: now + OLD_AFTER.saturating_sub(age),
            },
            is_refused: !status.dind_mtu.is_null() && dind_mtu.is_none(),
            pods,
        }
    }
}

/// The pool of a node.
pub(super) fn pool(node: &PartialObjectMeta<Node>, label: &str) -> String {
    let named = node.labels().get(label).filter(|pool| !pool.is_empty());
    named.map_or(DEFAULT_POOL, String::as_str).to_owned()
}

/// What is kept of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenNamespace {
    /// Whether it is labelled for the ConfigMap, or is the controller's own.
    pub(super) wants_config_map: bool,
    /// Whether it is on its way out: nothing can be made in it any more.
    pub(super) is_ending: bool,
    /// The pools that it names.
    pub(super) pools: Option<BTreeSet<String>>,
}

impl SeenNamespace {
    /// `None` for one that says nothing to us. `own` is the controller's, which keeps the values of all pools.
    pub(super) fn of(namespace: &PartialObjectMeta<Namespace>, own: &str) -> Option<Self> {
        let label = namespace.labels().get(CONFIG_MAP_LABEL);
        let is_own = namespace.name_any() == own;
        let pools = namespace.annotations().get(POOLS).filter(|_| !is_own);
        let seen = Self {
            wants_config_map: is_own || label.is_some_and(|value| value == ENABLED),
            is_ending: namespace.meta().deletion_timestamp.is_some(),
            pools: pools.and_then(|pools| named_pools(pools)),
        };
        (seen.wants_config_map || seen.pools.is_some()).then_some(seen)
    }
}

/// What is kept of a ConfigMap with our name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenConfigMap {
    /// Whether it says that the controller made it.
    pub(super) is_ours: bool,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
    /// What it says where we would say something.
    pub(super) data: BTreeMap<String, String>,
    /// What it says of old values.
    pub(super) old_values: Option<String>,
}

impl SeenConfigMap {
    pub(super) fn of(config_map: ConfigMap) -> Self {
        let ConfigMap { metadata, data, .. } = config_map;
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
        let is_ours = label.is_some_and(|value| value == CONTROLLER_MANAGER);
        let is_told =
            |key: &str| key == CONFIG_MAP_DAEMON_JSON || key == CONFIG_MAP_KEY || pool_of_key(key).is_some();
        let data = data.filter(|_| is_ours).unwrap_or_default();
        Self {
            is_ours,
            data: data.into_iter().filter(|(key, _)| is_told(key)).collect(),
            old_values: metadata.annotations.and_then(|mut annotations| annotations.remove(OLD_VALUES)),
            uid: metadata.uid,
            resource_version: metadata.resource_version,
        }
    }

    /// The values of pools that it tells.
    pub(super) fn published(&self) -> impl Iterator<Item = (String, LinkMtu)> {
        self.data.iter().filter_map(|(key, value)| {
            Some((pool_of_key(key)?.to_owned(), value.parse().ok().and_then(useful)?))
        })
    }
}

fn pool_of_key(key: &str) -> Option<&str> {
    key.strip_prefix(CONFIG_MAP_KEY)?.strip_prefix('.').filter(|pool| !pool.is_empty())
}

/// What is told of one kind.
#[derive(Debug)]
pub(super) enum News {
    NodeMtus(Change<NodeReport>),
    Nodes(Change<String>),
    Namespaces(Change<SeenNamespace>),
    ConfigMaps(Change<SeenConfigMap>),
}

#[cfg(test)]
mod tests;
