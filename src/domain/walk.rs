//! The walk outward: from a namespace, or from one link, hop by hop to the host's uplink.
//!
//! ```text
//! container eth0 ─ veth ─ docker0 ─ [route] ─ pod eth0 ─ cali… ─ [route] ─ host eth0
//! ```

use super::link::{Link, LinkKind, LinkRef};
use super::mtu::{IpFamily, LinkMtu};
use super::topology::{NetnsIx, Place, Topology};

/// One thing on the way out that has an MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// A link.
    Link(LinkRef<NetnsIx>),
    /// The default route of a namespace, when it sets an MTU of its own.
    Route {
        /// The namespace.
        netns: NetnsIx,
        /// The route's `RTAX_MTU`.
        mtu: LinkMtu,
    },
}

/// A hop with the MTU that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Where.
    pub hop: Hop,
    /// How much.
    pub mtu: LinkMtu,
}

impl Topology {
    /// The walk of packets of `family` from the namespace outward, its own way out first.
    pub fn walk(&self, from: NetnsIx, family: IpFamily) -> Vec<Limit> {
        self.follow(Next::Out(from), family)
    }

    /// What lies further out than the link, for packets of `family`.
    pub fn beyond(&self, link: LinkRef<NetnsIx>, family: IpFamily) -> Vec<Limit> {
        self.follow(self.next_outward(link), family)
    }

    /// The walk's smallest hop; of equal ones the outermost, since the inner ones follow it.
    pub fn narrowest(walk: &[Limit]) -> Option<Limit> {
        walk.iter().rev().min_by_key(|limit| limit.mtu).copied()
    }

    fn follow(&self, mut next: Next, family: IpFamily) -> Vec<Limit> {
        let mut walk = Vec::new();
        loop {
            let at = match next {
                Next::End => return walk,
                Next::Link(at) => at,
                Next::Out(netns) => {
                    let way_out = self.way_out(netns, family);
                    if let Some(mtu) = way_out.and_then(|way_out| way_out.route_mtu) {
                        walk.push(Limit { hop: Hop::Route { netns, mtu }, mtu });
                    }
                    let inner = way_out.map(|way_out| LinkRef { netns, ifindex: way_out.ifindex });
                    let Some(at) = inner.or_else(|| self.outer_end(netns)) else { return walk };
                    at
                }
            };
            let hop = Hop::Link(at);
            let Some(link) = self.link(at) else { return walk };
            if walk.iter().any(|limit| limit.hop == hop) {
                return walk; // two namespaces that route into each other
            }
            walk.push(Limit { hop, mtu: link.mtu });
            next = self.next_outward(at);
        }
    }

    /// The link of the parent that leads into a namespace whose own links could not be read.
    fn outer_end(&self, netns: NetnsIx) -> Option<LinkRef<NetnsIx>> {
        if !self.netns(netns).links.is_empty() {
            return None;
        }
        let parent = self.netns(netns).place.parent()?;
        let leads_in = |link: &&Link<NetnsIx>| link.linked.is_some_and(|linked| linked.netns == netns);
        let link = self.netns(parent).links.values().filter(leads_in).min_by_key(|link| link.mtu)?;
        Some(LinkRef { netns: parent, ifindex: link.ifindex })
    }

    /// Where a packet goes that leaves by this link, away from what is nested.
    fn next_outward(&self, at: LinkRef<NetnsIx>) -> Next {
        let Some(link) = self.link(at) else { return Next::End };
        if link.kind == LinkKind::Bridge {
            return self.beyond_bridge(at);
        }
        let Some(linked) = link.linked else { return Next::End };
        if link.kind.is_stacked() {
            return Next::Link(linked);
        }
        if !link.kind.is_pair() || self.netns(linked.netns).place == Place::Outside {
            return Next::End;
        }
        if self.is_deeper(at.netns, linked.netns) {
            return Next::Link(linked);
        }
        if !self.is_deeper(linked.netns, at.netns) {
            return Next::End; // both ends at one level: a patch cable, not a way out
        }
        match link.master {
            Some(ifindex) => Next::Link(LinkRef { netns: at.netns, ifindex }),
            None => Next::Out(at.netns),
        }
    }

    /// A bridge hands its packets to a port that leads off the machine or outward, else they are routed.
    fn beyond_bridge(&self, bridge: LinkRef<NetnsIx>) -> Next {
        let outward = |link: &Link<NetnsIx>| {
            link.kind.leads_off_the_machine()
                || (link.kind.is_pair()
                    && link.linked.is_some_and(|linked| {
                        self.is_deeper(bridge.netns, linked.netns)
                            || self.netns(linked.netns).place == Place::Outside
                    }))
        };
        let uplink = self.ports(bridge).filter(|link| outward(link)).min_by_key(|link| link.mtu);
        if let Some(port) = uplink {
            return Next::Link(LinkRef { netns: bridge.netns, ifindex: port.ifindex });
        }
        let is_way_out = IpFamily::ALL.into_iter().any(|family| {
            self.way_out(bridge.netns, family).is_some_and(|out| out.ifindex == bridge.ifindex)
        });
        if is_way_out { Next::End } else { Next::Out(bridge.netns) }
    }
}

enum Next {
    Link(LinkRef<NetnsIx>),
    /// Whatever the namespace's default route says.
    Out(NetnsIx),
    End,
}

#[cfg(test)]
mod tests;
