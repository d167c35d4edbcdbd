//! Where links may be written: what is nested in namespaces that were opted in, and nothing else.
//!
//! The host's uplink, `lo`, and the veth that a CNI gave a pod, either end of it, are in no scope.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::{Ground, Rules};
use super::link::{Ifindex, Link, LinkKind, LinkRef};
use super::mtu::{IpFamily, LinkMtu};
use super::safe::Bounds;
use super::topology::{HOST, NetnsIx, Topology};
use super::walk::{Hop, Limit};

/// One namespace that was opted in: a pod, a container, or a plain docker host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptedIn {
    /// Where the outermost dockerd stands. What is forwarded here may be clamped.
    pub netns: NetnsIx,
    /// The links that may be written.
    pub links: BTreeSet<LinkRef<NetnsIx>>,
    /// What bounds them besides what is further out; `None` if that could not be told.
    pub most: Option<Most>,
}

/// What links may not exceed, whatever is further out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// All of them: what the user says.
    pub anywhere: LinkMtu,
    /// Those whose packets leave by the way out of what was opted in, which is what was measured.
    pub by_way_out: LinkMtu,
}

impl Most {
    /// What bounds links nested in `netns`; `None` where nothing leaves it.
    pub fn inside(topology: &Topology, netns: NetnsIx, bounds: &Bounds) -> Option<Self> {
        let families = IpFamily::ALL.into_iter().filter(|family| topology.has_default_route(netns, *family));
        let by_way_out = families.map(|family| topology.besides_walks(family, bounds)).min()?;
        Some(Self { anywhere: bounds.maximum, by_way_out })
    }

    fn of(self, leave_by_way_out: bool) -> LinkMtu {
        if leave_by_way_out { self.by_way_out } else { self.anywhere }
    }
}

impl OptedIn {
    /// What is nested in a pod or container. If a docker made its uplink (`own` is that link), that too, since only
    /// its own packets take it.
    pub fn nested_in(
        topology: &Topology,
        netns: NetnsIx,
        own: Option<LinkRef<NetnsIx>>,
        most: Option<Most>,
    ) -> Self {
        let inside = topology.namespaces_inside(netns);
        let mut links = topology.links_of_all(&inside);
        links.extend(topology.links_towards(netns, &inside));
        links.extend(own.filter(|own| own.netns == netns && netns != HOST));
        Self { netns, links, most }
    }

    /// A plain docker host: those of its bridges that docker made, their ports, and what is nested in there.
    pub fn docker_host(
        topology: &Topology,
        is_dockers: impl Fn(LinkRef<NetnsIx>) -> bool,
        most: Option<Most>,
    ) -> Self {
        let bridges: Vec<_> = topology
            .netns(HOST)
            .links
            .values()
            .map(|link| (LinkRef { netns: HOST, ifindex: link.ifindex }, link))
            .filter(|(at, link)| link.kind == LinkKind::Bridge && is_dockers(*at))
            .map(|(at, _)| at)
            .collect();
        let ports = bridges.iter().flat_map(|bridge| topology.ports(*bridge));
        let containers: BTreeSet<_> = ports
            .filter_map(|port| port.linked.filter(|linked| topology.is_deeper(linked.netns, HOST)))
            .map(|linked| linked.netns)
            .collect();
        let mut inside = BTreeSet::new();
        for container in &containers {
            inside.insert(*container);
            inside.extend(topology.namespaces_inside(*container));
        }
        let mut links = topology.links_of_all(&inside);
        let of_docker = |at: &LinkRef<NetnsIx>| {
            let master = topology.link(*at).and_then(|link| link.master);
            bridges.contains(at) || bridges.iter().any(|bridge| Some(bridge.ifindex) == master)
        };
        links.extend(topology.links_towards(HOST, &inside).filter(of_docker));
        Self { netns: HOST, links, most }
    }

    /// What a link in scope may not exceed; `None` for one that carries nothing outward.
    pub(super) fn limit(&self, topology: &Topology, at: LinkRef<NetnsIx>) -> Option<LinkMtu> {
        let limit = topology.limit_of(at, topology.link(at)?)?.mtu;
        let Some(most) = self.most else { return Some(limit) };
        let ways = IpFamily::ALL.map(|family| topology.beyond(at, family));
        let hops = ways.iter().flatten().map(|limit| limit.hop).chain([Hop::Link(at)]);
        Some(limit.min(most.of(self.leave_by_way_out(topology, hops))))
    }

    /// Whether packets that take these hops leave by the way out of what was opted in, and not by an uplink besides.
    fn leave_by_way_out(&self, topology: &Topology, mut hops: impl Iterator<Item = Hop>) -> bool {
        let is_link = |limit: &Limit| matches!(limit.hop, Hop::Link(_));
        let first = |family| topology.walk(self.netns, family).into_iter().find(is_link);
        let ways_out: Vec<_> = IpFamily::ALL.into_iter().filter_map(first).map(|limit| limit.hop).collect();
        hops.any(|hop| ways_out.contains(&hop))
    }

    /// What to answer to links that come from now on, in each namespace where that may be done. One without a way out
    /// has no limit, and none where nothing is known to be safe.
    pub fn rules(&self, topology: &Topology) -> BTreeMap<NetnsIx, Rules> {
        let Some(most) = self.most else { return BTreeMap::new() };
        let mut namespaces: BTreeMap<NetnsIx, BTreeSet<_>> = BTreeMap::from([(self.netns, BTreeSet::new())]);
        for at in &self.links {
            namespaces.entry(at.netns).or_default().insert(at.ifindex);
        }
        let rules = |(netns, in_scope)| {
            let ground = match netns {
                HOST => Ground::Host,
                _ if netns == self.netns => Ground::OptedIn,
                _ => Ground::Nested,
            };
            let ways_out = IpFamily::ALL.into_iter().filter_map(|family| topology.way_out(netns, family));
            let ways_out: BTreeSet<_> = ways_out.map(|way_out| way_out.ifindex).collect();
            let walks = IpFamily::ALL.map(|family| topology.walk(netns, family));
            let hops = walks.iter().flatten().map(|limit| limit.hop);
            let most = most.of(self.leave_by_way_out(topology, hops));
            let cap = topology.effective_mtu(netns, &[])?.min(most);
            let limit = |ifindex: &Ifindex| self.limit(topology, LinkRef { netns, ifindex: *ifindex });
            let outward = ways_out.iter().filter_map(limit).fold(most, LinkMtu::min);
            let leads_elsewhere = |ifindex: &Ifindex| {
                let cap = if ways_out.contains(ifindex) { outward } else { cap };
                limit(ifindex).is_some_and(|limit| limit > cap)
            };
            let apart = topology.netns(netns).links.keys().copied().filter(leads_elsewhere).collect();
            Some((netns, Rules { ground, cap, outward, ways_out, in_scope, apart }))
        };
        namespaces.into_iter().filter_map(rules).collect()
    }
}

impl Topology {
    /// Namespaces nested in `outer`, at any depth, without itself.
    fn namespaces_inside(&self, outer: NetnsIx) -> BTreeSet<NetnsIx> {
        let is_inside = |ix: &NetnsIx| {
            let parent = |ix: &NetnsIx| self.netns(*ix).place.parent();
            std::iter::successors(parent(ix), parent).any(|parent| parent == outer)
        };
        self.iter().map(|(ix, _)| ix).filter(is_inside).collect()
    }

    fn links_of_all(&self, namespaces: &BTreeSet<NetnsIx>) -> BTreeSet<LinkRef<NetnsIx>> {
        let links = |netns: &NetnsIx| {
            let netns = *netns;
            self.netns(netns).links.keys().map(move |ifindex| LinkRef { netns, ifindex: *ifindex })
        };
        namespaces.iter().flat_map(links).collect()
    }

    /// Links of `netns` that lead to `inside`: ends of pairs, and the bridges that they are ports of.
    fn links_towards(
        &self,
        netns: NetnsIx,
        inside: &BTreeSet<NetnsIx>,
    ) -> impl Iterator<Item = LinkRef<NetnsIx>> {
        let leads_in =
            |link: &Link<NetnsIx>| link.linked.is_some_and(|linked| inside.contains(&linked.netns));
        let is_way_out = move |at: LinkRef<NetnsIx>| {
            IpFamily::ALL
                .into_iter()
                .any(|family| self.way_out(netns, family).is_some_and(|out| out.ifindex == at.ifindex))
        };
        let towards = move |(at, link): &(LinkRef<NetnsIx>, &Link<NetnsIx>)| match link.kind {
            LinkKind::Bridge => !is_way_out(*at) && self.ports(*at).any(leads_in),
            LinkKind::Veth | LinkKind::Netkit => leads_in(link),
            LinkKind::Loopback | LinkKind::Device | LinkKind::Vxlan | LinkKind::Geneve => false,
            LinkKind::Gre | LinkKind::Ipip | LinkKind::Wireguard | LinkKind::Xfrm | LinkKind::Vlan => false,
            LinkKind::Macvlan | LinkKind::Ipvlan | LinkKind::Bond | LinkKind::Tun => false,
            LinkKind::Openvswitch | LinkKind::Other(_) => false,
        };
        let links = self.netns(netns).links.values();
        links
            .map(move |link| (LinkRef { netns, ifindex: link.ifindex }, link))
            .filter(towards)
            .map(|(at, _)| at)
    }
}
