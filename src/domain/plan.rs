//! What to write so that nothing nested lets in packets which cannot get out, in which order, and how to take it back.
//!
//! A link is only ever lowered: to what is further out, or to what was measured. Somebody's smaller value stays. What
//! is inside of a link is lowered before it, so that at no moment a sender may use a size that was fine before and
//! is not any more.

use std::collections::{BTreeMap, BTreeSet};

use super::link::LinkRef;
use super::mtu::{IpFamily, LinkMtu};
use super::scope::OptedIn;
use super::topology::{NetnsIx, Topology};
use super::walk::Hop;

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// MTUs of links: every protocol.
    Links,
    /// The clamp of what TCP announces: TCP only, and no link is touched.
    Clamp,
    /// Both.
    Both,
}

impl Mode {
    fn has_links(self) -> bool {
        match self {
            Self::Links | Self::Both => true,
            Self::Clamp => false,
        }
    }

    fn has_clamp(self) -> bool {
        match self {
            Self::Clamp | Self::Both => true,
            Self::Links => false,
        }
    }
}

/// One thing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Give a link another MTU.
    LinkMtu {
        /// The link.
        at: LinkRef<NetnsIx>,
        /// What it has.
        from: LinkMtu,
        /// What it gets.
        to: LinkMtu,
    },
    /// Clamp what TCP announces through the namespace.
    Clamp {
        /// The namespace that forwards.
        netns: NetnsIx,
    },
}

impl Change {
    /// The namespace that it is written in.
    pub fn netns(self) -> NetnsIx {
        match self {
            Self::LinkMtu { at, .. } => at.netns,
            Self::Clamp { netns } => netns,
        }
    }
}

/// A link that would have to go under what IPv6 needs: the kernel would drop its IPv6 addresses (RFC 8200 §5), and
/// nothing would bring them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// The link.
    pub at: LinkRef<NetnsIx>,
    /// What it has.
    pub mtu: LinkMtu,
    /// What it should have.
    pub should_be: LinkMtu,
}

/// Changes in the order in which they are to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to write.
    pub changes: Vec<Change>,
    /// What is right to write and is not written.
    pub withheld: Vec<Withheld>,
}

/// When a thing is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Turn {
    /// First: outermost first.
    Link,
    /// Then, since a bridge follows its ports by itself until somebody sets it, which nobody can undo.
    Bridge,
    /// Last: it saves TCP in the meantime.
    Clamp,
}

/// What was done in this order, in the order in which it is to be taken back.
pub fn taken_back<T>(mut done: Vec<T>, turn: impl Fn(&T) -> Turn) -> Vec<T> {
    done.reverse();
    done.sort_by_key(turn);
    done
}

impl Plan {
    /// What is to be done where it was `opted_in`; namespaces in `clamped` are clamped already.
    pub fn new(topology: &Topology, opted_in: &[OptedIn], mode: Mode, clamped: &BTreeSet<NetnsIx>) -> Self {
        let mut plan = Self::default();
        if mode.has_clamp() {
            let open = opted_in.iter().map(|it| it.netns).filter(|netns| !clamped.contains(netns));
            let once: BTreeSet<_> = open.collect();
            plan.changes.extend(once.into_iter().map(|netns| Change::Clamp { netns }));
        }
        if mode.has_links() {
            let lowered = lowered(topology, opted_in);
            for at in inner_first(topology, &lowered.keys().copied().collect()) {
                let (from, to) = lowered[&at];
                if loses_ipv6(from, to) {
                    plan.withheld.push(Withheld { at, mtu: from, should_be: to });
                } else {
                    plan.changes.push(Change::LinkMtu { at, from, to });
                }
            }
        }
        plan
    }
}

/// Links in scope that let in more than gets out: what they have, and what they should have.
fn lowered(topology: &Topology, opted_in: &[OptedIn]) -> BTreeMap<LinkRef<NetnsIx>, (LinkMtu, LinkMtu)> {
    let mut then = topology.clone();
    let mut lowered = BTreeMap::new();
    // Again, since what is lowered may limit others: a link that IPv4 makes smaller, those that only IPv6 takes.
    loop {
        let too_large: Vec<_> = opted_in.iter().flat_map(|opted_in| too_large(&then, opted_in)).collect();
        if too_large.is_empty() {
            return lowered;
        }
        for (at, to) in too_large {
            let Some(link) = then.namespaces[at.netns.0].links.get_mut(&at.ifindex) else { continue };
            let (from, _) = *lowered.entry(at).or_insert((link.mtu, to));
            link.mtu = link.mtu.min(to);
            lowered.insert(at, (from, link.mtu));
        }
    }
}

fn too_large(topology: &Topology, opted_in: &OptedIn) -> impl Iterator<Item = (LinkRef<NetnsIx>, LinkMtu)> {
    opted_in.links.iter().filter_map(|at| {
        let to = opted_in.limit(topology, *at)?;
        (topology.link(*at)?.mtu > to).then_some((*at, to))
    })
}

/// Whether a link that is lowered so would lose its IPv6 addresses.
pub(super) fn loses_ipv6(from: LinkMtu, to: LinkMtu) -> bool {
    let least = IpFamily::V6.minimum_mtu().as_link_mtu();
    from >= least && to < least
}

/// The links such that each comes before those further out on its way.
fn inner_first(topology: &Topology, links: &BTreeSet<LinkRef<NetnsIx>>) -> Vec<LinkRef<NetnsIx>> {
    let beyond = |at: LinkRef<NetnsIx>| -> BTreeSet<LinkRef<NetnsIx>> {
        let hops = IpFamily::ALL.into_iter().flat_map(|family| topology.beyond(at, family));
        hops.filter_map(|limit| match limit.hop {
            Hop::Link(at) => links.contains(&at).then_some(at),
            Hop::Route { .. } => None,
        })
        .collect()
    };
    let beyond: BTreeMap<_, _> = links.iter().map(|at| (*at, beyond(*at))).collect();
    let mut inside: BTreeMap<_, usize> = links.iter().map(|at| (*at, 0)).collect();
    for outer in beyond.values().flatten() {
        if let Some(count) = inside.get_mut(outer) {
            *count += 1;
        }
    }
    let mut ordered = Vec::new();
    // The least: of namespaces that route into each other none is first.
    while let Some((at, _)) = inside.iter().min_by_key(|(_, count)| **count).map(|(at, count)| (*at, *count))
    {
        inside.remove(&at);
        for outer in &beyond[&at] {
            if let Some(count) = inside.get_mut(outer) {
                *count = count.saturating_sub(1);
            }
        }
        ordered.push(at);
    }
    ordered
}

#[cfg(test)]
mod tests;
