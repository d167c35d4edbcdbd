//! Topologies for tests, link by link.

use std::collections::BTreeMap;

use super::{Netns, NetnsIx, Place, Route, Routes, Topology};
use crate::domain::link::{Ifindex, Link, LinkKind, LinkRef};
use crate::domain::mtu::{IpFamily, LinkMtu};

pub(crate) fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

/// Builds a [`Topology`]; begins with a host without links.
#[derive(Debug)]
pub(crate) struct Sample(Topology);

impl Sample {
    pub(crate) fn host() -> Self {
        let host = Netns { place: Place::Host, links: BTreeMap::new(), routes: Some(Routes::default()) };
        Self(Topology { namespaces: vec![host] })
    }

    pub(crate) fn nested_in(&mut self, parent: NetnsIx) -> NetnsIx {
        let level = self.0.netns(parent).place.level().unwrap() + 1;
        let netns = Netns { place: Place::Nested { level, parent }, links: BTreeMap::new(), routes: None };
        self.0.namespaces.push(netns);
        NetnsIx(self.0.namespaces.len() - 1)
    }

    pub(crate) fn link(
        &mut self,
        netns: NetnsIx,
        name: &str,
        kind: LinkKind,
        bytes: u32,
    ) -> LinkRef<NetnsIx> {
        let links = &mut self.0.namespaces[netns.0].links;
        let ifindex = Ifindex::new(u32::try_from(links.len()).unwrap() + 2).unwrap();
        let (name, mtu) = (name.to_owned(), mtu(bytes));
        links.insert(ifindex, Link { ifindex, name, kind, mtu, master: None, linked: None });
        LinkRef { netns, ifindex }
    }

    pub(crate) fn link_mut(&mut self, at: LinkRef<NetnsIx>) -> &mut Link<NetnsIx> {
        self.0.namespaces[at.netns.0].links.get_mut(&at.ifindex).unwrap()
    }

    /// A veth pair of one MTU: `inner` in the one namespace, `outer` in the other.
    pub(crate) fn veth(
        &mut self,
        inner: (NetnsIx, &str),
        outer: (NetnsIx, &str),
        bytes: u32,
    ) -> [LinkRef<NetnsIx>; 2] {
        let inner = self.link(inner.0, inner.1, LinkKind::Veth, bytes);
        let outer = self.link(outer.0, outer.1, LinkKind::Veth, bytes);
        self.link_mut(inner).linked = Some(outer);
        self.link_mut(outer).linked = Some(inner);
        [inner, outer]
    }

    pub(crate) fn enslave(&mut self, port: LinkRef<NetnsIx>, bridge: LinkRef<NetnsIx>) {
        self.link_mut(port).master = Some(bridge.ifindex);
    }

    pub(crate) fn routes(&mut self, netns: NetnsIx) -> &mut Routes {
        self.0.namespaces[netns.0].routes.get_or_insert_default()
    }

    pub(crate) fn default_route(&mut self, at: LinkRef<NetnsIx>, family: IpFamily, route_mtu: Option<u32>) {
        let route = Route { family, ifindex: at.ifindex, mtu: route_mtu.map(mtu) };
        self.routes(at.netns).defaults.push(route);
    }

    /// Leaves of a namespace only that it is there.
    pub(crate) fn hide(&mut self, netns: NetnsIx) {
        self.0.namespaces[netns.0].links.clear();
        self.0.namespaces[netns.0].routes = None;
    }

    pub(crate) fn disconnect(&mut self, netns: NetnsIx) {
        self.0.namespaces[netns.0].place = Place::Unconnected;
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.0
    }
}

/// A host with an uplink and an IPv4 default route.
pub(crate) fn machine(uplink_mtu: u32) -> Sample {
    let mut sample = Sample::host();
    let uplink = sample.link(super::HOST, "eth0", LinkKind::Device, uplink_mtu);
    sample.default_route(uplink, IpFamily::V4, None);
    sample
}

/// A dockerd in `netns` with one container at a bridge.
pub(crate) struct Docker {
    pub(crate) bridge: LinkRef<NetnsIx>,
    pub(crate) outer: LinkRef<NetnsIx>,
    pub(crate) eth0: LinkRef<NetnsIx>,
    pub(crate) container: NetnsIx,
}

impl Docker {
    /// With its default route, of IPv4.
    pub(crate) fn start(sample: &mut Sample, netns: NetnsIx, bytes: u32) -> Self {
        let bridge = sample.link(netns, "docker0", LinkKind::Bridge, bytes);
        let container = sample.nested_in(netns);
        let [eth0, outer] = sample.veth((container, "eth0"), (netns, "veth1"), bytes);
        sample.enslave(outer, bridge);
        sample.default_route(eth0, IpFamily::V4, None);
        Self { bridge, outer, eth0, container }
    }

    pub(crate) fn links(&self) -> [LinkRef<NetnsIx>; 3] {
        [self.bridge, self.outer, self.eth0]
    }
}

/// A Calico pod with its own default route.
pub(crate) fn pod(sample: &mut Sample, bytes: u32) -> (NetnsIx, [LinkRef<NetnsIx>; 2]) {
    let pod = sample.nested_in(super::HOST);
    let ends = sample.veth((pod, "eth0"), (super::HOST, "cali1"), bytes);
    sample.default_route(ends[0], IpFamily::V4, None);
    (pod, ends)
}
