//! By which addresses others know the pods in which something is wrong: the way to tell whose a namespace is without a
//! process of it.

use std::collections::BTreeSet;

use tracing::debug;

use super::identity::Identity;
use super::inventory::Inventory;
use crate::domain::link::Ifindex;
use crate::domain::topology::{NetnsIx, Topology};
use crate::kernel::nsid::Nsid;
use crate::kernel::{NetlinkError, RouteSocket};

/// Reads the addresses of those namespaces of level 1 that have a mismatch in them, and no process to be known by. On a
/// node where all is well that is none.
pub(super) fn read(topology: &Topology, inventory: &Inventory, identities: &mut [Identity]) {
    let wanted: BTreeSet<_> = topology
        .mismatches()
        .iter()
        .filter_map(|mismatch| topology.first_level(mismatch.at.netns))
        .filter(|netns| identities[netns.0].pod_uid.is_none())
        .filter_map(|netns| Some((netns, inventory.namespaces[netns.0].nsid?)))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let mut socket = match RouteSocket::open() {
        Ok(socket) => socket,
        Err(error) => return debug!(%error, "no addresses read"),
    };
    for (netns, nsid) in wanted {
        if let Err(error) = read_one(topology, netns, nsid, &mut socket, &mut identities[netns.0]) {
            debug!(nsid = nsid.get(), %error, "addresses not read");
        }
    }
}

/// Those of the links that lead outward: docker0 has the same address in every pod.
fn read_one(
    topology: &Topology,
    netns: NetnsIx,
    nsid: Nsid,
    socket: &mut RouteSocket,
    identity: &mut Identity,
) -> Result<(), NetlinkError> {
    let it = topology.netns(netns);
    let leads_outward = |ifindex: Ifindex| {
        let linked = it.links.get(&ifindex).and_then(|link| link.linked);
        linked.is_some_and(|linked| Some(linked.netns) == it.place.parent())
    };
    let found = socket.addresses(nsid)?;
    identity.addresses = found
        .into_iter()
        .filter(|(ifindex, _)| leads_outward(*ifindex))
        .map(|(_, address)| address)
        .collect();
    Ok(())
}
