//! Which namespaces an opt-in reaches, and which none does.

use std::collections::{BTreeMap, BTreeSet};

use super::guards::Order;
use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::opt_in::OptIns;
use crate::discovery::scope::Chosen;
use crate::discovery::survey::{Look, Survey};
use crate::domain::link::{Ifindex, LinkRef};
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::Permission;
use crate::domain::plan::Change;
use crate::domain::topology::{NetnsIx, Topology};
use crate::publish::tune::NetnsId;

/// The end of one is told; so many may have ended before.
const WITNESSES: usize = 16;

/// Namespaces of this host that can be entered and of which it is known that nobody allows so much there.
pub(super) fn out_of_reach(
    survey: &Survey,
    doors: &Doors,
    chosen: &[(Chosen, Permission)],
    opt_ins: &OptIns,
    at_least: Permission,
) -> BTreeSet<NetnsId> {
    let door = |netns: NetnsIx| doors.to(&survey.look.identities[netns.0]);
    nobodys(&survey.look, chosen, opt_ins, at_least).filter_map(door).map(NetnsId::of).collect()
}

/// A pod that asks and was not found is where no pod is told, which may be anywhere: then nothing is known of those. Its
/// processes may have ended while they were looked at. While not all who ask are known, only what a pod says is.
fn nobodys(
    look: &Look,
    chosen: &[(Chosen, Permission)],
    opt_ins: &OptIns,
    at_least: Permission,
) -> impl Iterator<Item = NetnsIx> {
    let Look { topology, identities, .. } = look;
    let OptIns { pods: asked, is_known } = opt_ins;
    let allowing: BTreeSet<_> =
        chosen.iter().filter(|(_, it)| *it >= at_least).map(|(chosen, _)| chosen.opted_in.netns).collect();
    let asking = asked.iter().filter(|(_, asked)| **asked >= at_least).map(|(uid, _)| uid);
    let first_level = topology.iter().zip(identities).filter(|((_, it), _)| it.place.level() == Some(1));
    let pods: BTreeMap<_, _> = first_level.map(|((ix, _), it)| (ix, it.pod_uid.as_ref())).collect();
    let is_one_missing = asking.into_iter().any(|uid| !pods.values().flatten().any(|found| *found == uid));
    let outward = |netns| std::iter::successors(Some(netns), |it| topology.netns(*it).place.parent());
    let may_ask = move |netns| match outward(netns).find_map(|it| pods.get(&it)) {
        Some(Some(uid)) => !is_known && !asked.contains_key(*uid),
        Some(None) => !is_known || is_one_missing,
        None => !is_known, // the host itself
    };
    let is_nobodys =
        move |netns: &NetnsIx| !may_ask(*netns) && !outward(*netns).any(|it| allowing.contains(&it));
    let of_this_host = topology.iter().filter(|(_, netns)| netns.place.level().is_some()).map(|(ix, _)| ix);
    of_this_host.filter(is_nobodys)
}

/// Of changes, inner first, those that can be made now, and those that cannot: in a namespace without a door, or to the
/// outer end of a pair whose inner end would stay larger. Packets of that one would vanish there, where now somebody
/// further out says that they are too large.
pub(super) fn within_reach(
    topology: &Topology,
    changes: &[Change],
    without_door: &BTreeSet<NetnsIx>,
) -> (Vec<Change>, Vec<Change>) {
    let mut left = BTreeSet::new();
    changes.iter().partition(|change| {
        let at = match change {
            Change::LinkMtu { at, .. } => Some(*at),
            Change::Clamp { .. } => None,
        };
        let end = at.and_then(|at| topology.link(at)).filter(|link| link.kind.is_pair());
        let is_outer_of_left = end.and_then(|end| end.linked).is_some_and(|other| left.contains(&other));
        let is_left = is_outer_of_left || without_door.contains(&change.netns());
        left.extend(at.filter(|_| is_left));
        !is_left
    })
}

/// Where guards are to stand. What has no door is gone, or comes with the next survey.
pub(super) fn orders(
    survey: &Survey,
    doors: &mut Doors,
    without_door: &BTreeSet<NetnsIx>,
    (chosen, permission): (&Chosen, Permission),
    can_clamp: bool,
) -> Vec<Order> {
    if permission < Permission::Clamp {
        return Vec::new();
    }
    let look = &survey.look;
    let mut rules = match permission {
        Permission::Links => chosen.opted_in.rules(&look.topology),
        Permission::Observe | Permission::Clamp => BTreeMap::new(),
    };
    for (netns, rules) in &mut rules {
        rules.apart.extend(apart(&look.topology, *netns, rules.cap, without_door));
    }
    let own = chosen.opted_in.netns;
    let own_rules = rules.remove(&own);
    let namespaces = rules.into_iter().map(|(netns, rules)| (netns, Some(rules)));
    let order = |(netns, links): (NetnsIx, _)| {
        let door = doors.take(&look.identities[netns.0])?;
        let called = called(&look.topology, &look.identities, netns);
        let witnesses = look.identities[netns.0].pids.iter().take(WITNESSES).copied().collect();
        Some(Order { netns: door, called, links, clamp: can_clamp && netns == own, witnesses })
    };
    namespaces.chain([(own, own_rules)]).filter_map(order).collect()
}

/// Ends of pairs whose other end is deeper inside, larger, and out of reach.
fn apart(
    topology: &Topology,
    netns: NetnsIx,
    cap: LinkMtu,
    without_door: &BTreeSet<NetnsIx>,
) -> BTreeSet<Ifindex> {
    let parent = |inside: NetnsIx| topology.netns(inside).place.parent();
    let is_left = |other: LinkRef<NetnsIx>| {
        let is_larger = topology.link(other).is_some_and(|link| link.mtu > cap);
        is_larger && parent(other.netns) == Some(netns) && without_door.contains(&other.netns)
    };
    let ends = topology.netns(netns).links.values().filter(|link| link.kind.is_pair());
    ends.filter(|end| end.linked.is_some_and(is_left)).map(|end| end.ifindex).collect()
}

/// Namespaces that are nested where somebody opted in. Without a safe value none has links in scope.
pub(super) fn inodes_inside(survey: &Survey, chosen: &Chosen) -> impl Iterator<Item = u64> {
    let namespaces = chosen.opted_in.links.iter().map(|at| at.netns);
    let inside = namespaces.filter(|netns| *netns != chosen.opted_in.netns);
    inside.filter_map(|netns| survey.look.identities[netns.0].inode)
}

#[cfg(test)]
mod tests;
