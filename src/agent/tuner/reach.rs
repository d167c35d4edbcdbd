//! Which namespaces an opt-in reaches, and which none does.

use std::collections::{BTreeMap, BTreeSet};

use super::guards::Order;
use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::scope::Chosen;
use crate::discovery::survey::Survey;
use crate::domain::permission::Permission;
use crate::domain::topology::NetnsIx;
use crate::publish::tune::NetnsId;

/// Namespaces of this host of which nobody allows so much, and that can be entered.
pub(super) fn out_of_reach(
    survey: &Survey,
    doors: &Doors,
    chosen: &[(Chosen, Permission)],
    at_least: Permission,
) -> BTreeSet<NetnsId> {
    let topology = &survey.look.topology;
    let allowing: BTreeSet<_> =
        chosen.iter().filter(|(_, it)| *it >= at_least).map(|(chosen, _)| chosen.opted_in.netns).collect();
    let is_in = |netns| {
        let parent = |netns: &NetnsIx| topology.netns(*netns).place.parent();
        std::iter::successors(Some(netns), parent).any(|around| allowing.contains(&around))
    };
    let known = topology.iter().filter(|(_, netns)| netns.place.level().is_some());
    let out = known.map(|(ix, _)| ix).filter(|netns| !is_in(*netns));
    let door = |netns: NetnsIx| survey.look.identities[netns.0].inode.and_then(|inode| doors.get(inode));
    out.filter_map(door).map(NetnsId::of).collect()
}

/// Where guards are to stand. What has no door is gone, or comes with the next survey.
pub(super) fn orders(
    survey: &Survey,
    doors: &mut Doors,
    chosen: &Chosen,
    permission: Permission,
    can_clamp: bool,
) -> Vec<Order> {
    if permission < Permission::Clamp {
        return Vec::new();
    }
    let look = &survey.look;
    let mut rules = match permission {
        Permission::Links => chosen.opted_in.rules(&look.topology, &survey.bounds.measured),
        Permission::Observe | Permission::Clamp => BTreeMap::new(),
    };
    let own = chosen.opted_in.netns;
    let own_rules = rules.remove(&own);
    let namespaces = rules.into_iter().map(|(netns, rules)| (netns, Some(rules)));
    let order = |(netns, links): (NetnsIx, _)| {
        let door = look.identities[netns.0].inode.and_then(|inode| doors.take(inode))?;
        let called = called(&look.topology, &look.identities, netns);
        let witness = look.identities[netns.0].pids.first().copied();
        Some(Order { netns: door, called, links, clamp: can_clamp && netns == own, witness })
    };
    namespaces.chain([(own, own_rules)]).filter_map(order).collect()
}

/// Namespaces that are nested where somebody opted in. Without a safe value none has links in scope.
pub(super) fn inodes_inside(survey: &Survey, chosen: &Chosen) -> impl Iterator<Item = u64> {
    let namespaces = chosen.opted_in.links.iter().map(|at| at.netns);
    let inside = namespaces.filter(|netns| *netns != chosen.opted_in.netns);
    inside.filter_map(|netns| survey.look.identities[netns.0].inode)
}
