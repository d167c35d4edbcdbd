//! What to do about a mismatch, in one line.

use super::identity::Identity;
use super::role::{Maker, Role, role};
use crate::domain::link::LinkRef;
use crate::domain::mismatch::Mismatch;
use crate::domain::topology::{NetnsIx, Topology};
use crate::domain::walk::Hop;

/// A mismatch with what people need to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The mismatch.
    pub mismatch: Mismatch,
    /// Unique within one survey, and stable as long as the link lives: `nsid:3/7`.
    pub id: String,
    /// Level of the dockerd that made the link, if one did.
    pub daemon_level: Option<u8>,
    /// What lets less through.
    pub why: String,
    /// What to do.
    pub fix: String,
}

/// Explains one mismatch.
pub fn explain(topology: &Topology, identities: &[Identity], mismatch: Mismatch) -> Finding {
    let Mismatch { at, mtu, limit } = mismatch;
    let role = role(topology, at);
    let daemon = daemon_netns(topology, at, role);
    let limiting = match limit.hop {
        Hop::Link(at) => {
            let name = topology.link(at).map_or("?", |link| link.name.as_str());
            format!("{name} of {}", called(topology, identities, at.netns))
        }
        Hop::Route { netns, .. } => format!("the default route of {}", called(topology, identities, netns)),
    };
    Finding {
        mismatch,
        id: format!("{}/{}", identities[at.netns.0].id, at.ifindex),
        daemon_level: daemon.and_then(|netns| Some(topology.netns(netns).place.level()?.saturating_add(1))),
        why: format!("carries {mtu}, but {limiting}, further out, carries {}", limit.mtu),
        fix: fix(topology, identities, mismatch, role, daemon),
    }
}

/// What people call a namespace: `host`, `pod ci/runner-0`, `container dind`, `nsid:3`.
pub fn called(topology: &Topology, identities: &[Identity], netns: NetnsIx) -> String {
    let identity = &identities[netns.0];
    let Some(name) = &identity.name else {
        return identity.id.clone();
    };
    // What is nested in a pod may be in its control group, and is no pod.
    let is_nested = topology.netns(netns).place.level() > Some(1);
    if identity.pod_uid.is_some() && !is_nested {
        format!("pod {name}")
    } else if identity.container_id.is_some() {
        format!("container {name}")
    } else if topology.netns(netns).place.level().is_some() {
        format!("netns {name}")
    } else {
        name.clone()
    }
}

/// The namespace in which the dockerd stands that made the link: where the bridge is.
fn daemon_netns(topology: &Topology, at: LinkRef<NetnsIx>, role: Role) -> Option<NetnsIx> {
    if role.maker() != Maker::Docker {
        return None;
    }
    let far = topology.link(at)?.linked.map(|linked| linked.netns);
    Some(far.filter(|far| topology.is_deeper(at.netns, *far)).unwrap_or(at.netns))
}

fn fix(
    topology: &Topology,
    identities: &[Identity],
    mismatch: Mismatch,
    role: Role,
    daemon: Option<NetnsIx>,
) -> String {
    let Mismatch { at, limit, .. } = mismatch;
    let mtu = limit.mtu;
    let link = topology.link(at).map_or("?", |link| link.name.as_str());
    if let Some(netns) = daemon {
        let place = called(topology, identities, netns);
        let level = topology.netns(netns).place.level().unwrap_or_default().saturating_add(1);
        return if is_of_docker0(topology, at, role) {
            format!("start the level-{level} dockerd (in {place}) with --mtu={mtu}, and its containers anew")
        } else {
            format!(
                "make the network of the level-{level} dockerd (in {place}) anew with \
                 -o com.docker.network.driver.mtu={mtu}, or for all of them by default-network-opts (Docker 24)"
            )
        };
    }
    match role.maker() {
        Maker::Podman => format!("make the podman network anew with --opt mtu={mtu}"),
        Maker::Calico => format!("set Calico's mtu (Installation or FelixConfiguration) to {mtu}"),
        Maker::Cni => format!("set the CNI's MTU to {mtu}, and make its pods anew"),
        Maker::Docker | Maker::Administrator => {
            format!("ip link set dev {link} mtu {mtu} (in {})", called(topology, identities, at.netns))
        }
    }
}

/// Whether `dockerd --mtu` reaches the link: docker0 and the veths at it.
fn is_of_docker0(topology: &Topology, at: LinkRef<NetnsIx>, role: Role) -> bool {
    if role != Role::DockerVeth {
        return role == Role::DockerBridge;
    }
    let ends = [Some(at), topology.link(at).and_then(|link| link.linked)];
    ends.into_iter().flatten().any(|end| {
        let master = topology.link(end).and_then(|link| link.master);
        master.is_some_and(|ifindex| {
            super::role::role(topology, LinkRef { netns: end.netns, ifindex }) == Role::DockerBridge
        })
    })
}
