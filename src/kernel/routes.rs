//! Routes of the socket's own namespace. Netlink cannot read those of another one.

#![expect(clippy::wildcard_enum_match_arm, reason = "netlink has more attributes than are read")]

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHopFlags,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{NetlinkError, RouteSocket};
use crate::domain::link::Ifindex;
use crate::domain::mtu::{IpFamily, LinkMtu};
use crate::domain::topology::{LearnedPathMtu, Route, Routes};

impl RouteSocket {
    /// Routes of the main table, and what the kernel learned about path MTUs, of both families.
    pub fn routes(&mut self) -> Result<Routes, NetlinkError> {
        let mut routes = Routes::default();
        for family in IpFamily::ALL {
            let request = request(family, RouteFlags::empty());
            let dumped = self.dump("dump the routes", request, |found: &mut Found, payload| {
                found.add(family, &RouteMessage::parse(payload)?);
                Ok(())
            });
            let mut found = or_none(dumped)?;
            let best = found.defaults.iter().map(|(rank, _)| *rank).min();
            for (rank, route) in found.defaults {
                let preferred = if Some(rank) == best { &mut routes.defaults } else { &mut routes.spares };
                preferred.push(route);
            }
            found.others.sort_unstable();
            found.others.dedup();
            routes.others.extend(found.others);

            let request = self::request(family, RouteFlags::Cloned);
            let learned = |learned: &mut Vec<_>, payload: &[u8]| {
                learned.extend(learned_path_mtu(&RouteMessage::parse(payload)?));
                Ok(())
            };
            routes.learned.extend(or_none(self.dump("dump the learned path MTUs", request, learned))?);
        }
        Ok(routes)
    }
}

/// No table of routes is no route.
fn or_none<T: Default>(dumped: Result<T, NetlinkError>) -> Result<T, NetlinkError> {
    match dumped {
        Err(error) if error.is_absence() => Ok(T::default()),
        other => other,
    }
}

fn request(family: IpFamily, flags: RouteFlags) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = match family {
        IpFamily::V4 => AddressFamily::Inet,
        IpFamily::V6 => AddressFamily::Inet6,
    };
    message.header.table =
        if flags.is_empty() { RouteHeader::RT_TABLE_MAIN } else { RouteHeader::RT_TABLE_UNSPEC };
    message.header.flags = flags;
    if flags.is_empty() {
        message.attributes.push(RouteAttribute::Table(RouteHeader::RT_TABLE_MAIN.into()));
    }
    RouteNetlinkMessage::GetRoute(message)
}

/// Default routes carry what the kernel prefers them by: whether they are dead, and their metric.
#[derive(Default)]
struct Found {
    defaults: Vec<((bool, u32), Route)>,
    others: Vec<Route>,
}

impl Found {
    fn add(&mut self, family: IpFamily, message: &RouteMessage) {
        if message.header.kind != RouteType::Unicast {
            return;
        }
        let is_dead = message.header.flags.contains(RouteFlags::Dead);
        let mut metric = 0;
        let mut links = Vec::new();
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(ifindex) => links.push((*ifindex, is_dead)),
                RouteAttribute::MultiPath(hops) => links.extend(
                    hops.iter().map(|hop| (hop.interface_index, hop.flags.contains(RouteNextHopFlags::Dead))),
                ),
                RouteAttribute::Priority(priority) => metric = *priority,
                // Every link that is up has this one. It leads to no other network.
                RouteAttribute::Destination(RouteAddress::Inet6(address))
                    if address.is_unicast_link_local() =>
                {
                    return;
                }
                _ => {}
            }
        }
        let mtu = route_mtu(message);
        for (ifindex, is_dead) in links {
            let Some(ifindex) = Ifindex::new(ifindex) else { continue };
            let route = Route { family, ifindex, mtu };
            if message.header.destination_prefix_length == 0 {
                self.defaults.push(((is_dead, metric), route));
            } else {
                self.others.push(route);
            }
        }
    }
}

fn route_mtu(message: &RouteMessage) -> Option<LinkMtu> {
    let metrics = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Metrics(metrics) => Some(metrics),
        _ => None,
    })?;
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => LinkMtu::new(*mtu).ok(),
        _ => None,
    })
}

fn learned_path_mtu(message: &RouteMessage) -> Option<LearnedPathMtu> {
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    Some(LearnedPathMtu { destination, mtu: route_mtu(message)? })
}

#[cfg(test)]
mod tests;
