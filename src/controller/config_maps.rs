//! The ConfigMap of each namespace: what it is to say, and when it is written. Pure: takes `now`.
//!
//! ```text
//! labelled, some pool has a value ─► write what differs, ours or absent
//!           no pool has one ───────► leave what is there
//! not labelled ────────────────────► delete what is ours
//! somebody else's ─────────────────► leave it, whatever the label
//! ```
//!
//! The controller's own namespace is as one that is labelled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::ObjectMeta;

use super::seen::{SeenConfigMap, SeenNamespace};
use crate::domain::fleet::{Age, Pool, Values};
use crate::domain::mtu::LinkMtu;
use crate::publish::host_file::daemon_json;
use crate::publish::kubernetes::names::{
    CONFIG_MAP, CONFIG_MAP_DAEMON_JSON, CONFIG_MAP_KEY, CONTROLLER_MANAGER, MANAGED_BY, OLD_VALUES,
};

/// The values of pools that an earlier run published.
///
/// Those of the controller's own namespace alone: whoever may edit a namespace of theirs would otherwise have values,
/// and pools that there are not, told to all. While it has none (the version before kept none, or somebody deleted it)
/// those of all namespaces, but only for pools in which there are nodes, whose reports put right what is wrong.
pub(super) fn published(
    own: &str,
    found: &BTreeMap<String, SeenConfigMap>,
    nodes: &BTreeMap<String, String>,
) -> Vec<(String, LinkMtu)> {
    let ours = |found: &&SeenConfigMap| found.is_ours;
    if let Some(own) = found.get(own).filter(ours) {
        return own.published().collect();
    }
    let pools: BTreeSet<_> = nodes.values().collect();
    let all = found.values().filter(ours).flat_map(SeenConfigMap::published);
    all.filter(|(pool, _)| pools.contains(pool)).collect()
}

/// Writes under way at once.
const MOST_AT_ONCE: usize = 4;

/// What a ConfigMap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its entries.
    pub data: BTreeMap<String, String>,
    /// Its annotation about values that may be out of date.
    pub old_values: Option<String>,
}

/// What the ConfigMap of a namespace is to say; `None` while its pools have no value.
pub fn render(namespace: &str, values: &Values, pools: &BTreeMap<String, Pool>) -> Option<Content> {
    let mtu = values.of_namespace(namespace)?;
    let of_pools =
        values.pools.iter().map(|(pool, mtu)| (format!("{CONFIG_MAP_KEY}.{pool}"), mtu.to_string()));
    let own =
        [(CONFIG_MAP_KEY.to_owned(), mtu.to_string()), (CONFIG_MAP_DAEMON_JSON.to_owned(), daemon_json(mtu))];
    Some(Content { data: of_pools.chain(own).collect(), old_values: old_values(pools) })
}

/// In words that change no more often than they must, since each change is a write for every namespace.
fn old_values(pools: &BTreeMap<String, Pool>) -> Option<String> {
    let published = pools.iter().filter(|(_, pool)| pool.mtu.is_some());
    let old: Vec<_> = published
        .filter_map(|(name, pool)| match pool.age() {
            Age::Fresh => None,
            Age::OldReports => Some(format!("{name}: reports count that are older than 3 hours or gone")),
            Age::NoReports => Some(format!("{name}: no node reports")),
        })
        .collect();
    (!old.is_empty()).then(|| old.join("; "))
}

impl Content {
    /// As it is applied.
    pub fn applied_to(&self, namespace: &str) -> ConfigMap {
        let old_values = self.old_values.clone().map(|old| (OLD_VALUES.to_owned(), old));
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(CONFIG_MAP.into()),
                namespace: Some(namespace.to_owned()),
                labels: Some([(MANAGED_BY.to_owned(), CONTROLLER_MANAGER.to_owned())].into()),
                annotations: old_values.map(|old| [old].into()),
                ..ObjectMeta::default()
            },
            data: Some(self.data.clone()),
            ..ConfigMap::default()
        }
    }

    fn is_said_by(&self, found: &SeenConfigMap) -> bool {
        self.old_values == found.old_values
            && self.data.iter().all(|(key, value)| found.data.get(key) == Some(value))
    }
}

/// Something to do about one ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Make it say this.
    Apply(Content),
    /// Take it away, if it is still this one.
    Delete { uid: Option<String>, resource_version: Option<String> },
}

/// What is to be true, and what is.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    pub(super) values: &'a Values,
    pub(super) pools: &'a BTreeMap<String, Pool>,
    pub(super) namespaces: &'a BTreeMap<String, SeenNamespace>,
    /// By namespace.
    pub(super) found: &'a BTreeMap<String, SeenConfigMap>,
}

impl State<'_> {
    /// Namespaces that want a ConfigMap and have somebody else's of that name.
    pub(super) fn foreign(&self) -> BTreeSet<String> {
        let is_foreign = |name: &str| self.found.get(name).is_some_and(|found| !found.is_ours);
        let wanting = self.namespaces.iter().filter(|(_, namespace)| namespace.wants_config_map);
        wanting.map(|(name, _)| name).filter(|name| is_foreign(name)).cloned().collect()
    }

    fn write(&self, namespace: &str) -> Option<Write> {
        let seen = self.namespaces.get(namespace);
        let found = self.found.get(namespace);
        if seen.is_some_and(|seen| seen.is_ending) || found.is_some_and(|found| !found.is_ours) {
            return None;
        }
        if seen.is_some_and(|seen| seen.wants_config_map) {
            let content = render(namespace, self.values, self.pools)?;
            let is_said = found.is_some_and(|found| content.is_said_by(found));
            return (!is_said).then_some(Write::Apply(content));
        }
        found.map(|found| Write::Delete {
            uid: found.uid.clone(),
            resource_version: found.resource_version.clone(),
        })
    }

    /// All in which something may have to be written.
    fn names(&self) -> impl Iterator<Item = &String> {
        let wanting = self.namespaces.iter().filter(|(_, namespace)| namespace.wants_config_map);
        wanting.map(|(name, _)| name).chain(self.found.keys())
    }
}

/// When each ConfigMap may be written again.
///
/// Each is looked at once for a change, and once when it may be written again; no more are looked at than can be
/// written.
///
/// ```text
/// change ─► open ─► begun ─► rests for a window ─► open
///            └────► says what it should
/// ```
#[derive(Debug)]
pub(super) struct Debounce {
    window: Duration,
    /// To be looked at.
    open: BTreeSet<String>,
    busy: BTreeSet<String>,
    /// Written within the last window.
    resting: BTreeSet<String>,
    /// The same with when each was, the first one in front.
    written: VecDeque<(Instant, String)>,
}

/// What to do now, and when to ask again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) writes: Vec<(String, Write)>,
    pub(super) next: Option<Instant>,
}

impl Debounce {
    /// Each is written at most once in `window`, and the first time at once.
    pub(super) fn new(window: Duration) -> Self {
        let (open, busy, resting) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { window, open, busy, resting, written: VecDeque::new() }
    }

    /// Any of them may have to say something else now.
    pub(super) fn changed(&mut self, state: &State<'_>) {
        self.open = state.names().filter(|name| !self.resting.contains(*name)).cloned().collect();
    }

    /// What is to be written now; that is taken as begun.
    pub(super) fn due(&mut self, now: Instant, state: &State<'_>) -> Due {
        while let Some((_, rested)) = self.written.pop_front_if(|(written, _)| *written + self.window <= now)
        {
            self.resting.remove(&rested);
            self.open.insert(rested);
        }
        let mut writes = Vec::new();
        let mut under_way = Vec::new();
        while self.busy.len() < MOST_AT_ONCE
            && let Some(namespace) = self.open.pop_first()
        {
            if self.busy.contains(&namespace) {
                under_way.push(namespace);
            } else if let Some(write) = state.write(&namespace) {
                self.busy.insert(namespace.clone());
                self.resting.insert(namespace.clone());
                self.written.push_back((now, namespace.clone()));
                writes.push((namespace, write));
            }
        }
        self.open.extend(under_way);
        Due { writes, next: self.written.front().map(|(written, _)| *written + self.window) }
    }

    /// A write ended, well or not. What is open may go on.
    pub(super) fn done(&mut self, namespace: &str) {
        self.busy.remove(namespace);
    }

    /// Whatever was under way is not any more.
    pub(super) fn abandon(&mut self) {
        self.busy.clear();
    }
}

#[cfg(test)]
mod tests;
