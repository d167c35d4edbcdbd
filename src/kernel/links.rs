//! Links of a namespace, read from another one: `RTM_GETLINK` with `IFLA_TARGET_NETNSID` (`CAP_NET_ADMIN`).
//!
//! An MTU can only be written from inside: with `IFLA_TARGET_NETNSID` the kernel refuses.

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NlaBuffer, NlasIterator, parse_i32, parse_string, parse_u32,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};

use super::netlink::{NetlinkError, RouteSocket};
use super::nsid::Nsid;
use crate::domain::link::{Ifindex, Link, LinkKind, LinkRef};
use crate::domain::mtu::LinkMtu;

/// Names the namespace of a linked link as the reading namespace knows it; `None`: the same namespace.
pub type Linked = Option<Nsid>;

// `include/uapi/linux/if_link.h`. Of the some sixty attributes of a link these are read; the others are not even decoded.
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
/// `struct ifinfomsg` (`include/uapi/linux/rtnetlink.h`).
const HEADER_BYTES: usize = 16;
const IFF_LOOPBACK: u32 = 0x8;

impl RouteSocket {
    /// Links of the socket's own namespace, or of the one that it knows by `nsid`.
    ///
    /// Peers are named by the *socket's* nsids in both cases. A namespace that refuses is told by
    /// [`NetlinkError::is_permission`].
    pub fn links(&mut self, nsid: Option<Nsid>) -> Result<Vec<Link<Linked>>, NetlinkError> {
        // No `IFLA_EXT_MASK`: given one, the kernel first measures every link of the socket's own namespace
        // (`rtnl_calcit`), for each dump of any; and what `RTEXT_FILTER_SKIP_STATS` skips is only that of VFs.
        let mut message = LinkMessage::default();
        if let Some(nsid) = nsid {
            message.attributes.push(LinkAttribute::IfNetnsId(nsid.get()));
        }
        self.dump("dump the links", RouteNetlinkMessage::GetLink(message), |links: &mut Vec<_>, payload| {
            links.extend(parse(payload)?);
            Ok(())
        })
    }

    /// One link of the socket's own namespace; `None` if it is gone.
    pub fn link(&mut self, ifindex: Ifindex) -> Result<Option<Link<Linked>>, NetlinkError> {
        let message = RouteNetlinkMessage::GetLink(message(ifindex));
        let read = self.ask("read a link", message, 0, |link, payload| {
            *link = parse(payload)?;
            Ok(())
        });
        match read {
            Err(gone) if gone.is_no_device() => Ok(None),
            read => read,
        }
    }

    /// Gives a link of the socket's own namespace another MTU (`CAP_NET_ADMIN` over that namespace).
    pub fn set_link_mtu(&mut self, ifindex: Ifindex, mtu: LinkMtu) -> Result<(), NetlinkError> {
        let mut message = message(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu.get()));
        self.ask::<()>("set a link's MTU", RouteNetlinkMessage::SetLink(message), NLM_F_ACK, |(), _| Ok(()))
    }
}

pub(super) fn message(ifindex: Ifindex) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = ifindex.get();
    message
}

/// `None` for a link without an MTU, which no packet can use.
pub(super) fn parse(payload: &[u8]) -> Result<Option<Link<Linked>>, DecodeError> {
    let (header, attributes) =
        payload.split_at_checked(HEADER_BYTES).ok_or_else(|| DecodeError::from("ifinfomsg cut short"))?;
    let word = |at: usize| parse_u32(&header[at..at + 4]);
    let mut name = String::new();
    let mut mtu = None;
    let mut kind = None;
    let mut master = None;
    let (mut lower, mut lower_netns) = (None, None);
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            IFLA_IFNAME => name = shown(attribute.value()),
            IFLA_MTU => mtu = LinkMtu::new(parse_u32(attribute.value())?).ok(),
            IFLA_LINK => lower = Ifindex::new(parse_u32(attribute.value())?),
            IFLA_MASTER => master = Ifindex::new(parse_u32(attribute.value())?),
            IFLA_LINK_NETNSID => lower_netns = Some(Nsid::new(parse_i32(attribute.value())?)),
            IFLA_LINKINFO => kind = info_kind(&attribute)?,
            _ => {}
        }
    }
    let kind =
        if word(8)? & IFF_LOOPBACK != 0 { LinkKind::Loopback } else { kind.unwrap_or(LinkKind::Device) };
    let (Some(ifindex), Some(mtu)) = (Ifindex::new(word(4)?), mtu) else { return Ok(None) };
    // In a namespace that is being deleted, the kernel has no id for where the other end is: not in this one.
    let lower = lower.filter(|_| lower_netns != Some(None));
    let linked = lower.map(|ifindex| LinkRef { netns: lower_netns.flatten(), ifindex });
    Ok(Some(Link { ifindex, name, kind, mtu, master, linked }))
}

/// The name as it can be shown: whoever owns a namespace may put anything into it but `/`, `:` and white space
/// (`dev_valid_name` in `net/core/dev.c`), even what a terminal would obey.
fn shown(name: &[u8]) -> String {
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).replace(char::is_control, "\u{fffd}")
}

fn info_kind(info: &NlaBuffer<&[u8]>) -> Result<Option<LinkKind>, DecodeError> {
    for attribute in NlasIterator::new(info.value()) {
        let attribute = attribute?;
        if attribute.kind() == IFLA_INFO_KIND {
            return Ok(Some(LinkKind::from_info_kind(&parse_string(attribute.value())?)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
