//! Netfilter's netlink (`include/uapi/linux/netfilter/nfnetlink.h`), as far as one table of nftables takes it.
//!
//! Changes go in a batch, which the kernel makes as a whole or not at all.

use std::io;

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR,
};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

use super::netlink::{Messages, RECEIVE_BYTES, verdict};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// `NFNLGRP_NFTABLES`: what changes of tables, chains and rules.
const GROUP: u32 = 7;
const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
const NFNL_MSG_BATCH_END: u16 = 0x11;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct nfgenmsg`: family, version, resource.
pub(super) const FAMILY_BYTES: usize = 4;
const NFPROTO_UNSPEC: u8 = 0;
/// IPv4 and IPv6 alike.
pub(super) const NFPROTO_INET: u8 = 1;
const NLA_F_NESTED: u16 = 0x8000;

/// What the kernel does with a change whose object exists, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// `NLM_F_CREATE`: make it unless it is there.
    MakeIfAbsent,
    /// It must be there.
    Required,
}

/// One request about nftables' tables of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// `enum nf_tables_msg_types`.
    pub(super) kind: u16,
    pub(super) existing: Existing,
    pub(super) attributes: Vec<u8>,
}

/// What went wrong, before it is known what it means.
#[derive(Debug)]
pub(super) enum Failure {
    /// No such socket: a kernel without netfilter.
    Open(io::Error),
    /// The socket broke.
    Exchange(io::Error),
    /// The kernel said no: to which of the messages, and why. `None` for the batch itself.
    Refused { message: Option<usize>, source: io::Error },
    /// The answer cannot be read.
    Malformed(DecodeError),
}

/// One attribute: length, kind, value, and padding.
pub(super) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("what is sent is short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An attribute made of attributes.
pub(super) fn nested(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | NLA_F_NESTED, &attributes.concat())
}

/// An attribute with a number: nftables has them in network byte order.
pub(super) fn number(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

/// An attribute with a name: it ends with 0.
pub(super) fn text(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

/// A socket in the network namespace of the thread that opened it.
pub(super) struct NetfilterSocket {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl NetfilterSocket {
    pub(super) fn open() -> Result<Self, Failure> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Failure::Open)?;
        socket.bind_auto().map_err(Failure::Open)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES].into_boxed_slice() })
    }

    /// One that hears what changes instead.
    pub(super) fn hear() -> Result<Socket, Failure> {
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(Failure::Open)?;
        socket.bind_auto().and_then(|_address| socket.add_membership(GROUP)).map_err(Failure::Open)?;
        Ok(socket)
    }

    /// Makes all of these changes, or none.
    pub(super) fn batch(&mut self, messages: &[Message]) -> Result<(), Failure> {
        let begin = self.sequence.wrapping_add(1);
        let last = begin.wrapping_add(u32::try_from(messages.len()).expect("there are few"));
        self.sequence = last.wrapping_add(1);
        let subsystem = NFNL_SUBSYS_NFTABLES.to_be_bytes();
        let mut packet = packet(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, begin, (NFPROTO_UNSPEC, subsystem), &[]);
        for (message, sequence) in messages.iter().zip(begin.wrapping_add(1)..) {
            // One answer tells that all is done; what is refused is answered in any case.
            let ack = if sequence == last { NLM_F_ACK } else { 0 };
            packet.extend(request(message, NLM_F_REQUEST | ack, sequence));
        }
        let end = (NFPROTO_UNSPEC, subsystem);
        packet.extend(self::packet(NFNL_MSG_BATCH_END, NLM_F_REQUEST, self.sequence, end, &[]));
        self.socket.send(&packet, 0).map_err(Failure::Exchange)?;

        let mut refused = None;
        loop {
            let received = self.socket.recv(&mut &mut self.buffer[..], 0).map_err(Failure::Exchange)?;
            for message in Messages(&self.buffer[..received]) {
                let message = message.map_err(Failure::Malformed)?;
                let position = message.sequence_number().wrapping_sub(begin);
                if message.message_type() != NLMSG_ERROR || position > last.wrapping_sub(begin) {
                    continue; // not about this batch
                }
                if let Err(source) = verdict(message.payload()) {
                    let position =
                        usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
                    refused.get_or_insert(Failure::Refused { message: position, source });
                }
                if [begin, last].contains(&message.sequence_number()) {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Hands what is answered to `each`: without the header, with the family. What does not exist answers nothing.
    pub(super) fn ask(
        &mut self,
        message: &Message,
        all: bool,
        mut each: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<(), Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        let flags = NLM_F_REQUEST | if all { NLM_F_DUMP } else { NLM_F_ACK };
        self.socket.send(&request(message, flags, self.sequence), 0).map_err(Failure::Exchange)?;
        loop {
            let received = self.socket.recv(&mut &mut self.buffer[..], 0).map_err(Failure::Exchange)?;
            for message in Messages(&self.buffer[..received]) {
                let message = message.map_err(Failure::Malformed)?;
                if message.sequence_number() != self.sequence {
                    continue; // the tail of an exchange that was given up
                }
                if [NLMSG_DONE, NLMSG_ERROR].contains(&message.message_type()) {
                    let refused = |source| Failure::Refused { message: Some(0), source };
                    return verdict(message.payload()).map_err(refused);
                }
                each(message.payload()).map_err(Failure::Malformed)?;
            }
        }
    }
}

fn request(message: &Message, flags: u16, sequence: u32) -> Vec<u8> {
    let create = match message.existing {
        Existing::MakeIfAbsent => NLM_F_CREATE,
        Existing::Required => 0,
    };
    let kind = NFNL_SUBSYS_NFTABLES << 8 | message.kind;
    packet(kind, flags | create, sequence, (NFPROTO_INET, [0, 0]), &message.attributes)
}

fn packet(
    kind: u16,
    flags: u16,
    sequence: u32,
    (family, resource): (u8, [u8; 2]),
    attributes: &[u8],
) -> Vec<u8> {
    let length =
        u32::try_from(HEADER_BYTES + FAMILY_BYTES + attributes.len()).expect("what is sent is short");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]); // from this socket
    bytes.extend([family, 0, resource[0], resource[1]]);
    bytes.extend(attributes);
    bytes
}

/// The attributes of each message of a datagram, behind what every one begins with.
pub(super) fn attributes_of_each(datagram: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let messages = Messages(datagram).map_while(Result::ok);
    messages.map(|message| message.payload().get(FAMILY_BYTES..).unwrap_or_default().to_vec())
}
