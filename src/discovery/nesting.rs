//! Who is nested in whom: levels by breadth-first distance from the host, over the links themselves.

use std::collections::{BTreeMap, VecDeque};

use super::inventory::{FoundNetns, Inventory};
use crate::domain::link::{Link, LinkRef};
use crate::domain::topology::{HOST, Netns, NetnsIx, Place, Topology};
use crate::kernel::links::Linked;
use crate::kernel::nsid::Nsid;

/// The topology, its namespaces in the order of the inventory's.
pub fn topology(inventory: &Inventory) -> Topology {
    let mut positions: BTreeMap<Nsid, NetnsIx> = BTreeMap::new();
    for (ix, netns) in inventory.namespaces.iter().enumerate() {
        positions.extend(netns.nsid.map(|nsid| (nsid, NetnsIx(ix))));
    }
    positions.extend(inventory.own_nsid.map(|nsid| (nsid, HOST)));

    let place = |netns: &FoundNetns| match netns.nsid {
        Some(nsid) if inventory.outside.contains(&nsid) => Place::Outside,
        Some(_) | None => Place::Unconnected,
    };
    let namespaces = inventory.namespaces.iter().enumerate().map(|(ix, netns)| Netns {
        place: if NetnsIx(ix) == HOST { Place::Host } else { place(netns) },
        links: netns
            .links
            .iter()
            .map(|link| (link.ifindex, located(link, NetnsIx(ix), &positions)))
            .collect(),
        routes: netns.routes.clone(),
    });
    let mut topology = Topology { namespaces: namespaces.collect() };
    nest(&mut topology);
    topology
}

/// The link with its other end named by position; an end that was not seen is left out.
fn located(link: &Link<Linked>, own: NetnsIx, positions: &BTreeMap<Nsid, NetnsIx>) -> Link<NetnsIx> {
    let linked = link.linked.and_then(|linked| {
        let netns = linked.netns.map_or(Some(own), |nsid| positions.get(&nsid).copied())?;
        Some(LinkRef { netns, ifindex: linked.ifindex })
    });
    Link {
        ifindex: link.ifindex,
        name: link.name.clone(),
        kind: link.kind.clone(),
        mtu: link.mtu,
        master: link.master,
        linked,
    }
}

fn nest(topology: &mut Topology) {
    let mut neighbours: BTreeMap<NetnsIx, Vec<NetnsIx>> = BTreeMap::new();
    for (ix, netns) in topology.iter() {
        for linked in netns.links.values().filter_map(|link| link.linked) {
            neighbours.entry(ix).or_default().push(linked.netns);
            neighbours.entry(linked.netns).or_default().push(ix);
        }
    }
    let mut queue = VecDeque::from([(HOST, 0_u8)]);
    while let Some((parent, level)) = queue.pop_front() {
        let level = level.saturating_add(1);
        for child in neighbours.get(&parent).into_iter().flatten().copied() {
            let place = &mut topology.namespaces[child.0].place;
            if *place == Place::Unconnected {
                *place = Place::Nested { level, parent };
                queue.push_back((child, level));
            }
        }
    }
}

#[cfg(test)]
mod tests;
