//! The packet that an ICMP error quotes: an IP header and as much behind it as the router cared to copy.
//!
//! RFC 792 obliges to 8 bytes behind the IPv4 header, RFC 1812 §4.3.2.3 and RFC 4443 §2.4 ask for as much as
//! fits. 8 bytes are an echo's header: identifier and sequence number, no payload.

use std::net::IpAddr;

use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

use super::echo::{self, Echo};
use super::{WireError, need};
use crate::domain::mtu::IpFamily;

/// Which of our packets an ICMP error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Where it was going.
    pub destination: IpAddr,
    /// TTL or hop limit that it had left, where the header is quoted.
    pub hop_limit: Option<u8>,
    /// Its echo request; the payload may be cut off.
    pub echo: Echo<'a>,
}

/// Reads a quoted IPv4 packet, options included.
///
/// Its total length and checksum are not looked at: routers on the way change them, and some quote the length in the
/// byte order of their host. Its TTL is no proof of anything.
pub fn v4(bytes: &[u8]) -> Result<Quote<'_>, WireError> {
    let what = "quoted IPv4 header";
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
    if header.get_fragment_offset() != 0 {
        return Err(WireError::Fragment);
    }
    Ok(Quote {
        destination: header.get_destination().into(),
        hop_limit: Some(header.get_ttl()),
        echo: echo_request(IpFamily::V4, &bytes[header_bytes..])?,
    })
}

/// Reads a quoted IPv6 packet.
///
/// Probes carry no extension headers, and routers may not insert any (RFC 8200 §4), so a quote with one is
/// not ours.
pub fn v6(bytes: &[u8]) -> Result<Quote<'_>, WireError> {
    let what = "quoted IPv6 header";
    let header = Ipv6Packet::new(bytes).ok_or(WireError::Truncated { what, got: bytes.len(), needed: 40 })?;
    if header.get_version() != 6 {
        return Err(WireError::Version { version: header.get_version(), family: IpFamily::V6 });
    }
    let protocol = header.get_next_header();
    if protocol != IpNextHeaderProtocols::Icmpv6 {
        return Err(WireError::NotIcmp { what, protocol: protocol.0 });
    }
    Ok(Quote {
        destination: header.get_destination().into(),
        hop_limit: Some(header.get_hop_limit()),
        echo: echo_request(IpFamily::V6, &bytes[Ipv6Packet::minimum_packet_size()..])?,
    })
}

/// Reads a quoted echo request from its ICMP header on.
pub fn echo_request(family: IpFamily, bytes: &[u8]) -> Result<Echo<'_>, WireError> {
    need(bytes, "quoted echo request", echo::HEADER_BYTES)?;
    if bytes[0] != echo::request_type(family) {
        return Err(WireError::NotEchoRequest { kind: bytes[0] });
    }
    Echo::parse(bytes)
}
