//! Addresses of a namespace, read from another one: `RTM_GETADDR` with `IFA_TARGET_NETNSID` (`CAP_NET_ADMIN`).

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlasIterator, parse_i32, parse_ip, parse_u32};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{NetlinkError, RouteSocket};
use super::nsid::Nsid;
use crate::domain::link::Ifindex;

// `include/uapi/linux/if_addr.h`.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_TARGET_NETNSID: u16 = 10;
/// `struct ifaddrmsg`.
const HEADER_BYTES: usize = 8;

impl RouteSocket {
    /// The addresses of the namespace that the socket's knows by `nsid`, each with its link.
    ///
    /// A kernel that does not know how to ask another namespace (before 4.20) tells its own addresses: those are left
    /// out.
    pub fn addresses(&mut self, nsid: Nsid) -> Result<Vec<(Ifindex, IpAddr)>, NetlinkError> {
        let mut addresses = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = AddressMessage::default();
            message.header.family = family;
            message.attributes.push(AddressAttribute::TargetNetNsId(nsid.get()));
            let request = RouteNetlinkMessage::GetAddress(message);
            let dumped = self.dump("dump the addresses", request, |found: &mut Vec<_>, payload| {
                found.extend(parse(payload, nsid)?);
                Ok(())
            });
            match dumped {
                Err(error) if error.is_absence() => {}
                dumped => addresses.extend(dumped?),
            }
        }
        Ok(addresses)
    }
}

/// `None` for an address of another namespace than the one that was asked.
fn parse(payload: &[u8], nsid: Nsid) -> Result<Option<(Ifindex, IpAddr)>, DecodeError> {
    let (header, attributes) =
        payload.split_at_checked(HEADER_BYTES).ok_or_else(|| DecodeError::from("ifaddrmsg cut short"))?;
    let (mut address, mut local, mut netns) = (None, None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            IFA_ADDRESS => address = Some(parse_ip(attribute.value())?),
            IFA_LOCAL => local = Some(parse_ip(attribute.value())?),
            IFA_TARGET_NETNSID => netns = Nsid::new(parse_i32(attribute.value())?),
            _ => {}
        }
    }
    // On a point-to-point link `IFA_ADDRESS` is the other end's.
    let (Some(ifindex), Some(address)) = (Ifindex::new(parse_u32(&header[4..])?), local.or(address)) else {
        return Ok(None);
    };
    Ok((netns == Some(nsid)).then_some((ifindex, address)))
}

#[cfg(test)]
mod tests;
