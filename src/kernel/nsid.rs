//! Ids by which one network namespace knows others (`net/core/net_namespace.c`). They are not global.

#![expect(clippy::wildcard_enum_match_arm, reason = "netlink has more attributes than are read")]

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{DecodeError, NLM_F_ACK, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::netlink::{NetlinkError, RouteSocket};

/// Id of a namespace in the namespace that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nsid(i32);

impl Nsid {
    /// `None` for what the kernel says when there is no id: `NETNSA_NSID_NOT_ASSIGNED`, -1.
    pub fn new(id: i32) -> Option<Self> {
        (id >= 0).then_some(Self(id))
    }

    /// The number.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl RouteSocket {
    /// The id by which the socket's namespace knows `netns`, if it has one.
    pub fn nsid_of(&mut self, netns: BorrowedFd<'_>) -> Result<Option<Nsid>, NetlinkError> {
        let message = RouteNetlinkMessage::GetNsId(of(netns));
        self.ask("ask for a namespace's nsid", message, 0, |nsid: &mut Option<Nsid>, payload| {
            *nsid = assigned(payload)?;
            Ok(())
        })
    }

    /// Gives `netns` an id in the socket's namespace (`CAP_NET_ADMIN`), or tells the one it has.
    pub fn assign_nsid(&mut self, netns: BorrowedFd<'_>) -> Result<Option<Nsid>, NetlinkError> {
        if let Some(nsid) = self.nsid_of(netns)? {
            return Ok(Some(nsid));
        }
        let mut message = of(netns);
        message.attributes.push(NsidAttribute::Id(-1)); // any
        self.ask::<()>(
            "give a namespace an nsid",
            RouteNetlinkMessage::NewNsId(message),
            NLM_F_ACK,
            |(), _| Ok(()),
        )?;
        self.nsid_of(netns)
    }
}

fn of(netns: BorrowedFd<'_>) -> NsidMessage {
    let fd = netns.as_raw_fd().unsigned_abs();
    let mut message = NsidMessage::default();
    message.attributes.push(NsidAttribute::Fd(fd));
    message
}

fn assigned(payload: &[u8]) -> Result<Option<Nsid>, DecodeError> {
    let message = NsidMessage::parse(payload)?;
    Ok(message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Nsid::new(*id),
        _ => None,
    }))
}

#[cfg(test)]
mod tests;
