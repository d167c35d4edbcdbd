//! The links, addresses and routes between the server and the node, and between the node and its pod.

use anyhow::{Context as _, Result};

use super::{NetnsLab, Place};

/// What the node does with the "packet too big" that it owes to a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ptb {
    /// Sends it.
    Allowed,
    /// Drops it on its way out, as a firewall would: and only it.
    Blocked,
}

/// The server's address, which is on its `lo`.
pub const SERVER: &str = "203.0.113.1";
/// The server's address of the other family.
pub const SERVER6: &str = "2001:db8:203::1";
/// The pod's address.
pub const POD: &str = "10.244.1.5";
/// The pod's address of the other family.
pub const POD6: &str = "2001:db8:244:1::5";
/// The uid of the pod, by the control group of its first process, and of its containers.
pub const POD_UID: &str = "0b5e1c62-7d3a-4f0e-9c41-5a8d2e6f7b90";
/// The address of the node's uplink.
pub const NODE: &str = "198.51.100.2";
/// The address of the node's uplink of the other family.
pub const NODE6: &str = "2001:db8:100::2";
/// The address of the hop before the node: the server, or a virtual machine's router.
pub(super) const GATEWAY: &str = "198.51.100.1";
/// Its address of the other family.
pub(super) const GATEWAY6: &str = "2001:db8:100::1";
/// The host end of the pod's veth, named as Calico names them.
pub const HOST_END: &str = "cali0a1b2c3d4e5";
/// The node's uplink.
pub const UPLINK: &str = "eth0";

/// The MTU of a server's own link.
const ETHERNET: u16 = 1500;

/// Addresses that are used before anybody could ask for a duplicate of them.
const NO_DUPLICATES: &[(&str, &str)] =
    &[("net/ipv6/conf/all/accept_dad", "0"), ("net/ipv6/conf/default/accept_dad", "0")];

const NO_IPV6: &[(&str, &str)] =
    &[("net/ipv6/conf/all/disable_ipv6", "1"), ("net/ipv6/conf/default/disable_ipv6", "1")];

const FORWARDING: &[(&str, &str)] = &[("net/ipv4/ip_forward", "1"), ("net/ipv6/conf/all/forwarding", "1")];

/// What makes the links.
pub(super) struct Topology<'a> {
    pub(super) lab: &'a NetnsLab,
    pub(super) ipv6: bool,
}

impl Topology<'_> {
    /// `server ── node`: the node's uplink is a link of the server.
    pub(super) fn server_and_node(&self, uplink_mtu: u16) -> Result<()> {
        let server = self.server()?;
        self.node(uplink_mtu, &server)?;
        self.near_end(Place::Server)
    }

    /// `server ── router ── node`: packets that are too big for the uplink meet it one hop away from the server.
    pub(super) fn server_router_and_node(&self, uplink_mtu: u16) -> Result<()> {
        self.server()?;
        let router = self.lab.unnamed_netns("router")?;
        self.family(Place::Router)?;
        self.lab.sysctls(Place::Router, FORWARDING)?;
        self.batch(
            Place::Server,
            &format!(
                "link add up0 mtu {ETHERNET} type veth peer name down0 mtu {ETHERNET} netns {router}
addr add 192.0.2.1/24 dev up0
addr add 2001:db8:2::1/64 dev up0
link set up0 up
"
            ),
        )?;
        self.node(uplink_mtu, &router)?;
        self.near_end(Place::Router)?;
        self.batch(
            Place::Router,
            &format!(
                "link set lo up
addr add 192.0.2.2/24 dev down0
addr add 2001:db8:2::2/64 dev down0
link set down0 up
route add {SERVER} via 192.0.2.1
route add {SERVER6} via 2001:db8:2::1
"
            ),
        )?;
        self.batch(
            Place::Server,
            "route add default via 192.0.2.2
route add default via 2001:db8:2::2
",
        )
    }

    /// A pod behind a veth such as Calico makes: a /32, and a gateway that the host end answers for.
    pub(super) fn pod(&self, mtu: u16) -> Result<()> {
        self.lab.netns("pod")?;
        self.family(Place::Pod)?;
        self.batch(
            Place::Node,
            &format!(
                "link add {HOST_END} mtu {mtu} address ee:ee:ee:ee:ee:ee type veth peer name eth0 mtu {mtu} netns pod
link set {HOST_END} up
"
            ),
        )?;
        self.lab.sysctls(
            Place::Node,
            &[
                (&format!("net/ipv4/conf/{HOST_END}/proxy_arp"), "1"),
                (&format!("net/ipv4/neigh/{HOST_END}/proxy_delay"), "0"),
            ],
        )?;
        self.batch(
            Place::Pod,
            &format!(
                "link set lo up
link set eth0 up
addr add {POD}/32 dev eth0
addr add {POD6}/128 dev eth0
route add 169.254.1.1 dev eth0 scope link
route add default via 169.254.1.1 dev eth0
route add default via fe80::ecee:eeff:feee:eeee dev eth0
"
            ),
        )?;
        self.batch(
            Place::Node,
            &format!("route add {POD}/32 dev {HOST_END} scope link\nroute add {POD6}/128 dev {HOST_END}\n"),
        )
    }

    fn server(&self) -> Result<String> {
        let server = self.lab.unnamed_netns("server")?;
        self.family(Place::Server)?;
        // It would find a black hole by itself, after some seconds.
        self.lab.sysctl(Place::Server, "net/ipv4/tcp_mtu_probing", "0")?;
        self.batch(
            Place::Server,
            &format!("link set lo up\naddr add {SERVER}/32 dev lo\naddr add {SERVER6}/128 dev lo\n"),
        )?;
        Ok(server)
    }

    /// The node with its uplink, whose other end `up0` is in the network namespace that the file `peer` keeps.
    fn node(&self, uplink_mtu: u16, peer: &str) -> Result<()> {
        self.family(Place::Node)?;
        self.lab.sysctls(Place::Node, FORWARDING)?;
        self.batch(
            Place::Node,
            &format!(
                "link add {UPLINK} mtu {uplink_mtu} type veth peer name up0 mtu {uplink_mtu} netns {peer}
addr add {NODE}/24 dev {UPLINK}
addr add {NODE6}/64 dev {UPLINK}
link set {UPLINK} up
route add default via {GATEWAY}
route add default via {GATEWAY6}
"
            ),
        )
    }

    /// The other end of the uplink, and the way to the pod.
    fn near_end(&self, place: Place<'_>) -> Result<()> {
        self.batch(
            place,
            &format!(
                "addr add {GATEWAY}/24 dev up0
addr add {GATEWAY6}/64 dev up0
link set up0 up
route add 10.244.1.0/24 via {NODE}
route add 2001:db8:244:1::/64 via {NODE6}
"
            ),
        )
    }

    /// Runs `ip -batch`, without the lines about IPv6 where the lab has none.
    fn batch(&self, place: Place<'_>, script: &str) -> Result<()> {
        let lines: Vec<_> = script.lines().filter(|line| self.ipv6 || !line.contains("::")).collect();
        self.lab.ip_batch(place, &lines.join("\n"))
    }

    /// Has IPv6 in a new network namespace, or not.
    fn family(&self, place: Place<'_>) -> Result<()> {
        self.lab.sysctls(place, if self.ipv6 { NO_DUPLICATES } else { NO_IPV6 })
    }
}

/// Drops, or lets through, the "packet too big" that `place` itself sends.
pub(super) fn set_ptb(lab: &NetnsLab, place: Place<'_>, ptb: Ptb) -> Result<()> {
    // Made before it is deleted, so that deleting does not fail the first time.
    let mut table = "table inet lab_ptb {}\ndelete table inet lab_ptb\n".to_owned();
    if ptb == Ptb::Blocked {
        table.push_str(
            "table inet lab_ptb {
    chain output {
        type filter hook output priority 0
        icmp type destination-unreachable icmp code frag-needed drop
        icmpv6 type packet-too-big drop
    }
}
",
        );
    }
    lab.nft(place, &table).with_context(|| format!("have PTBs {ptb:?} at {place:?}"))
}
