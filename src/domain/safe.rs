//! The MTU that a nested dockerd may safely use, at every level.

use super::evidence::Evidence;
use super::link::{Ifindex, LinkKind, LinkRef};
use super::mtu::{IpFamily, LinkMtu, PathMtu};
use super::topology::{HOST, NetnsIx, Place, Topology};
use super::walk::{Hop, Limit};

/// Under this no IPv4 host is obliged to take a packet (RFC 791 §3.1): such a value is not published.
pub const SMALLEST_USEFUL: u32 = 576;

/// What bounds a safe MTU besides the walks outward.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Never more than this: docker's own default, unless the user says otherwise.
    pub maximum: LinkMtu,
    /// Links of the host that carry the pods' packets to other hosts (an overlay).
    pub overlays: Vec<Ifindex>,
    /// What the next pod will get, by its CNI: counts for the node, and not for what is there already.
    pub expected: Option<LinkMtu>,
    /// Measured path MTUs from the host, one for each probed address.
    pub measured: Vec<MeasuredPath>,
}

/// A path MTU that a probe confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredPath {
    /// IP version of the path.
    pub family: IpFamily,
    /// The measured value.
    pub path_mtu: PathMtu,
}

/// A safe MTU for one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeMtu {
    /// The value.
    pub mtu: LinkMtu,
    /// How it is known.
    pub evidence: Evidence,
    /// What makes it no larger.
    pub limited_by: Limiter,
}

/// What makes a safe MTU no larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limiter {
    /// A link or a route on a walk outward.
    Hop(Hop),
    /// The measured path, by its position in [`Bounds::measured`].
    Path(usize),
    /// [`Bounds::expected`].
    Expected,
    /// [`Bounds::maximum`].
    Maximum,
}

impl Topology {
    /// The safe dind MTU for `family`; `None` when nothing here has a default route of that family.
    ///
    /// Smallest over the host and the namespaces of level 1: what the first dockerd of any pod may use. Deeper
    /// levels get the same value, since a docker bridge adds no header.
    pub fn safe_dind_mtu(&self, family: IpFamily, bounds: &Bounds) -> Option<SafeMtu> {
        let first_level = |(ix, netns): (NetnsIx, &super::topology::Netns)| match netns.place {
            Place::Host | Place::Nested { level: 1, .. } => self.has_default_route(ix, family).then_some(ix),
            Place::Nested { .. } | Place::Outside | Place::Unconnected => None,
        };
        self.safe_over(self.iter().filter_map(first_level), family, bounds, bounds.expected)
    }

    /// The same for what is nested in one namespace, whatever the others can do; `None` when it has no default route.
    pub fn safe_mtu_inside(&self, netns: NetnsIx, family: IpFamily, bounds: &Bounds) -> Option<SafeMtu> {
        let netns = self.has_default_route(netns, family).then_some(netns);
        self.safe_over(netns.into_iter(), family, bounds, None)
    }

    fn safe_over(
        &self,
        namespaces: impl Iterator<Item = NetnsIx>,
        family: IpFamily,
        bounds: &Bounds,
        expected: Option<LinkMtu>,
    ) -> Option<SafeMtu> {
        let narrowest = namespaces.filter_map(|netns| Self::narrowest(&self.walk(netns, family)));
        let Limit { hop, mtu } = narrowest.min_by_key(|limit| limit.mtu)?;
        let safe = SafeMtu { mtu, evidence: Evidence::Configured, limited_by: Limiter::Hop(hop) };
        Some(self.bounded(safe, family, bounds, expected))
    }

    /// What bounds packets of `family` besides the walks outward.
    pub(super) fn besides_walks(&self, family: IpFamily, bounds: &Bounds) -> LinkMtu {
        let (mtu, evidence) = (bounds.maximum, Evidence::Configured);
        self.bounded(SafeMtu { mtu, evidence, limited_by: Limiter::Maximum }, family, bounds, None).mtu
    }

    fn bounded(
        &self,
        mut safe: SafeMtu,
        family: IpFamily,
        bounds: &Bounds,
        expected: Option<LinkMtu>,
    ) -> SafeMtu {
        let overlay = self.overlay_limits(family, bounds).min_by_key(|limit| limit.mtu);
        if let Some(Limit { hop, mtu }) = overlay.filter(|limit| limit.mtu < safe.mtu) {
            safe = SafeMtu { mtu, evidence: Evidence::Configured, limited_by: Limiter::Hop(hop) };
        }
        if let Some(mtu) = expected.filter(|mtu| *mtu < safe.mtu) {
            safe = SafeMtu { mtu, evidence: Evidence::Configured, limited_by: Limiter::Expected };
        }
        for (position, path) in bounds.measured.iter().enumerate().filter(|(_, path)| path.family == family) {
            let measured = path.path_mtu.as_link_mtu();
            if measured < safe.mtu {
                safe = SafeMtu {
                    mtu: measured,
                    evidence: Evidence::Measured,
                    limited_by: Limiter::Path(position),
                };
            } else if measured == safe.mtu {
                safe.evidence = Evidence::Measured;
            }
        }
        if bounds.maximum < safe.mtu {
            let evidence = Evidence::Configured;
            safe = SafeMtu { mtu: bounds.maximum, evidence, limited_by: Limiter::Maximum };
        }
        safe
    }

    /// The largest packet that gets from the namespace out, by what is configured and, if the host was probed, by
    /// what was measured; `None` for a namespace that no link connects to the host, or without a way out.
    pub fn effective_mtu(&self, netns: NetnsIx, measured: &[MeasuredPath]) -> Option<LinkMtu> {
        self.netns(netns).place.level()?;
        let by_family = |family| {
            let walk =
                if self.has_default_route(netns, family) { self.walk(netns, family) } else { Vec::new() };
            let configured = Self::narrowest(&walk)?.mtu;
            let paths = measured.iter().filter(|path| path.family == family);
            paths.map(|path| path.path_mtu.as_link_mtu()).chain([configured]).min()
        };
        IpFamily::ALL.into_iter().filter_map(by_family).min()
    }

    /// By the main table's routes through them. A CNI's WireGuard has its routes in a table of its own, by a rule, and
    /// is there only as long as it encrypts: its own MTU counts, for both families.
    fn overlay_limits(&self, family: IpFamily, bounds: &Bounds) -> impl Iterator<Item = Limit> {
        let links = bounds.overlays.iter().filter_map(|ifindex| self.netns(HOST).links.get(ifindex));
        let encrypting = links.filter(|link| link.kind == LinkKind::Wireguard).map(|link| {
            let hop = Hop::Link(LinkRef { netns: HOST, ifindex: link.ifindex });
            Limit { hop, mtu: link.mtu }
        });
        let routes = self.netns(HOST).routes.iter().flat_map(|routes| &routes.others);
        let overlay =
            routes.filter(move |route| route.family == family && bounds.overlays.contains(&route.ifindex));
        let by_routes = overlay.filter_map(|route| {
            let at = LinkRef { netns: HOST, ifindex: route.ifindex };
            let link = self.link(at)?;
            Some(match route.mtu {
                Some(mtu) if mtu < link.mtu => Limit { hop: Hop::Route { netns: HOST, mtu }, mtu },
                Some(_) | None => Limit { hop: Hop::Link(at), mtu: link.mtu },
            })
        });
        by_routes.chain(encrypting)
    }
}

#[cfg(test)]
mod tests;
