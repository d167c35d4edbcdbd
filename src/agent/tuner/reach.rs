//! Which namespaces an opt-in reaches, and which none does.

use std::collections::{BTreeMap, BTreeSet};

use super::guards::Order;
use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::opt_in::OptIns;
use crate::discovery::scope::Chosen;
use crate::discovery::survey::{Look, Survey};
use crate::domain::permission::Permission;
use crate::domain::topology::NetnsIx;
use crate::publish::tune::NetnsId;

/// Namespaces of this host that can be entered and of which it is known that nobody allows so much there.
pub(super) fn out_of_reach(
    survey: &Survey,
    doors: &Doors,
    chosen: &[(Chosen, Permission)],
    opt_ins: &OptIns,
    at_least: Permission,
) -> BTreeSet<NetnsId> {
    let door = |netns: NetnsIx| survey.look.identities[netns.0].inode.and_then(|inode| doors.get(inode));
    nobodys(&survey.look, chosen, opt_ins, at_least).filter_map(door).map(NetnsId::of).collect()
}

/// A pod that asks and was not found is where no pod is told, which may be anywhere: then nothing is known of those. Its
/// processes may have ended while they were looked at.
fn nobodys(
    look: &Look,
    chosen: &[(Chosen, Permission)],
    opt_ins: &OptIns,
    at_least: Permission,
) -> impl Iterator<Item = NetnsIx> {
    let Look { topology, identities, .. } = look;
    let allowing: BTreeSet<_> =
        chosen.iter().filter(|(_, it)| *it >= at_least).map(|(chosen, _)| chosen.opted_in.netns).collect();
    let asking = opt_ins.pods.iter().filter(|(_, asked)| **asked >= at_least).map(|(uid, _)| uid);
    let first_level = topology.iter().zip(identities).filter(|((_, it), _)| it.place.level() == Some(1));
    let pods: BTreeMap<_, _> = first_level.map(|((ix, _), it)| (ix, it.pod_uid.as_ref())).collect();
    let is_one_missing = asking.into_iter().any(|uid| !pods.values().flatten().any(|found| *found == uid));
    let may_be_missing = move |netns| is_one_missing && pods.get(&netns).is_some_and(Option::is_none);
    let is_somebodys = move |netns| allowing.contains(&netns) || may_be_missing(netns);
    let parent = |netns: &NetnsIx| topology.netns(*netns).place.parent();
    let of_this_host = topology.iter().filter(|(_, netns)| netns.place.level().is_some()).map(|(ix, _)| ix);
    of_this_host.filter(move |netns| !std::iter::successors(Some(*netns), parent).any(&is_somebodys))
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

#[cfg(test)]
mod tests;
