//! ICMPv4 (RFC 792), with the next-hop MTU of RFC 1191.

use pnet_packet::icmp::destination_unreachable::{DestinationUnreachablePacket, IcmpCodes as Unreachable};
use pnet_packet::icmp::time_exceeded::IcmpCodes as Exceeded;
use pnet_packet::icmp::{IcmpCode, IcmpType, IcmpTypes};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::util::checksum;

use super::{Echo, Message, Quote, WireError, need, quoted};
use crate::domain::mtu::IpFamily;

/// Type, code, checksum, 4 bytes that depend on the type.
const HEADER_BYTES: usize = 8;

/// Reads what a raw IPv4 socket receives: a whole, reassembled packet, its ICMP checksum not yet verified
/// (raw sockets get their copy before `icmp_rcv` looks at it).
pub fn parse_packet(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    let what = "IPv4 header";
    let header = Ipv4Packet::new(bytes).ok_or(WireError::Truncated { what, got: bytes.len(), needed: 20 })?;
    if header.get_version() != 4 {
        return Err(WireError::Version { version: header.get_version(), family: IpFamily::V4 });
    }
    let header_bytes = usize::from(header.get_header_length()) * 4;
    if header_bytes < 20 {
        return Err(WireError::Truncated { what, got: header_bytes, needed: 20 });
    }
    need(bytes, what, header_bytes)?;
    let protocol = header.get_next_level_protocol();
    if protocol != IpNextHeaderProtocols::Icmp {
        return Err(WireError::NotIcmp { what, protocol: protocol.0 });
    }
    parse_message(&bytes[header_bytes..])
}

/// Reads one ICMPv4 message from its header on.
pub fn parse_message(bytes: &[u8]) -> Result<Message<'_>, WireError> {
    // Its fields stand where those of all errors do, and the first three in all messages.
    let message = DestinationUnreachablePacket::new(bytes).ok_or(WireError::Truncated {
        what: "ICMPv4 header",
        got: bytes.len(),
        needed: HEADER_BYTES,
    })?;
    if checksum(bytes, 1) != message.get_checksum() {
        return Err(WireError::Checksum);
    }
    match message.get_icmp_type() {
        IcmpTypes::EchoReply => Ok(Message::EchoReply(Echo::parse(bytes)?)),
        IcmpTypes::DestinationUnreachable | IcmpTypes::TimeExceeded => {
            let quote = quoted::v4(&bytes[HEADER_BYTES..])?;
            let (kind, code) = (message.get_icmp_type().0, message.get_icmp_code().0);
            Ok(error_message(kind, code, message.get_next_hop_mtu().into(), quote))
        }
        IcmpType(kind) => Ok(Message::Other { kind }),
    }
}

/// What an ICMPv4 error says, its header already taken apart.
pub(super) fn error_message(kind: u8, code: u8, mtu: u32, quote: Quote<'_>) -> Message<'_> {
    match (IcmpType(kind), IcmpCode(code)) {
        (IcmpTypes::DestinationUnreachable, Unreachable::FragmentationRequiredAndDFFlagSet) => {
            Message::PacketTooBig { mtu, quote }
        }
        (IcmpTypes::DestinationUnreachable, IcmpCode(code)) => Message::Unreachable { code, quote },
        (IcmpTypes::TimeExceeded, Exceeded::TimeToLiveExceededInTransit) => Message::TimeExceeded { quote },
        (IcmpType(kind), IcmpCode(_)) => Message::Other { kind },
    }
}
