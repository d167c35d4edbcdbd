//! `NodeMtu`: what the agent of one node tells the cluster. The only object that agents write.
//!
//! Its lists are bounded, and so is every text in it that somebody else chose: an object is stored and sent whole.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

pub mod pods;
pub mod report;

/// Most paths in a status.
pub const MOST_PATHS: usize = 16;
/// Most groups of links.
pub const MOST_LINKS: usize = 32;
/// Most pods; `podsTotal` tells how many there are.
pub const MOST_PODS: usize = 50;
/// Most characters of a text that the agent did not choose.
pub const MOST_CHARACTERS: usize = 253;
/// What is counted in an `integer` of 32 bits, as Kubernetes has them.
const MOST_COUNTED: u32 = i32::MAX.unsigned_abs();

/// The MTU that a nested dockerd may use on one node, and how that is known. Named as its node, which owns it.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::duplicated_attributes, reason = "columns have types in common")]
#[kube(
    group = "mtu-agent.dev",
    version = "v1alpha1",
    kind = "NodeMtu",
    plural = "nodemtus",
    shortname = "nmtu",
    status = "NodeMtuStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn(name = "Dind-MTU", type_ = "integer", json_path = ".status.dindMtu"),
    printcolumn(name = "Evidence", type_ = "string", json_path = ".status.evidence"),
    printcolumn(name = "Mismatches", type_ = "integer", json_path = ".status.mismatches"),
    printcolumn(name = "Changed", type_ = "date", json_path = ".status.observedChangeTime"),
    printcolumn(name = "Reported", type_ = "date", json_path = ".status.reportTime", priority = 1)
)]
pub struct NodeMtuSpec {}

/// What the node's agent found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = known_formats)]
pub struct NodeMtuStatus {
    /// Safe dind MTU, in bytes; absent if none could ever be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 65_535))]
    pub dind_mtu: Option<u32>,
    /// How it is known; absent while nothing that was found now is as small, because it is the last good one, or a larger
    /// one has not lasted long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<ReportedEvidence>,
    /// Each way in which an MTU no larger than `dindMtu` was found.
    #[serde(default)]
    #[schemars(length(max = 2))]
    pub methods: Vec<Method>,
    /// Paths that were searched in full and carry no more than `dindMtu`.
    #[serde(default)]
    #[schemars(range(max = MOST_COUNTED))]
    pub searches: u32,
    /// Since when nothing tells the value any more, which is the last good one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_since: Option<Time>,
    /// Links with a wrong MTU.
    #[serde(default)]
    #[schemars(range(max = MOST_COUNTED))]
    pub mismatches: u32,
    /// Path MTU to each target and family.
    #[serde(default)]
    #[schemars(length(max = MOST_PATHS))]
    pub paths: Vec<ReportedPath>,
    /// Links of pods and of the networks nested in them, by level and kind.
    #[serde(default)]
    #[schemars(length(max = MOST_LINKS))]
    pub links: Vec<ReportedLinks>,
    /// Pods of this node in which something disagrees with `dindMtu`; the first ones.
    #[serde(default)]
    #[schemars(length(max = MOST_PODS))]
    pub pods: Vec<ReportedPod>,
    /// How many there are of them.
    #[serde(default)]
    #[schemars(range(max = MOST_COUNTED))]
    pub pods_total: u32,
    /// When anything in here changed last, as far as the agent knows since it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_change_time: Option<Time>,
    /// When this was told last; repeated about hourly although nothing changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_time: Option<Time>,
    /// Version of the agent.
    #[serde(default)]
    #[schemars(length(max = MOST_CHARACTERS))]
    pub agent_version: String,
}

/// How a value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ReportedEvidence {
    /// From the configuration of links, routes, or the CNI.
    Configured,
    /// From the kernel's route cache.
    Learned,
    /// By probes.
    Measured,
}

/// A way to find an MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The MTU of a link, a route or the CNI's configuration.
    Link,
    /// Probes by ICMP echo.
    IcmpEcho,
}

/// Path MTU to one address of one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportedPath {
    /// As it was configured.
    #[schemars(length(max = MOST_CHARACTERS))]
    pub target: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// `both`: a reply of the same size came back.
    pub direction: String,
    /// `exact`, `black_hole`, …: as in the survey.
    pub verdict: String,
    /// In bytes; absent where none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65_535))]
    pub path_mtu: Option<u32>,
}

/// Links of one level and kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportedLinks {
    /// 0 the host, 1 pods, 2 and 3 what is nested in them, 4 whatever is deeper.
    #[schemars(range(max = 4))]
    pub level: u8,
    /// `veth`, `bridge`, …
    pub kind: String,
    /// Smallest MTU, in bytes.
    #[schemars(range(min = 1, max = MOST_COUNTED))]
    pub min_mtu: u32,
    /// Largest MTU, in bytes.
    #[schemars(range(min = 1, max = MOST_COUNTED))]
    pub max_mtu: u32,
    /// Links whose MTU is wrong.
    #[schemars(range(max = MOST_COUNTED))]
    pub mismatched: u32,
}

/// A pod in which something disagrees with the node's dind MTU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportedPod {
    /// Its namespace.
    #[schemars(length(max = MOST_CHARACTERS))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(max = MOST_CHARACTERS))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = MOST_CHARACTERS))]
    pub uid: String,
    /// What its annotation says, if that differs from the node's dind MTU.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MOST_CHARACTERS))]
    pub annotation: Option<String>,
    /// Links in it, at any depth, whose MTU is wrong.
    #[serde(default)]
    #[schemars(range(max = MOST_COUNTED))]
    pub mismatched_links: u32,
}

/// Kubernetes warns of formats that it does not know, such as those of unsigned integers.
fn known_formats(schema: &mut Schema) {
    if schema.get("type").is_some_and(|it| it == "integer" || it[0] == "integer") {
        schema.insert("format".to_owned(), "int32".into());
    }
    transform_subschemas(&mut known_formats, schema);
}

#[cfg(test)]
mod tests;
