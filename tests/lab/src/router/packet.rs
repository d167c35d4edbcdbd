//! IP packets as a router sees them: what it reads, what it changes, and the ICMP errors that it writes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::Direction;

const ICMP_V4: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

/// A whole IP packet.
#[derive(Clone, Debug)]
pub(super) struct IpPacket {
    bytes: Vec<u8>,
    header_bytes: usize,
    is_v4: bool,
}

impl IpPacket {
    /// Takes what follows an Ethernet header; `None` for anything but IP. Padding behind the packet is cut off.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let (is_v4, header_bytes, length) = match first >> 4 {
            4 => (true, usize::from(first & 0x0f) * 4, usize::from(word(bytes, 2)?)),
            6 => (false, 40, 40 + usize::from(word(bytes, 4)?)),
            _ => return None,
        };
        if header_bytes < 20 || length < header_bytes {
            return None;
        }
        Some(Self { bytes: bytes.get(..length)?.to_vec(), header_bytes, is_v4 })
    }

    /// From the IP header on.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn source(&self) -> IpAddr {
        self.address(if self.is_v4 { 12 } else { 8 })
    }

    pub(super) fn destination(&self) -> IpAddr {
        self.address(if self.is_v4 { 16 } else { 24 })
    }

    /// As the network takes it.
    pub(super) fn describe(&self, direction: Direction) -> crate::network::Packet {
        crate::network::Packet {
            direction,
            size: u16::try_from(self.bytes.len()).unwrap_or(u16::MAX),
            ttl: self.bytes[self.ttl_at()],
            flow: self.flow(),
            fragmentable: self.is_v4 && self.bytes[6] & 0x40 == 0,
        }
    }

    /// What a router makes of it that is `hops` away: a smaller TTL, and checksums that the sender's kernel had
    /// left to its network card.
    pub(super) fn forwarded(mut self, hops: usize) -> Vec<u8> {
        let at = self.ttl_at();
        self.bytes[at] = self.bytes[at].saturating_sub(u8::try_from(hops).unwrap_or(u8::MAX)).max(1);
        if self.is_v4 {
            seal(&mut self.bytes[..self.header_bytes], 10, 0);
        }
        let is_fragment = self.is_v4 && word(&self.bytes, 6).is_some_and(|field| field & 0x3fff != 0);
        let checksum_at = match self.protocol() {
            TCP => 16,
            UDP => 6,
            _ => return self.bytes,
        };
        if !is_fragment && self.bytes.len() >= self.header_bytes + checksum_at + 2 {
            let pseudo = self.pseudo_header_sum(self.source(), self.destination(), self.protocol());
            seal(&mut self.bytes[self.header_bytes..], checksum_at, pseudo);
        }
        self.bytes
    }

    /// The ICMP error that router `from` sends back to this packet's sender.
    pub(super) fn error(&self, from: IpAddr, error: IcmpError) -> Option<Vec<u8>> {
        // RFC 1812 §4.3.2.3 and RFC 4443 §2.4: as much of the packet as these sizes leave room for.
        let room = if self.is_v4 { 576 - 28 } else { 1280 - 48 };
        let quote = &self.bytes[..self.bytes.len().min(room)];
        icmp_error(from, self.source(), error, quote)
    }

    /// What a hash of addresses, protocol and ports or echo identifier says; the same both ways.
    fn flow(&self) -> u64 {
        let mut addresses = [self.source(), self.destination()];
        addresses.sort();
        let part = |at| word(&self.bytes, self.header_bytes + at).unwrap_or(0);
        let mut ports = match self.protocol() {
            ICMP_V4 | ICMP_V6 => [part(4), 0],
            TCP | UDP => [part(0), part(2)],
            _ => [0, 0],
        };
        ports.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (addresses, ports, self.protocol()).hash(&mut hasher);
        hasher.finish()
    }

    fn protocol(&self) -> u8 {
        self.bytes[if self.is_v4 { 9 } else { 6 }]
    }

    fn ttl_at(&self) -> usize {
        if self.is_v4 { 8 } else { 7 }
    }

    fn address(&self, at: usize) -> IpAddr {
        if self.is_v4 {
            let octets: [u8; 4] = self.bytes[at..at + 4].try_into().expect("4 bytes");
            Ipv4Addr::from(octets).into()
        } else {
            let octets: [u8; 16] = self.bytes[at..at + 16].try_into().expect("16 bytes");
            Ipv6Addr::from(octets).into()
        }
    }

    fn pseudo_header_sum(&self, source: IpAddr, destination: IpAddr, protocol: u8) -> u64 {
        pseudo_header_sum(source, destination, protocol, self.bytes.len() - self.header_bytes)
    }
}

/// Which ICMP error.
#[derive(Clone, Copy, Debug)]
pub(super) enum IcmpError {
    /// Type 3 code 4, or type 2 of ICMPv6.
    PacketTooBig { mtu: u32 },
    /// Type 11 code 0, or type 3 code 0 of ICMPv6.
    TimeExceeded,
    /// Type 3 code 1, or type 1 code 3 of ICMPv6.
    HostUnreachable,
}

/// An ICMP error as an IP packet; `None` where the addresses are of different families.
pub(super) fn icmp_error(from: IpAddr, to: IpAddr, error: IcmpError, quote: &[u8]) -> Option<Vec<u8>> {
    let (kind, code, field) = match (from.is_ipv4(), error) {
        (true, IcmpError::PacketTooBig { mtu }) => (3, 4, u32::from(u16::try_from(mtu).unwrap_or(u16::MAX))),
        (true, IcmpError::TimeExceeded) => (11, 0, 0),
        (true, IcmpError::HostUnreachable) => (3, 1, 0),
        (false, IcmpError::PacketTooBig { mtu }) => (2, 0, mtu),
        (false, IcmpError::TimeExceeded) => (3, 0, 0),
        (false, IcmpError::HostUnreachable) => (1, 3, 0),
    };
    let mut message = vec![kind, code, 0, 0];
    message.extend(field.to_be_bytes());
    message.extend(quote);
    let length = u16::try_from(message.len()).ok()?;
    let mut packet = Vec::new();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            seal(&mut message, 2, 0);
            packet.extend([0x45, 0xc0]);
            packet.extend((20 + length).to_be_bytes());
            packet.extend([0, 0, 0, 0, 64, ICMP_V4, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            seal(&mut packet, 10, 0);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            seal(&mut message, 2, pseudo_header_sum(from, to, ICMP_V6, usize::from(length)));
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([ICMP_V6, 64]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    packet.extend(message);
    Some(packet)
}

/// The echo request that a forger guesses at: right addresses, the rest made up.
pub(super) fn guessed_request(from: IpAddr, to: IpAddr, id: u16, sequence: u16) -> Option<Vec<u8>> {
    let mut packet = Vec::new();
    let kind = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            packet.extend([0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 60, ICMP_V4, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            8
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend([0x60, 0, 0, 0, 0x05, 0xb4, ICMP_V6, 60]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            128
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    packet.extend([kind, 0, 0, 0]);
    packet.extend(id.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    Some(packet)
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// Writes the internet checksum (RFC 1071) of `bytes`, with `more` added, to `at`.
fn seal(bytes: &mut [u8], at: usize, more: u64) {
    bytes[at..at + 2].fill(0);
    let mut sum = more + sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).expect("it was folded to 16 bits");
    bytes[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u64::from(low))).sum()
}

/// RFC 9293 §3.1 and RFC 8200 §8.1.
fn pseudo_header_sum(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> u64 {
    let address = |address| match address {
        IpAddr::V4(address) => sum(&Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => sum(&Ipv6Addr::octets(&address)),
    };
    address(source) + address(destination) + u64::from(protocol) + u64::try_from(length).unwrap_or(0)
}
