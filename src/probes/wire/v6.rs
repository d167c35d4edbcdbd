//! ICMPv6 (RFC 4443). Checksums are not looked at: the kernel verifies them before it hands a message to any
//! socket (`rawv6_rcv`, `icmpv6_rcv`).

use pnet_packet::icmpv6::{Icmpv6Packet, Icmpv6Type, Icmpv6Types};

use super::{Echo, Message, Quote, WireError, need, quoted};

/// Type, code, checksum, 4 bytes that depend on the type.
const HEADER_BYTES: usize = 8;

/// PTB (RFC 4443 §3.2), the part before the quote. `pnet_packet` has no type for it.
///
/// ```text
/// |  Type = 2     |  Code = 0     |          Checksum             |
/// |                              MTU                              |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketTooBig {
    /// MTU of the next-hop link, in bytes; 32 bits wide, so it can claim what no IPv6 packet reaches.
    pub mtu: u32,
}

impl PacketTooBig {
    /// Reads the 8 bytes of a PTB; other types are refused with `None`. The code is ignored: RFC 4443 demands
    /// 0 of the sender and that the receiver does not look.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let [kind, _, _, _, mtu @ ..] = *header;
        (Icmpv6Type(kind) == Icmpv6Types::PacketTooBig).then(|| Self { mtu: u32::from_be_bytes(mtu) })
    }
}

/// Reads what a raw or ping IPv6 socket receives: one ICMPv6 message from its header on.
pub fn parse_message(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    need(bytes, "ICMPv6 header", HEADER_BYTES)?;
    let message = Icmpv6Packet::new(bytes).ok_or(WireError::Truncated {
        what: "ICMPv6 header",
        got: bytes.len(),
        needed: HEADER_BYTES,
    })?;
    match message.get_icmpv6_type() {
        Icmpv6Types::EchoReply => Ok(Message::EchoReply(Echo::parse(bytes)?)),
        kind @ (Icmpv6Types::DestinationUnreachable
        | Icmpv6Types::PacketTooBig
        | Icmpv6Types::TimeExceeded) => {
            let quote = quoted::v6(&bytes[HEADER_BYTES..])?;
            let mtu = PacketTooBig::parse(bytes).map_or(0, |ptb| ptb.mtu);
            Ok(error_message(kind.0, message.get_icmpv6_code().0, mtu, quote))
        }
        Icmpv6Type(kind) => Ok(Message::Other { kind }),
    }
}

/// What an ICMPv6 error says, its header already taken apart.
pub(super) fn error_message(kind: u8, code: u8, mtu: u32, quote: Quote<'_>) -> Message<'_> {
    match (Icmpv6Type(kind), code) {
        (Icmpv6Types::PacketTooBig, _) => Message::PacketTooBig { mtu, quote },
        (Icmpv6Types::DestinationUnreachable, code) => Message::Unreachable { code, quote },
        // Code 1 is reassembly, which probes never need.
        (Icmpv6Types::TimeExceeded, 0) => Message::TimeExceeded { quote },
        (Icmpv6Type(kind), _) => Message::Other { kind },
    }
}
