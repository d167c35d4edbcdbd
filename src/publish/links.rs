//! Links by level and kind, as few groups as the series budget of metrics allows, and the size of a NodeMtu.

use std::collections::{BTreeMap, BTreeSet};

use crate::discovery::role::{Maker, Role, role};
use crate::discovery::survey::Survey;
use crate::domain::link::LinkRef;
use crate::domain::mtu::LinkMtu;

/// Levels as label values; deeper ones are one.
pub(super) const LEVELS: [&str; 5] = ["0", "1", "2", "3", "4+"];
/// Its position there.
const DEEPEST: u8 = 4;
/// Most groups on one node: each of them is three series.
pub(super) const MOST_GROUPS: usize = 14;

/// What is told of the links of one level and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) mismatched: u32,
    pub(super) least: LinkMtu,
    pub(super) largest: LinkMtu,
}

impl Group {
    fn merged(self, other: Self) -> Self {
        Self {
            mismatched: self.mismatched + other.mismatched,
            least: self.least.min(other.least),
            largest: self.largest.max(other.largest),
        }
    }
}

/// A level as it is told: deeper ones than the last are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(u8);

impl Level {
    pub(super) fn new(level: u8) -> Self {
        Self(level.min(DEEPEST))
    }

    pub(super) fn get(self) -> u8 {
        self.0
    }

    /// In metric labels.
    pub(super) fn label(self) -> &'static str {
        LEVELS[usize::from(self.0)]
    }
}

/// Groups of the links that carry packets, by level and kind. Too many for the budget, and those that no dockerd
/// made, of the deepest levels first, are told as `other`.
pub(super) fn groups(survey: &Survey) -> BTreeMap<(Level, Role), Group> {
    let all = all(survey);
    let mut by_interest: Vec<_> = all.into_iter().collect();
    by_interest.sort_by_key(|((level, role), _)| (role.maker() != Maker::Docker, *level, *role));
    let kept = if by_interest.len() > MOST_GROUPS { MOST_GROUPS - LEVELS.len() } else { MOST_GROUPS };
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    for (rank, ((level, role), group)) in by_interest.into_iter().enumerate() {
        let role = if rank < kept { role } else { Role::Other };
        let merge = |it: &mut Group| *it = it.merged(group);
        groups.entry((level, role)).and_modify(merge).or_insert(group);
    }
    groups
}

fn all(survey: &Survey) -> BTreeMap<(Level, Role), Group> {
    let topology = &survey.look.topology;
    let mismatched: BTreeSet<_> = survey.findings.iter().map(|finding| finding.mismatch.at).collect();
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    for (netns, it) in topology.iter() {
        let Some(level) = it.place.level() else { continue };
        for link in it.links.values() {
            let at = LinkRef { netns, ifindex: link.ifindex };
            let role = role(topology, at);
            if role == Role::Loopback || topology.is_idle(at) {
                continue;
            }
            let one =
                Group { mismatched: u32::from(mismatched.contains(&at)), least: link.mtu, largest: link.mtu };
            let merge = |it: &mut Group| *it = it.merged(one);
            groups.entry((Level::new(level), role)).and_modify(merge).or_insert(one);
        }
    }
    groups
}
