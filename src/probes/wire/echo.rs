//! Echo requests and the body that requests, replies and quotes share (RFC 792, RFC 4443 §4).

use pnet_packet::icmp::IcmpTypes;
use pnet_packet::icmpv6::Icmpv6Types;
use pnet_packet::util::checksum;

use super::token::{TOKEN_BYTES, Token};
use super::{WireError, need};
use crate::domain::mtu::{IpFamily, PathMtu};

/// Type, code, checksum, identifier, sequence number.
pub(super) const HEADER_BYTES: usize = 8;

/// Where the checksum stands, in words of 16 bits.
const CHECKSUM_WORD: usize = 1;

/// What an echo request and its reply have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    /// Tells searches apart.
    pub id: u16,
    /// Tells the probes of a search apart.
    pub sequence: u16,
    /// What follows the header; in a quote possibly cut off, down to nothing.
    pub payload: &'a [u8],
}

impl<'a> Echo<'a> {
    /// Reads the body behind type, code and checksum, from the start of the ICMP header.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, WireError> {
        need(message, "echo header", HEADER_BYTES)?;
        let (header, payload) = message.split_at(HEADER_BYTES);
        Ok(Self {
            id: u16::from_be_bytes([header[4], header[5]]),
            sequence: u16::from_be_bytes([header[6], header[7]]),
            payload,
        })
    }
}

/// ICMP type of an echo request.
pub(super) fn request_type(family: IpFamily) -> u8 {
    match family {
        IpFamily::V4 => IcmpTypes::EchoRequest.0,
        IpFamily::V6 => Icmpv6Types::EchoRequest.0,
    }
}

/// Writes the echo request whose whole IP packet (header without options included) has `size` bytes into
/// `buffer`, replacing what was there: ICMP header, `token`, padding that does not compress.
///
/// The ICMPv4 checksum is filled in; that of ICMPv6 covers the source address, so the kernel does it
/// (RFC 3542 §3.1).
pub fn write_request(
    buffer: &mut Vec<u8>,
    family: IpFamily,
    size: PathMtu,
    id: u16,
    sequence: u16,
    token: Token,
) {
    buffer.clear();
    buffer.extend_from_slice(&[request_type(family), 0, 0, 0]);
    buffer.extend_from_slice(&id.to_be_bytes());
    buffer.extend_from_slice(&sequence.to_be_bytes());
    buffer.extend_from_slice(token.as_bytes());
    // A path MTU is at least 68, an IPv6 one at least 1280; below, the smallest packet with a token is sent.
    let length = usize::from(size.get() - family.header_bytes()).max(HEADER_BYTES + TOKEN_BYTES);
    pad(buffer, length, token.seed());
    match family {
        IpFamily::V4 => {
            let checksum = checksum(buffer, CHECKSUM_WORD);
            buffer[2 * CHECKSUM_WORD..][..2].copy_from_slice(&checksum.to_be_bytes());
        }
        IpFamily::V6 => {}
    }
}

/// Fills `buffer` up to `length` with SplitMix64 (Steele, Lea, Flood, 2014).
fn pad(buffer: &mut Vec<u8>, length: usize, seed: u64) {
    let mut state = seed;
    while buffer.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let word = (word ^ (word >> 31)).to_be_bytes();
        let take = word.len().min(length - buffer.len());
        buffer.extend_from_slice(&word[..take]);
    }
}
