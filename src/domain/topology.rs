//! Links across network namespaces as one value: who holds what, and who is nested in whom.

use std::collections::BTreeMap;

use super::link::{Ifindex, Link, LinkRef};
use super::mtu::{IpFamily, LinkMtu};

/// Position of a network namespace in its [`Topology`]. The host is always the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsIx(pub usize);

/// The surveyed host's own namespace.
pub const HOST: NetnsIx = NetnsIx(0);

/// Every network namespace that was seen.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The host first.
    pub namespaces: Vec<Netns>,
}

/// One network namespace.
#[derive(Clone, Debug)]
pub struct Netns {
    /// Where it stands.
    pub place: Place,
    /// Its links by index.
    pub links: BTreeMap<Ifindex, Link<NetnsIx>>,
    /// Its routes, where they could be read.
    pub routes: Option<Routes>,
}

/// Where a namespace stands, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The surveyed host itself: level 0.
    Host,
    /// Reached from the host by links.
    Nested {
        /// Namespaces between it and the host, plus one: a pod is 1.
        level: u8,
        /// The next namespace outward.
        parent: NetnsIx,
    },
    /// Behind the host's own uplink. Not walked.
    Outside,
    /// No link connects it to the host.
    Unconnected,
}

impl Place {
    /// Its level, if links connect it to the host.
    pub fn level(self) -> Option<u8> {
        match self {
            Self::Host => Some(0),
            Self::Nested { level, .. } => Some(level),
            Self::Outside | Self::Unconnected => None,
        }
    }

    /// The next namespace outward.
    pub fn parent(self) -> Option<NetnsIx> {
        match self {
            Self::Nested { parent, .. } => Some(parent),
            Self::Host | Self::Outside | Self::Unconnected => None,
        }
    }
}

/// Routes of one namespace that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Default routes of the main table, of each family those of the best metric: the kernel spreads packets over them.
    pub defaults: Vec<Route>,
    /// Default routes of the main table that no packet takes as long as those are there and alive.
    pub spares: Vec<Route>,
    /// Other routes of the main table, one for each distinct family, link and MTU.
    pub others: Vec<Route>,
    /// Path MTUs that the kernel learned from PTBs. Hints: a forged PTB leaves one too.
    pub learned: Vec<LearnedPathMtu>,
}

impl Routes {
    fn defaults_of(&self, family: IpFamily) -> impl Iterator<Item = &Route> {
        self.defaults.iter().filter(move |route| route.family == family)
    }
}

/// One route, as far as MTUs go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Its IP version.
    pub family: IpFamily,
    /// Link that it leaves by.
    pub ifindex: Ifindex,
    /// `RTAX_MTU`, if it has one.
    pub mtu: Option<LinkMtu>,
}

/// A path MTU in the kernel's route cache (`RTM_F_CLONED`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedPathMtu {
    /// For packets to this address.
    pub destination: std::net::IpAddr,
    /// The learned value.
    pub mtu: LinkMtu,
}

/// How a namespace's packets leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayOut {
    /// The link that they leave by.
    pub ifindex: Ifindex,
    /// MTU of the route, if it sets one.
    pub route_mtu: Option<LinkMtu>,
    /// Whether it is only inferred from the link that leads outward, since the routes could not be read.
    pub inferred: bool,
}

impl Topology {
    /// The namespace at `ix`.
    pub fn netns(&self, ix: NetnsIx) -> &Netns {
        &self.namespaces[ix.0]
    }

    /// Every namespace with its position.
    pub fn iter(&self) -> impl Iterator<Item = (NetnsIx, &Netns)> {
        self.namespaces.iter().enumerate().map(|(ix, netns)| (NetnsIx(ix), netns))
    }

    /// The link that `at` names, if it was seen.
    pub fn link(&self, at: LinkRef<NetnsIx>) -> Option<&Link<NetnsIx>> {
        self.namespaces.get(at.netns.0)?.links.get(&at.ifindex)
    }

    /// Ports of the bridge or bond `master`.
    pub fn ports(&self, master: LinkRef<NetnsIx>) -> impl Iterator<Item = &Link<NetnsIx>> {
        self.netns(master.netns).links.values().filter(move |link| link.master == Some(master.ifindex))
    }

    /// Whether a bridge has no ports. One without reads 1500 before Docker 25, and carries nothing.
    pub fn is_idle(&self, at: LinkRef<NetnsIx>) -> bool {
        self.link(at).is_some_and(|link| link.kind == super::link::LinkKind::Bridge)
            && self.ports(at).next().is_none()
    }

    /// The namespace of level 1 that the one at `ix` is or is nested in: a pod's.
    pub fn first_level(&self, ix: NetnsIx) -> Option<NetnsIx> {
        match self.netns(ix).place {
            Place::Nested { level: 1, .. } => Some(ix),
            Place::Nested { parent, .. } => self.first_level(parent),
            Place::Host | Place::Outside | Place::Unconnected => None,
        }
    }

    /// Whether `inner` is nested deeper than `outer`, both being connected to the host.
    pub fn is_deeper(&self, inner: NetnsIx, outer: NetnsIx) -> bool {
        match (self.netns(inner).place.level(), self.netns(outer).place.level()) {
            (Some(inner), Some(outer)) => inner > outer,
            (None, _) | (_, None) => false,
        }
    }

    /// Whether packets of `family` can leave the namespace: its own routes say, or, where they could not be read,
    /// the host's.
    pub fn has_default_route(&self, ix: NetnsIx, family: IpFamily) -> bool {
        match (&self.netns(ix).routes, ix) {
            (Some(routes), _) => routes.defaults_of(family).next().is_some(),
            (None, HOST) => false,
            (None, _) => self.has_default_route(HOST, family),
        }
    }

    /// How packets of `family` leave the namespace; where that is by several links, the one that carries least.
    pub fn way_out(&self, ix: NetnsIx, family: IpFamily) -> Option<WayOut> {
        let netns = self.netns(ix);
        if let Some(routes) = &netns.routes {
            let carries = |route: &&Route| {
                let link = netns.links.get(&route.ifindex).map(|link| link.mtu);
                let least = link.into_iter().chain(route.mtu).min();
                (least.is_none(), least)
            };
            let route = routes.defaults_of(family).min_by_key(carries)?;
            return Some(WayOut { ifindex: route.ifindex, route_mtu: route.mtu, inferred: false });
        }
        let parent = netns.place.parent()?;
        netns
            .links
            .values()
            .filter(|link| link.linked.is_some_and(|linked| linked.netns == parent))
            .min_by_key(|link| (link.mtu, link.ifindex))
            .map(|link| WayOut { ifindex: link.ifindex, route_mtu: None, inferred: true })
    }
}

#[cfg(test)]
pub(crate) mod sample;
