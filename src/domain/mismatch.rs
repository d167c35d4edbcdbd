//! Links that let in packets which cannot get out.

use super::link::{Link, LinkKind, LinkRef};
use super::mtu::{IpFamily, LinkMtu};
use super::topology::{NetnsIx, Place, Topology};
use super::walk::Limit;

/// A link whose MTU exceeds what something further out on its way carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The link.
    pub at: LinkRef<NetnsIx>,
    /// Its MTU.
    pub mtu: LinkMtu,
    /// What it should be: the smallest MTU further out.
    pub limit: Limit,
}

impl Topology {
    /// Every mismatch, in the order of namespaces and links.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        let links = self.iter().flat_map(|(netns, it)| it.links.values().map(move |link| (netns, link)));
        links.filter_map(|(netns, link)| self.mismatch(netns, link)).collect()
    }

    fn mismatch(&self, netns: NetnsIx, link: &Link<NetnsIx>) -> Option<Mismatch> {
        let at = LinkRef { netns, ifindex: link.ifindex };
        let limit = self.limit_of(at, link)?;
        (link.mtu > limit.mtu).then_some(Mismatch { at, mtu: link.mtu, limit })
    }

    /// The smallest MTU further out than a link that somebody sends packets outward through; `None` for any other.
    pub(super) fn limit_of(&self, at: LinkRef<NetnsIx>, link: &Link<NetnsIx>) -> Option<Limit> {
        if !self.carries_packets_outward(at, link) {
            return None;
        }
        let beyond = IpFamily::ALL.into_iter().flat_map(|family| self.beyond(at, family)).collect::<Vec<_>>();
        Self::narrowest(&beyond)
    }

    /// Whether somebody sends packets through the link that are to leave the host.
    fn carries_packets_outward(&self, at: LinkRef<NetnsIx>, link: &Link<NetnsIx>) -> bool {
        match self.netns(at.netns).place {
            Place::Host | Place::Nested { .. } => {}
            Place::Outside | Place::Unconnected => return false,
        }
        match &link.kind {
            LinkKind::Bridge => self.ports(at).any(|port| self.has_sender(at.netns, port)),
            LinkKind::Veth | LinkKind::Netkit => self.has_sender(at.netns, link),
            LinkKind::Vlan | LinkKind::Macvlan | LinkKind::Ipvlan => self.may_leave(at.netns),
            LinkKind::Loopback | LinkKind::Device | LinkKind::Bond | LinkKind::Tun => false,
            LinkKind::Vxlan | LinkKind::Geneve | LinkKind::Gre | LinkKind::Ipip => false,
            LinkKind::Wireguard | LinkKind::Xfrm | LinkKind::Openvswitch | LinkKind::Other(_) => false,
        }
    }

    /// Whether the namespace at the inner end of the link may send outward. A port without a visible inner end
    /// (a virtual machine's tap) may.
    fn has_sender(&self, netns: NetnsIx, link: &Link<NetnsIx>) -> bool {
        let Some(linked) = link.linked else { return true };
        if self.is_deeper(linked.netns, netns) { self.may_leave(linked.netns) } else { self.may_leave(netns) }
    }

    /// Whether the namespace has a default route, or may have one that could not be read.
    fn may_leave(&self, netns: NetnsIx) -> bool {
        self.netns(netns).routes.as_ref().is_none_or(|routes| !routes.defaults.is_empty())
    }
}

#[cfg(test)]
mod tests;
