//! Surroundings that links alone cannot tell the truth about: said, never guessed silently.

use super::cni::Cni;
use super::identity::Identity;
use super::role::{Role, role};
use super::unseen::{Unseen, count};
use crate::domain::link::{Link, LinkKind, LinkRef};
use crate::domain::topology::{HOST, Netns, NetnsIx, Place, Topology};
use crate::kernel::procfs;

/// What is opaque here, and why.
pub fn opaque(topology: &Topology, cni: Option<&Cni>, identities: &[Identity]) -> Vec<Unseen> {
    let mut unseen = Vec::new();
    let nested = || topology.iter().filter(|(_, netns)| matches!(netns.place, Place::Nested { .. }));

    let behind_ovs = nested().filter(|(ix, netns)| has_role(topology, *ix, netns, Role::OvsPort)).count();
    if behind_ovs > 0 {
        unseen.push(Unseen::opaque(
            format!("the way of {} through Open vSwitch", count(behind_ovs, "namespace")),
            "its flows have no MTU that could be read: what a probe measures decides",
        ));
    }
    if cni.is_some_and(|cni| cni.name == "Cilium") {
        if nested().any(|(_, netns)| netns.routes.is_none()) {
            let then = if has_cilium_route_with_mtu(topology) {
                "it may be under the link's; the safe value is capped by the host's routes through cilium_host"
            } else {
                "it may be under the link's, and no route of the host through cilium_host tells it"
            };
            unseen.push(Unseen::needing("the MTU that Cilium sets on pods' routes", then, "CAP_SYS_ADMIN"));
        }
        unseen.push(Unseen::opaque(
            "packets that Cilium's eBPF routes past the host's stack",
            "the host's counters and a clamp on the host prove nothing about them",
        ));
    }
    let sandboxed = nested().filter(|(_, netns)| has_link(netns, is_kata)).count()
        + nested().filter(|(ix, _)| runs_gvisor(&identities[ix.0])).count();
    if sandboxed > 0 {
        unseen.push(Unseen::opaque(
            format!("inside of {} (Kata or gVisor)", count(sandboxed, "sandbox")),
            "links in there are not the host kernel's; the safe value goes by the pod's link",
        ));
    }
    let user_mode =
        topology.iter().filter(|(_, netns)| netns.place == Place::Unconnected && has_link(netns, is_tap));
    let user_mode = user_mode.count();
    if user_mode > 0 {
        unseen.push(Unseen::opaque(
            format!("the way of {} with a user-mode network stack", count(user_mode, "namespace")),
            "rootless docker or podman: not limited by the MTU of its links",
        ));
    }
    unseen
}

/// By which the pods' routes can be told from outside of them.
fn has_cilium_route_with_mtu(topology: &Topology) -> bool {
    let host = topology.netns(HOST);
    let mut routes = host.routes.iter().flat_map(|routes| &routes.others).filter(|route| route.mtu.is_some());
    routes.any(|route| host.links.get(&route.ifindex).is_some_and(|link| link.name == "cilium_host"))
}

fn has_role(topology: &Topology, netns: NetnsIx, found: &Netns, wanted: Role) -> bool {
    found.links.keys().any(|ifindex| role(topology, LinkRef { netns, ifindex: *ifindex }) == wanted)
}

fn has_link(netns: &Netns, is_it: impl Fn(&Link<NetnsIx>) -> bool) -> bool {
    netns.links.values().any(is_it)
}

/// Kata connects its virtual machine by a tap of this name beside the pod's veth.
fn is_kata(link: &Link<NetnsIx>) -> bool {
    link.kind == LinkKind::Tun && link.name.ends_with("_kata")
}

/// slirp4netns and pasta put a tap into the namespace, and a program behind it.
fn is_tap(link: &Link<NetnsIx>) -> bool {
    link.kind == LinkKind::Tun
}

fn runs_gvisor(identity: &Identity) -> bool {
    identity.pids.iter().any(|pid| procfs::command_name(*pid).starts_with("runsc"))
}

#[cfg(test)]
mod tests;
