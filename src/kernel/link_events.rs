//! Links of one namespace as its kernel tells them while they change, and what it is asked about them meanwhile: all on
//! one socket, so that an answer and an event are told in the order in which they happened, by the same words.
//!
//! Nothing here waits for an answer. A request is carried out while it is sent; what came of it is heard like an event.

use std::io;

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::links::{self, Linked};
use super::listener::{Heard, Listener};
use super::netlink::{Messages, NetlinkError, RECEIVE_BYTES, verdict};
use super::netns::cookie;
use super::watch::grow_receive_buffer;
use crate::domain::link::{Ifindex, Link};
use crate::domain::mtu::LinkMtu;

// `include/uapi/linux/rtnetlink.h`.
const RTNLGRP_LINK: u32 = 1;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
/// `struct ifinfomsg`: where its family and its index are.
const FAMILY: usize = 0;
const INDEX: usize = 4;
/// Room for some hundred links that come at once; the memory is taken only while they wait.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Why a link is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Something about it changed.
    Change,
    /// All links were asked for.
    Dump,
    /// It was asked for: it is as told now, whatever was changing.
    Question,
}

/// What the kernel told.
#[derive(Debug)]
pub enum Told {
    /// A link as it is.
    Link {
        /// The link.
        link: Link<Linked>,
        /// Why it is told.
        because: Because,
    },
    /// A link is not in this namespace any more.
    Gone(Ifindex),
    /// A link has got the MTU that it was to get.
    Done {
        /// By which request.
        sequence: u32,
    },
    /// A request was refused.
    Refused {
        /// Which.
        sequence: u32,
        /// Why.
        error: io::Error,
    },
    /// All links have been told.
    Complete,
    /// Changes were lost: ask for all links.
    Lost,
}

/// The socket before anybody listens: it is of the namespace in which it was opened as long as it is there, and that
/// is there as long as the socket.
#[derive(Debug)]
pub struct LinkSocket {
    socket: Socket,
    port: u32,
}

impl LinkSocket {
    /// Opens it in the calling thread's network namespace. What changes from here on is told.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        let port = socket.bind_auto().map_err(NetlinkError::Open)?.port_number();
        let _smaller_is_heard_anew_after_bursts = grow_receive_buffer(&socket, RECEIVE_BUFFER_BYTES);
        socket.add_membership(RTNLGRP_LINK).map_err(NetlinkError::Open)?;
        Ok(Self { socket, port })
    }

    /// That of its namespace ([`cookie`]).
    pub fn netns_cookie(&self) -> io::Result<Option<u64>> {
        cookie::of_socket(&self.socket)
    }
}

/// What happens to the links of one namespace.
#[derive(Debug)]
pub struct LinkEvents {
    listener: Listener,
    asked: Asked,
}

/// By which an answer is told from what happens.
#[derive(Debug)]
struct Asked {
    port: u32,
    /// Number of the last request.
    sequence: u32,
    /// That of the request for all links, until it is answered.
    dump: Option<u32>,
}

impl LinkEvents {
    /// Listens. Panics outside of a tokio runtime.
    pub fn listen(socket: LinkSocket) -> io::Result<Self> {
        let LinkSocket { socket, port } = socket;
        let asked = Asked { port, sequence: 0, dump: None };
        Ok(Self { listener: Listener::new(socket, RECEIVE_BYTES)?, asked })
    }

    /// Waits for something, and takes what is there by then. Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> io::Result<Vec<Told>> {
        let mut told = Vec::new();
        let Self { listener, asked } = self;
        let each = |heard: Heard<'_>| {
            match heard {
                Heard::Datagram { bytes, .. } => {
                    told.extend(asked.understand(bytes).map_err(io::Error::other)?);
                }
                Heard::Overrun => told.push(Told::Lost),
            }
            Ok(!told.is_empty())
        };
        listener.hear(each).await?;
        Ok(told)
    }

    /// Asks for all links; [`Told::Complete`] follows them, unless the request with the returned number is refused: as
    /// is a second one while one is answered.
    pub fn ask_for_all(&mut self) -> io::Result<u32> {
        let sequence = self.send(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        self.asked.dump = Some(sequence);
        Ok(sequence)
    }

    /// Asks for one link.
    pub fn ask_for(&mut self, ifindex: Ifindex) -> io::Result<()> {
        self.send(RouteNetlinkMessage::GetLink(links::message(ifindex)), 0).map(drop)
    }

    /// Gives a link another MTU. That it has it is told like any change, and then that the request with the returned
    /// number is done; else that it is refused.
    pub fn set_link_mtu(&mut self, ifindex: Ifindex, mtu: LinkMtu) -> io::Result<u32> {
        let mut message = links::message(ifindex);
        message.attributes.push(LinkAttribute::Mtu(mtu.get()));
        self.send(RouteNetlinkMessage::SetLink(message), NLM_F_ACK)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<u32> {
        // 0 is the number of what nobody asked for.
        self.asked.sequence = self.asked.sequence.checked_add(1).unwrap_or(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.asked.sequence;
        message.finalize();
        let mut packet = vec![0; message.buffer_len()];
        message.serialize(&mut packet);
        self.listener.socket().send(&packet, 0)?;
        Ok(self.asked.sequence)
    }
}

impl Asked {
    fn understand(&mut self, datagram: &[u8]) -> Result<Vec<Told>, DecodeError> {
        let mut told = Vec::new();
        for message in Messages(datagram) {
            let message = message?;
            // An event may carry the number of the request, of whomever, that caused it; our own carry our port too.
            let asked = (message.port_number() == self.port).then(|| message.sequence_number());
            told.extend(self.message(message.message_type(), asked, message.payload())?);
        }
        Ok(told)
    }

    fn message(
        &mut self,
        kind: u16,
        asked: Option<u32>,
        payload: &[u8],
    ) -> Result<Option<Told>, DecodeError> {
        let is_dump = asked.is_some() && asked == self.dump;
        Ok(match kind {
            // A bridge tells the state of its ports once more, in a family of its own, and that one has left it.
            RTM_NEWLINK | RTM_DELLINK if payload.get(FAMILY) != Some(&0) => None,
            RTM_NEWLINK => {
                let because = match asked {
                    Some(_) if is_dump => Because::Dump,
                    Some(_) => Because::Question,
                    None => Because::Change,
                };
                links::parse(payload)?.map(|link| Told::Link { link, because })
            }
            RTM_DELLINK => {
                let index = payload.get(INDEX..).and_then(|rest| rest.first_chunk());
                index.and_then(|index| Ifindex::new(u32::from_ne_bytes(*index))).map(Told::Gone)
            }
            NLMSG_DONE | NLMSG_ERROR => {
                if is_dump {
                    self.dump = None;
                }
                asked.map(|sequence| match verdict(payload) {
                    Err(error) => Told::Refused { sequence, error },
                    Ok(()) if is_dump => Told::Complete,
                    Ok(()) => Told::Done { sequence },
                })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
