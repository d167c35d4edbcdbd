//! The values of many nodes, and what follows for their pools.
//!
//! Anybody may have written what a node is said to report, and agents come and go: a value is believed only where
//! docker could use it, it goes down at once, up only when it is sure, and it never goes away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::mtu::{IpFamily, LinkMtu};
use super::safe::SMALLEST_USEFUL;
use super::steady::SteadyMtu;

/// The pool of a node that names none.
pub const DEFAULT_POOL: &str = "default";
/// The largest MTU that docker can use.
const LARGEST_USEFUL: u32 = 65_535;
/// What a report needs to drag its pool under the minimum of IPv6: as many methods, and as many searches.
const ENOUGH: usize = 2;

/// The values that nodes and pools have now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Safe dind MTU of each node that tells one.
    pub nodes: BTreeMap<String, LinkMtu>,
    /// That of each pool.
    pub pools: BTreeMap<String, LinkMtu>,
    /// The pools that a namespace names; one that names none is not in here.
    pub namespaces: BTreeMap<String, BTreeSet<String>>,
}

impl Values {
    /// The safe dind MTU of a node.
    pub fn of_node(&self, name: &str) -> Option<LinkMtu> {
        self.nodes.get(name).copied()
    }

    /// The smallest over the pools that the namespace names, else over all.
    pub fn of_namespace(&self, name: &str) -> Option<LinkMtu> {
        let named = self.namespaces.get(name);
        let pools = self.pools.iter().filter(|(pool, _)| named.is_none_or(|named| named.contains(*pool)));
        pools.map(|(_, mtu)| *mtu).min()
    }
}

/// A value that docker can use; `None` for any other number.
pub fn useful(bytes: u32) -> Option<LinkMtu> {
    let is_useful = (SMALLEST_USEFUL..=LARGEST_USEFUL).contains(&bytes);
    LinkMtu::new(bytes).ok().filter(|_| is_useful)
}

/// The pools that an annotation names, separated by commas; `None` if it names none.
pub fn named_pools(annotation: &str) -> Option<BTreeSet<String>> {
    let names = annotation.split(',').map(str::trim).filter(|name| !name.is_empty());
    Some(names.map(str::to_owned).collect()).filter(|names: &BTreeSet<_>| !names.is_empty())
}

/// What a node is said to report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its value, if it tells one that is [`useful`].
    pub dind_mtu: Option<LinkMtu>,
    /// In how many different ways it was found.
    pub methods: usize,
    /// Paths that were searched in full and carry no more.
    pub searches: usize,
    /// From when on it is old.
    pub old_from: Instant,
}

impl Report {
    /// What it counts in its pool. Something is odd where not even IPv6 fits, so that takes more than one's word.
    fn counts(&self) -> Option<LinkMtu> {
        let minimum = IpFamily::V6.minimum_mtu().as_link_mtu();
        let is_sure = self.methods >= ENOUGH && self.searches >= ENOUGH;
        self.dind_mtu.map(|mtu| if is_sure { mtu } else { mtu.max(minimum) })
    }
}

/// What is known of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Its value.
    pub mtu: Option<LinkMtu>,
    /// The largest value that a node of it reports: where it is larger than the smallest, the nodes differ.
    pub largest: Option<LinkMtu>,
    /// Nodes that are in it.
    pub nodes: usize,
    /// Those of them that report a value.
    pub reporting: usize,
    /// Those of them whose last report counts though it is old, or is gone.
    pub old: usize,
}

/// Why a pool's value may not be true any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It is drawn from new reports only.
    Fresh,
    /// Some of the reports are old, or gone.
    OldReports,
    /// No node of the pool reports any more.
    NoReports,
}

impl Pool {
    /// Whether its value may be out of date.
    pub fn age(&self) -> Age {
        match (self.reporting, self.old) {
            (0, _) => Age::NoReports,
            (_, 0) => Age::Fresh,
            (_, _) => Age::OldReports,
        }
    }
}

/// The pools over time.
#[derive(Clone, Debug)]
pub struct Fleet {
    raise_after: Duration,
    steady: BTreeMap<String, SteadyMtu>,
    /// The last report with a value of each node: it may be deleted while its node carries no more than before.
    last: BTreeMap<String, Report>,
    next_old: Option<Instant>,
}

impl Fleet {
    /// A pool's larger value must have lasted for `raise_after` before it is taken.
    pub fn new(raise_after: Duration) -> Self {
        Self { raise_after, steady: BTreeMap::new(), last: BTreeMap::new(), next_old: None }
    }

    /// Goes on from what was published by an earlier run; where that disagrees, the smallest counts.
    pub fn resume(&mut self, now: Instant, published: impl IntoIterator<Item = (String, LinkMtu)>) {
        for (pool, mtu) in published {
            let least = self.steady.get(&pool).and_then(SteadyMtu::value).map_or(mtu, |value| value.min(mtu));
            self.steady.insert(pool, SteadyMtu::resume(self.raise_after, least, now));
        }
    }

    /// Draws the conclusions for each pool. `nodes` names the pool of each node that there is; the report of one that
    /// is gone counts nowhere. A node that tells no value any more counts with its last one, but in no quorum.
    pub fn fold<'a>(
        &mut self,
        now: Instant,
        nodes: &BTreeMap<String, String>,
        report_of: impl Fn(&str) -> Option<&'a Report>,
    ) -> BTreeMap<String, Pool> {
        let known = self.steady.keys().map(|pool| (pool.as_str(), Seen::default()));
        let mut seen: BTreeMap<&str, Seen> = known.collect();
        // A node may come back under its name, and its agent tells again about hourly.
        self.last.retain(|node, report| nodes.contains_key(node) || report.old_from > now);
        for (node, pool) in nodes {
            let report = report_of(node).filter(|report| report.dind_mtu.is_some());
            let last = self.last.get(node);
            let seen = seen.entry(pool).or_default();
            seen.pool.nodes += 1;
            match report {
                Some(report) => seen.add(now, report),
                None => seen.add_last(last),
            }
            if let Some(report) = report.filter(|report| last != Some(report)) {
                self.last.insert(node.clone(), report.clone());
            }
        }
        self.next_old = seen.values().filter_map(|seen| seen.next_old).min();
        let pools: Vec<_> = seen.into_iter().map(|(name, seen)| (name.to_owned(), seen)).collect();
        pools.into_iter().map(|(name, seen)| (name.clone(), self.observe(now, name, seen))).collect()
    }

    fn observe(&mut self, now: Instant, name: String, seen: Seen) -> Pool {
        let Seen { pool, least, next_old: _ } = seen;
        let has_quorum = pool.reporting * 2 > pool.nodes;
        if least.is_none() && !self.steady.contains_key(&name) {
            return pool;
        }
        let steady = self.steady.entry(name).or_insert_with(|| SteadyMtu::new(self.raise_after));
        // Without a quorum a larger value is nothing that was seen: the time until it is taken begins anew.
        let least = least.map(|least| match steady.value() {
            Some(value) if !has_quorum => least.min(value),
            Some(_) | None => least,
        });
        steady.observe(now, least);
        Pool { mtu: steady.value(), ..pool }
    }

    /// The last value of each of these nodes that told one.
    pub fn last_of<'a>(
        &self,
        nodes: impl Iterator<Item = &'a String>,
    ) -> impl Iterator<Item = (String, LinkMtu)> {
        nodes.filter_map(|node| Some((node.clone(), self.last.get(node)?.dind_mtu?)))
    }

    /// When to fold again although nothing changed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.steady.values().filter_map(SteadyMtu::poll_timeout).chain(self.next_old).min()
    }
}

/// A pool, as far as its nodes were gone through.
#[derive(Debug, Default)]
struct Seen {
    pool: Pool,
    least: Option<LinkMtu>,
    next_old: Option<Instant>,
}

impl Seen {
    fn add(&mut self, now: Instant, report: &Report) {
        let Some(mtu) = self.lower(report) else { return };
        self.pool.reporting += 1;
        self.pool.largest = self.pool.largest.max(Some(mtu));
        if report.old_from <= now {
            self.pool.old += 1;
        } else {
            self.next_old = Some(self.next_old.map_or(report.old_from, |next| next.min(report.old_from)));
        }
    }

    /// A node that tells nothing now.
    fn add_last(&mut self, report: Option<&Report>) {
        if report.and_then(|report| self.lower(report)).is_some() {
            self.pool.old += 1;
        }
    }

    fn lower(&mut self, report: &Report) -> Option<LinkMtu> {
        let mtu = report.counts()?;
        self.least = Some(self.least.map_or(mtu, |least| least.min(mtu)));
        Some(mtu)
    }
}

#[cfg(test)]
mod tests;
