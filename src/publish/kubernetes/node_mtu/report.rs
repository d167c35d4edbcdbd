//! What a survey and the pods of the node make of the NodeMtu's status. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pods::{Pod, Pods};
use super::{
    MOST_CHARACTERS, MOST_COUNTED, MOST_LINKS, MOST_PATHS, MOST_PODS, Method, NodeMtuStatus,
    ReportedEvidence, ReportedLinks, ReportedPath, ReportedPod,
};
use crate::discovery::cni;
use crate::discovery::path::{Path, PathResult};
use crate::discovery::role::Role;
use crate::discovery::survey::Survey;
use crate::domain::evidence::Evidence;
use crate::domain::mtu::{IpFamily, LinkMtu, PathMtu};
use crate::domain::safe::Bounds;
use crate::domain::steady::SteadyMtu;
use crate::domain::topology::NetnsIx;
use crate::publish::links;

/// What one survey tells of its node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeReport {
    /// Without what pods and clocks tell.
    status: NodeMtuStatus,
    is_lost: bool,
    nested: Vec<Nested>,
}

/// A network at level 1 in which links have a wrong MTU, with what pods it may be known by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Nested {
    pod_uid: Option<String>,
    addresses: Vec<IpAddr>,
    mismatched_links: u32,
}

impl NodeReport {
    /// Of the survey, with the value that the node publishes.
    pub fn new(survey: &Survey, steady: &SteadyMtu) -> Self {
        let value = steady.value();
        let at_most = |mtu: LinkMtu| value.is_some_and(|value| mtu <= value);
        let searched: BTreeSet<_> = survey
            .measured
            .iter()
            .filter(|(_, path)| at_most(path.path_mtu.as_link_mtu()))
            .map(|(position, path)| (&survey.paths[*position].target, path.family))
            .collect();
        let by_link = configured(survey).is_some_and(at_most).then_some(Method::Link);
        let by_search = (!searched.is_empty()).then_some(Method::IcmpEcho);
        let safe = survey.safe_dind_mtu().filter(|safe| Some(safe.mtu) == value);
        let status = NodeMtuStatus {
            dind_mtu: value.map(LinkMtu::get),
            evidence: safe.map(|safe| evidence(safe.evidence)),
            methods: by_link.into_iter().chain(by_search).collect(),
            searches: counted(searched.len()),
            mismatches: counted(survey.findings.len()),
            paths: survey.paths.iter().filter_map(reported_path).take(MOST_PATHS).collect(),
            links: reported_links(survey),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..NodeMtuStatus::default()
        };
        Self { status, is_lost: steady.lost_since().is_some(), nested: nested(survey) }
    }

    /// The whole status as of `now`, which is when it changed if it is not as it was `before`.
    pub fn status(&self, pods: &Pods, before: Option<&NodeMtuStatus>, now: Timestamp) -> NodeMtuStatus {
        let mut status = self.status.clone();
        let disagreeing = self.disagreeing(pods);
        status.pods_total = counted(disagreeing.len());
        status.pods = disagreeing.into_iter().take(MOST_PODS).collect();
        let earlier = before.and_then(|before| before.lost_since.clone());
        status.lost_since = self.is_lost.then(|| earlier.unwrap_or(Time(now)));
        let unchanged = before.filter(|before| is_same(before, &status));
        let since = unchanged.and_then(|before| before.observed_change_time.clone());
        status.observed_change_time = Some(since.unwrap_or(Time(now)));
        status
    }

    /// Pods in which something disagrees with the value, those with wrong links first, then in the order of their names.
    fn disagreeing(&self, pods: &Pods) -> Vec<ReportedPod> {
        let mut links: BTreeMap<&str, u32> = BTreeMap::new();
        for nested in &self.nested {
            if let Some(uid) = nested.pod(pods) {
                *links.entry(uid).or_default() += nested.mismatched_links;
            }
        }
        let value = self.status.dind_mtu.map(|value| value.to_string());
        let reported = |(uid, pod): (&String, &Pod)| {
            let differs = |said: &&String| value.as_ref().is_some_and(|value| value != *said);
            let annotation = pod.annotation.as_ref().filter(|_| !pod.ended).filter(differs);
            let mismatched_links = links.get(uid.as_str()).copied().unwrap_or_default();
            (annotation.is_some() || mismatched_links > 0).then(|| ReportedPod {
                namespace: pod.namespace.clone(),
                name: pod.name.clone(),
                uid: uid.clone(),
                annotation: annotation.map(|said| short(said)),
                mismatched_links,
            })
        };
        let mut disagreeing: Vec<_> = pods.iter().filter_map(reported).collect();
        disagreeing.sort_by(|a, b| order(a).cmp(&order(b)));
        disagreeing
    }
}

/// Wrong links are wrong for certain: they are not cut off for annotations in which nothing may believe.
fn order(pod: &ReportedPod) -> (bool, &str, &str, &str) {
    (pod.mismatched_links == 0, &pod.namespace, &pod.name, &pod.uid)
}

impl Nested {
    /// Uid of the pod whose network it is. A static pod's cgroup has another uid than its mirror in the API.
    fn pod<'a>(&self, pods: &'a Pods) -> Option<&'a str> {
        let by_uid = self.pod_uid.as_ref().and_then(|uid| pods.get_key_value(uid));
        let found = by_uid.or_else(|| pods.iter().find(|(_, pod)| pod.has_any_of(&self.addresses)));
        found.map(|(uid, _)| uid.as_str())
    }
}

/// Whether two tell the same but for when.
pub fn is_same(a: &NodeMtuStatus, b: &NodeMtuStatus) -> bool {
    let undated = |status: &NodeMtuStatus| NodeMtuStatus {
        lost_since: status.lost_since.is_some().then_some(Time(Timestamp::MIN)),
        observed_change_time: None,
        report_time: None,
        ..status.clone()
    };
    undated(a) == undated(b)
}

/// The least that links, routes and the CNI's files tell: the safe value, had nothing been probed.
fn configured(survey: &Survey) -> Option<LinkMtu> {
    let topology = &survey.look.topology;
    let bounds = Bounds {
        maximum: PathMtu::MAX.as_link_mtu(),
        overlays: cni::overlays(topology),
        expected: survey.look.expected.as_ref().map(|expected| expected.mtu),
        measured: Vec::new(),
    };
    let of = |family| topology.safe_dind_mtu(family, &bounds).map(|safe| safe.mtu);
    IpFamily::ALL.into_iter().filter_map(of).min()
}

fn evidence(evidence: Evidence) -> ReportedEvidence {
    match evidence {
        Evidence::Configured => ReportedEvidence::Configured,
        Evidence::Learned => ReportedEvidence::Learned,
        Evidence::Measured => ReportedEvidence::Measured,
    }
}

/// Of a path that was searched: what could not be is told by the survey.
fn reported_path(path: &Path) -> Option<ReportedPath> {
    let PathResult::Searched(outcome) = &path.result else { return None };
    Some(ReportedPath {
        target: short(&path.target),
        family: match path.family()? {
            IpFamily::V4 => "ipv4".to_owned(),
            IpFamily::V6 => "ipv6".to_owned(),
        },
        direction: "both".to_owned(),
        verdict: outcome.verdict.name().to_owned(),
        path_mtu: outcome.verdict.path_mtu().map(|path_mtu| path_mtu.get().into()),
    })
}

fn reported_links(survey: &Survey) -> Vec<ReportedLinks> {
    let reported = |((level, role), group): ((links::Level, Role), links::Group)| ReportedLinks {
        level: level.get(),
        kind: role.label().to_owned(),
        min_mtu: group.least.get().min(MOST_COUNTED),
        max_mtu: group.largest.get().min(MOST_COUNTED),
        mismatched: group.mismatched.min(MOST_COUNTED),
    };
    links::groups(survey).into_iter().take(MOST_LINKS).map(reported).collect()
}

fn nested(survey: &Survey) -> Vec<Nested> {
    let topology = &survey.look.topology;
    let mut nested = BTreeMap::new();
    for finding in &survey.findings {
        let Some(netns) = topology.first_level(finding.mismatch.at.netns) else { continue };
        *nested.entry(netns).or_insert(0) += 1;
    }
    let of = |(netns, mismatched_links): (NetnsIx, u32)| {
        let identity = &survey.look.identities[netns.0];
        Nested { pod_uid: identity.pod_uid.clone(), addresses: identity.addresses.clone(), mismatched_links }
    };
    nested.into_iter().map(of).collect()
}

fn counted(count: usize) -> u32 {
    u32::try_from(count).map_or(MOST_COUNTED, |count| count.min(MOST_COUNTED))
}

fn short(text: &str) -> String {
    text.chars().take(MOST_CHARACTERS).collect()
}

#[cfg(test)]
mod tests;
