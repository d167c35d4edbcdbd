//! One link, as its kernel describes it. What a link is *for* is discovery's to say.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::mtu::LinkMtu;

/// Index of a link, valid only together with its network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ifindex(NonZeroU32);

impl Ifindex {
    /// `None` for 0, by which the kernel means "no link".
    pub fn new(index: u32) -> Option<Self> {
        NonZeroU32::new(index).map(Self)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Ifindex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What drives a link: `IFLA_INFO_KIND`, or what its absence means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// `lo`. Carries nothing outward.
    Loopback,
    /// No kind: hardware, or what a hypervisor offers as such.
    Device,
    /// Bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// One end of a netkit pair (Cilium, Linux 6.7).
    Netkit,
    /// VXLAN.
    Vxlan,
    /// Geneve.
    Geneve,
    /// GRE of any sort: gre, gretap, ip6gre, erspan.
    Gre,
    /// IP in IP of any mix: ipip, sit, ip6tnl.
    Ipip,
    /// WireGuard.
    Wireguard,
    /// IPsec interface.
    Xfrm,
    /// VLAN on a lower link.
    Vlan,
    /// macvlan or macvtap on a lower link.
    Macvlan,
    /// ipvlan on a lower link.
    Ipvlan,
    /// Bond or team.
    Bond,
    /// tun or tap: a program, often a virtual machine, is behind it.
    Tun,
    /// Open vSwitch datapath or internal port.
    Openvswitch,
    /// Anything else, by its kernel name.
    Other(Box<str>),
}

impl LinkKind {
    /// From `IFLA_INFO_KIND`.
    pub fn from_info_kind(kind: &str) -> Self {
        match kind {
            "bridge" => Self::Bridge,
            "veth" => Self::Veth,
            "netkit" => Self::Netkit,
            "vxlan" => Self::Vxlan,
            "geneve" => Self::Geneve,
            "gre" | "gretap" | "ip6gre" | "ip6gretap" | "erspan" | "ip6erspan" => Self::Gre,
            "ipip" | "sit" | "ip6tnl" => Self::Ipip,
            "wireguard" => Self::Wireguard,
            "xfrm" => Self::Xfrm,
            "vlan" => Self::Vlan,
            "macvlan" | "macvtap" => Self::Macvlan,
            "ipvlan" | "ipvtap" => Self::Ipvlan,
            "bond" | "team" => Self::Bond,
            "tun" => Self::Tun,
            "openvswitch" => Self::Openvswitch,
            other => Self::Other(other.into()),
        }
    }

    /// In one word; of a kind that is not known here, the kernel's.
    pub fn name(&self) -> &str {
        match self {
            Self::Loopback => "loopback",
            Self::Device => "device",
            Self::Bridge => "bridge",
            Self::Veth => "veth",
            Self::Netkit => "netkit",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Ipip => "ipip",
            Self::Wireguard => "wireguard",
            Self::Xfrm => "xfrm",
            Self::Vlan => "vlan",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Bond => "bond",
            Self::Tun => "tun",
            Self::Openvswitch => "openvswitch",
            Self::Other(name) => name,
        }
    }

    /// Whether the link is one end of a pair whose other end may be in another namespace.
    pub fn is_pair(&self) -> bool {
        matches!(self, Self::Veth | Self::Netkit)
    }

    /// Whether the link stands on a lower link that carries its frames.
    pub fn is_stacked(&self) -> bool {
        matches!(self, Self::Vlan | Self::Macvlan | Self::Ipvlan)
    }

    /// Whether a bridge port of this kind may lead out to another machine, and not to something that runs here.
    pub fn leads_off_the_machine(&self) -> bool {
        match self {
            Self::Device | Self::Vlan | Self::Bond | Self::Macvlan | Self::Ipvlan => true,
            Self::Vxlan | Self::Geneve | Self::Gre | Self::Ipip | Self::Wireguard | Self::Xfrm => true,
            Self::Loopback | Self::Bridge | Self::Veth | Self::Netkit | Self::Tun => false,
            Self::Openvswitch | Self::Other(_) => false,
        }
    }
}

/// One link in one network namespace.
///
/// `N` names a namespace: a position in a [`super::topology::Topology`], or what a kernel calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<N> {
    /// Its index in its namespace.
    pub ifindex: Ifindex,
    /// Its name, which may change.
    pub name: String,
    /// What drives it.
    pub kind: LinkKind,
    /// Its MTU.
    pub mtu: LinkMtu,
    /// Bridge or bond that it is a port of.
    pub master: Option<Ifindex>,
    /// The other end of a pair, or the lower link of a stacked one (`IFLA_LINK`).
    pub linked: Option<LinkRef<N>>,
}

/// Names a link anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkRef<N> {
    /// The namespace that holds it.
    pub netns: N,
    /// Its index there.
    pub ifindex: Ifindex,
}
