//! What people are told of pods that a node's agent found wrong: one Event for each pod and finding. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::core::ObjectMeta;

use super::mirror::Change;
use super::seen::NodeReport;
use crate::domain::mtu::LinkMtu;
use crate::publish::kubernetes::node_mtu::ReportedPod;

/// Further findings wait until these are told, which takes a minute and a half.
const MOST_PENDING: usize = 1000;
/// Ten in a second: thousands of findings at once must not flood the API server.
const INTERVAL: Duration = Duration::from_millis(100);
/// After one that could not be told.
const BREATHER: Duration = Duration::from_secs(10);
/// Longest name of an object.
const LONGEST_NAME: usize = 253;
/// Longest name of a namespace.
const LONGEST_NAMESPACE: usize = 63;
/// A UID has 36 characters.
const LONGEST_UID: usize = 64;
/// As much of an annotation as is repeated: a size has five digits.
const QUOTED: usize = 40;
/// Who tells.
const REPORTER: &str = "mtu-agent.dev/controller";

/// What is wrong with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Finding {
    /// Links in it are larger than what its node carries.
    Mismatch,
    /// Its annotation is not its node's value.
    Stale,
}

impl Finding {
    const ALL: [Self; 2] = [Self::Mismatch, Self::Stale];

    /// The Event's `reason`.
    fn reason(self) -> &'static str {
        match self {
            Self::Mismatch => "DindMtuMismatch",
            Self::Stale => "DindMtuStale",
        }
    }

    fn is_in(self, pod: &ReportedPod) -> bool {
        match self {
            Self::Mismatch => pod.mismatched_links > 0,
            Self::Stale => pod.annotation.is_some(),
        }
    }

    /// What is wrong, and what to do.
    fn note(self, node: &str, mtu: LinkMtu, pod: &ReportedPod) -> String {
        match self {
            Self::Mismatch => {
                let (links, are) = match pod.mismatched_links {
                    1 => ("link".to_owned(), "is"),
                    count => (format!("{count} links"), "are"),
                };
                format!(
                    "On node {node}, networks nested in a pod may use an MTU of {mtu}; {links} in this pod {are} larger, \
                     so large downloads in its containers may hang. Give its dockerd --mtu={mtu}, and networks that it \
                     makes com.docker.network.driver.mtu={mtu}, then start the pod anew."
                )
            }
            Self::Stale => {
                let said: String = pod.annotation.iter().flat_map(|said| said.chars()).take(QUOTED).collect();
                format!(
                    "The annotation mtu-agent.dev/dind-mtu of this pod says {said:?}, but its node {node} carries \
                     {mtu} now. A dockerd that runs keeps the MTU that it was started with: start the pod anew."
                )
            }
        }
    }
}

/// A pod by its UID, and what is wrong with it.
pub(super) type Key = (String, Finding);

/// Which findings are to be told, and which have been.
#[derive(Debug)]
pub(super) struct Findings {
    /// The node of each that is not told yet; [`MOST_PENDING`] at most.
    pending: BTreeMap<Key, String>,
    /// There are more.
    is_cut: bool,
    /// No more than is listed now.
    told: BTreeSet<Key>,
    next: Option<Instant>,
    is_busy: bool,
}

impl Findings {
    pub(super) fn new() -> Self {
        let (pending, told) = (BTreeMap::new(), BTreeSet::new());
        Self { pending, is_cut: false, told, next: None, is_busy: false }
    }

    /// Takes what is listed now. What is listed no more is neither told nor remembered.
    pub(super) fn list(&mut self, reports: &BTreeMap<String, NodeReport>) {
        let listed: BTreeMap<(&str, Finding), &str> = listed(reports).collect();
        self.told.retain(|(uid, finding)| listed.contains_key(&(uid.as_str(), *finding)));
        let untold = listed.into_iter().map(|((uid, finding), node)| ((uid.to_owned(), finding), node));
        let mut untold = untold.filter(|(key, _)| !self.told.contains(key));
        let pending = untold.by_ref().take(MOST_PENDING).map(|(key, node)| (key, node.to_owned()));
        self.pending = pending.collect();
        self.is_cut = untold.next().is_some();
    }

    /// The next one to tell, if it is time; it is then taken as under way.
    pub(super) fn due(
        &mut self,
        now: Instant,
        reports: &BTreeMap<String, NodeReport>,
    ) -> Option<(Key, Told)> {
        while !self.is_busy && self.next.is_none_or(|next| next <= now) {
            if self.pending.is_empty() && self.is_cut {
                self.list(reports);
            }
            let (key, node) = self.pending.pop_first()?;
            let Some(told) = told(&key, &node, reports) else { continue };
            self.is_busy = true;
            self.next = Some(now + INTERVAL);
            return Some((key, told));
        }
        None
    }

    /// When there is something to tell again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next.filter(|_| !self.is_busy && (self.is_cut || !self.pending.is_empty()))
    }

    /// It was told, or never can be.
    pub(super) fn told(&mut self, key: Key) {
        self.is_busy = false;
        self.pending.remove(&key);
        self.told.insert(key);
    }

    /// It was not; it is told later, if it is still listed.
    pub(super) fn failed(&mut self, now: Instant, reports: &BTreeMap<String, NodeReport>) {
        self.is_busy = false;
        self.next = Some(now + BREATHER);
        self.list(reports);
    }

    /// Another replica tells from now on.
    pub(super) fn abandon(&mut self) {
        *self = Self::new();
    }
}

/// What is listed, with the node of each.
fn listed(reports: &BTreeMap<String, NodeReport>) -> impl Iterator<Item = ((&str, Finding), &str)> {
    let told = reports.iter().filter(|(_, report)| report.report.dind_mtu.is_some());
    let pods = told.flat_map(|(node, report)| report.pods.iter().map(move |pod| (node.as_str(), pod)));
    pods.filter(|(_, pod)| can_be_told(pod)).flat_map(|(node, pod)| {
        let findings = Finding::ALL.into_iter().filter(|finding| finding.is_in(pod));
        findings.map(move |finding| ((pod.uid.as_str(), finding), node))
    })
}

/// Whether something else may be listed after this change: most reports only say that they are new.
pub(super) fn may_change(known: &BTreeMap<String, NodeReport>, change: &Change<NodeReport>) -> bool {
    fn said(report: &NodeReport) -> (Option<LinkMtu>, &[ReportedPod]) {
        (report.report.dind_mtu, &report.pods)
    }
    match change {
        Change::Listing => false,
        Change::Listed(name, report) | Change::Set(name, report) => {
            known.get(name).map(said) != report.as_ref().map(said)
        }
        Change::Complete | Change::Gone(_) => true,
    }
}

/// Whether an Event about it could be made at all: the API server checks names, and a report could say anything.
fn can_be_told(pod: &ReportedPod) -> bool {
    let is_name = |text: &str, longest: usize| {
        let is_allowed =
            |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-.".contains(char);
        !text.is_empty() && text.len() <= longest && text.chars().all(is_allowed)
    };
    is_name(&pod.namespace, LONGEST_NAMESPACE)
        && is_name(&pod.name, LONGEST_NAME)
        && is_name(&pod.uid, LONGEST_UID)
}

/// All that an Event says but when, and by which replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) namespace: String,
    name: String,
    pod: String,
    uid: String,
    reason: &'static str,
    note: String,
}

fn told(key: &Key, node: &str, reports: &BTreeMap<String, NodeReport>) -> Option<Told> {
    let (uid, finding) = key;
    let report = reports.get(node)?;
    let mtu = report.report.dind_mtu?;
    let pod = report.pods.iter().find(|pod| pod.uid == *uid && finding.is_in(pod))?;
    Some(Told {
        namespace: pod.namespace.clone(),
        name: event_name(&pod.name, key),
        pod: pod.name.clone(),
        uid: uid.clone(),
        reason: finding.reason(),
        note: finding.note(node, mtu, pod),
    })
}

/// The same for the same finding, whichever replica tells it: the API server takes each name once.
fn event_name(pod: &str, (uid, finding): &Key) -> String {
    let mut hasher = DefaultHasher::new();
    (uid, finding.reason()).hash(&mut hasher);
    let suffix = format!(".{:016x}", hasher.finish());
    let cut: String = pod.chars().take(LONGEST_NAME - suffix.len()).collect();
    // A name part must not end with a dash or a dot.
    format!("{}{suffix}", cut.trim_end_matches(['-', '.']))
}

impl Told {
    /// As it is made.
    pub(super) fn event(self, at: Timestamp, identity: &str) -> Event {
        let Self { namespace, name, pod, uid, reason, note } = self;
        Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            reporting_controller: Some(REPORTER.into()),
            reporting_instance: Some(identity.chars().take(128).collect()),
            action: Some("Compare".into()),
            reason: Some(reason.into()),
            type_: Some("Warning".into()),
            note: Some(note),
            regarding: Some(ObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod),
                namespace: Some(namespace),
                uid: Some(uid),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }
}

#[cfg(test)]
mod tests;
