//! What docker calls its links: the last hint for whose a link is.

use super::link::{Link, LinkKind};

/// The default bridge: what `dockerd --mtu` sets.
pub fn is_default_bridge(name: &str) -> bool {
    name == "docker0"
}

/// The bridge of a network that users define, or of a swarm.
pub fn is_network(name: &str) -> bool {
    name == "docker_gwbridge" || name.strip_prefix("br-").is_some_and(|id| is_hex(id, 12))
}

/// Either end of a pair, until one moves into a container.
pub fn is_veth(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|id| is_hex(id, 7))
}

/// Whether docker would call a link of this kind so.
pub fn is_called_so<N>(link: &Link<N>) -> bool {
    match link.kind {
        LinkKind::Bridge => is_default_bridge(&link.name) || is_network(&link.name),
        LinkKind::Veth => is_veth(&link.name),
        LinkKind::Loopback | LinkKind::Device | LinkKind::Netkit | LinkKind::Vxlan => false,
        LinkKind::Geneve | LinkKind::Gre | LinkKind::Ipip | LinkKind::Wireguard | LinkKind::Xfrm => false,
        LinkKind::Vlan | LinkKind::Macvlan | LinkKind::Ipvlan | LinkKind::Bond | LinkKind::Tun => false,
        LinkKind::Openvswitch | LinkKind::Other(_) => false,
    }
}

fn is_hex(id: &str, digits: usize) -> bool {
    id.len() == digits && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
