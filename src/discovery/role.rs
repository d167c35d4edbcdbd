//! What a link is for: its kernel kind, its neighbours, and, as the last hint, its name.

use serde::{Serialize, Serializer};

use crate::domain::dockers;
use crate::domain::link::{Link, LinkKind, LinkRef};
use crate::domain::topology::{HOST, NetnsIx, Topology};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// `lo`.
    Loopback,
    /// Hardware, or what a hypervisor offers as such.
    Device,
    /// docker0: what `dockerd --mtu` sets.
    DockerBridge,
    /// Bridge of a user-defined docker network: `--mtu` does not reach it.
    DockerNetwork,
    /// Either end of a veth at a docker bridge or network.
    DockerVeth,
    /// Bridge that podman made.
    PodmanBridge,
    /// Either end of a veth at one of those.
    PodmanVeth,
    /// Bridge that a CNI plugin made.
    CniBridge,
    /// Either end of a veth at one of those.
    CniVeth,
    /// Any other bridge.
    Bridge,
    /// Either end of a Calico pod's veth.
    CalicoVeth,
    /// Either end of a Flannel pod's veth.
    FlannelVeth,
    /// Either end of a Cilium pod's veth.
    CiliumVeth,
    /// Any other veth.
    Veth,
    /// netkit.
    Netkit,
    /// Port of Open vSwitch.
    OvsPort,
    /// VXLAN.
    Vxlan,
    /// WireGuard.
    Wireguard,
    /// Geneve, GRE, IP in IP, IPsec.
    Tunnel,
    /// VLAN.
    Vlan,
    /// macvlan.
    Macvlan,
    /// ipvlan.
    Ipvlan,
    /// Bond or team.
    Bond,
    /// tun or tap.
    Tun,
    /// None of these.
    Other,
}

/// Who decided the MTU of a link, and so can be told another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A dockerd.
    Docker,
    /// podman.
    Podman,
    /// Calico.
    Calico,
    /// Another CNI.
    Cni,
    /// The administrator, or nobody knows.
    Administrator,
}

impl Role {
    /// Every role, in the order of their declaration.
    pub const ALL: [Self; 25] = [
        Self::Loopback,
        Self::Device,
        Self::DockerBridge,
        Self::DockerNetwork,
        Self::DockerVeth,
        Self::PodmanBridge,
        Self::PodmanVeth,
        Self::CniBridge,
        Self::CniVeth,
        Self::Bridge,
        Self::CalicoVeth,
        Self::FlannelVeth,
        Self::CiliumVeth,
        Self::Veth,
        Self::Netkit,
        Self::OvsPort,
        Self::Vxlan,
        Self::Wireguard,
        Self::Tunnel,
        Self::Vlan,
        Self::Macvlan,
        Self::Ipvlan,
        Self::Bond,
        Self::Tun,
        Self::Other,
    ];

    /// In JSON and in metric labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Device => "device",
            Self::DockerBridge => "docker_bridge",
            Self::DockerNetwork => "docker_network",
            Self::DockerVeth => "docker_veth",
            Self::PodmanBridge => "podman_bridge",
            Self::PodmanVeth => "podman_veth",
            Self::CniBridge => "cni_bridge",
            Self::CniVeth => "cni_veth",
            Self::Bridge => "bridge",
            Self::CalicoVeth => "calico_veth",
            Self::FlannelVeth => "flannel_veth",
            Self::CiliumVeth => "cilium_veth",
            Self::Veth => "veth",
            Self::Netkit => "netkit",
            Self::OvsPort => "ovs_port",
            Self::Vxlan => "vxlan",
            Self::Wireguard => "wireguard",
            Self::Tunnel => "tunnel",
            Self::Vlan => "vlan",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Bond => "bond",
            Self::Tun => "tun",
            Self::Other => "other",
        }
    }

    /// Who made it.
    pub fn maker(self) -> Maker {
        match self {
            Self::DockerBridge | Self::DockerNetwork | Self::DockerVeth => Maker::Docker,
            Self::PodmanBridge | Self::PodmanVeth => Maker::Podman,
            Self::CalicoVeth => Maker::Calico,
            Self::CniBridge | Self::CniVeth | Self::FlannelVeth | Self::CiliumVeth => Maker::Cni,
            Self::Netkit | Self::OvsPort => Maker::Cni,
            Self::Loopback | Self::Device | Self::Bridge | Self::Veth | Self::Vxlan => Maker::Administrator,
            Self::Wireguard | Self::Tunnel | Self::Vlan | Self::Macvlan => Maker::Administrator,
            Self::Ipvlan | Self::Bond | Self::Tun | Self::Other => Maker::Administrator,
        }
    }

    /// In prose.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Device => "device",
            Self::DockerBridge => "docker bridge",
            Self::DockerNetwork => "docker network",
            Self::DockerVeth => "docker veth",
            Self::PodmanBridge => "podman bridge",
            Self::PodmanVeth => "podman veth",
            Self::CniBridge => "CNI bridge",
            Self::CniVeth => "CNI veth",
            Self::Bridge => "bridge",
            Self::CalicoVeth => "Calico veth",
            Self::FlannelVeth => "Flannel veth",
            Self::CiliumVeth => "Cilium veth",
            Self::Veth => "veth",
            Self::Netkit => "netkit",
            Self::OvsPort => "Open vSwitch port",
            Self::Vxlan => "VXLAN",
            Self::Wireguard => "WireGuard",
            Self::Tunnel => "tunnel",
            Self::Vlan => "VLAN",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Bond => "bond",
            Self::Tun => "tun",
            Self::Other => "other",
        }
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// What the link at `at` is for; `Other` if there is none.
pub fn role(topology: &Topology, at: LinkRef<NetnsIx>) -> Role {
    let Some(link) = topology.link(at) else { return Role::Other };
    match &link.kind {
        LinkKind::Loopback => Role::Loopback,
        LinkKind::Device => Role::Device,
        LinkKind::Bridge => bridge(&link.name),
        LinkKind::Veth => veth(topology, at, link),
        LinkKind::Netkit => Role::Netkit,
        LinkKind::Vxlan => Role::Vxlan,
        LinkKind::Wireguard => Role::Wireguard,
        LinkKind::Geneve | LinkKind::Gre | LinkKind::Ipip | LinkKind::Xfrm => Role::Tunnel,
        LinkKind::Vlan => Role::Vlan,
        LinkKind::Macvlan => Role::Macvlan,
        LinkKind::Ipvlan => Role::Ipvlan,
        LinkKind::Bond => Role::Bond,
        LinkKind::Tun => Role::Tun,
        LinkKind::Openvswitch => Role::OvsPort,
        LinkKind::Other(_) => Role::Other,
    }
}

fn bridge(name: &str) -> Role {
    let numbered = |prefix| {
        name.strip_prefix(prefix).is_some_and(|number: &str| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    if dockers::is_default_bridge(name) {
        Role::DockerBridge
    } else if dockers::is_network(name) {
        Role::DockerNetwork
    } else if numbered("podman") || numbered("cni-podman") {
        Role::PodmanBridge
    } else if numbered("cni") || name == "kube-bridge" || name == "cbr0" {
        Role::CniBridge
    } else {
        Role::Bridge
    }
}

/// The outer end tells: the bridge that it is a port of, or how its maker named it.
fn veth(topology: &Topology, at: LinkRef<NetnsIx>, link: &Link<NetnsIx>) -> Role {
    let far = link.linked.and_then(|linked| Some((linked, topology.link(linked)?)));
    let (outer_at, outer) = match far {
        Some((far_at, far)) if topology.is_deeper(at.netns, far_at.netns) => (far_at, far),
        Some(_) | None => (at, link),
    };
    let master = outer.master.map(|ifindex| LinkRef { netns: outer_at.netns, ifindex });
    if let Some(master) = master.and_then(|at| topology.link(at)) {
        return match bridge(&master.name).maker() {
            _ if master.kind == LinkKind::Openvswitch => Role::OvsPort,
            _ if master.kind != LinkKind::Bridge => Role::Veth,
            Maker::Docker => Role::DockerVeth,
            Maker::Podman => Role::PodmanVeth,
            Maker::Cni if has_link(topology, HOST, |it| it.name.starts_with("flannel")) => Role::FlannelVeth,
            Maker::Cni => Role::CniVeth,
            Maker::Calico | Maker::Administrator => Role::Veth,
        };
    }
    if outer.name.starts_with("cali") {
        Role::CalicoVeth
    } else if outer.name.starts_with("lxc")
        && has_link(topology, outer_at.netns, |it| it.name == "cilium_host")
    {
        Role::CiliumVeth
    } else {
        Role::Veth
    }
}

fn has_link(topology: &Topology, netns: NetnsIx, is_it: impl Fn(&Link<NetnsIx>) -> bool) -> bool {
    topology.netns(netns).links.values().any(is_it)
}

#[cfg(test)]
mod tests;
