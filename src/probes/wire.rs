//! ICMP on the wire: bytes become values, and values bytes. No sockets and no clock, and no belief: whether a
//! well-formed message is *ours* is for [`token`] and the driver to say.
//!
//! IPv4 and IPv6 are apart ([`v4`], [`v6`]): their Packet Too Big messages (PTBs) differ in type, in width and in
//! what they quote. Nothing here panics on any input; `fuzz/` has a target per parser.

use std::net::IpAddr;

use crate::domain::mtu::IpFamily;

pub mod echo;
pub mod quoted;
pub mod token;
pub mod v4;
pub mod v6;

pub use echo::Echo;
pub use quoted::Quote;

/// An ICMP message that a prober has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Echo reply: ICMPv4 type 0 (RFC 792), ICMPv6 type 129 (RFC 4443 §4.2).
    EchoReply(Echo<'a>),
    /// PTB: ICMPv4 type 3 code 4 (RFC 1191 §4), ICMPv6 type 2 (RFC 4443 §3.2).
    PacketTooBig {
        /// What the router says that its next hop takes, in bytes; unchecked: 0 and absurd ones occur.
        mtu: u32,
        /// Which packet was too big.
        quote: Quote<'a>,
    },
    /// Any other destination unreachable: ICMPv4 type 3, ICMPv6 type 1.
    Unreachable {
        /// Why; the meaning differs by family.
        code: u8,
        /// Which packet was not delivered.
        quote: Quote<'a>,
    },
    /// TTL or hop limit ran out in transit: ICMPv4 type 11 code 0, ICMPv6 type 3 code 0.
    TimeExceeded {
        /// Which packet it was.
        quote: Quote<'a>,
    },
    /// Well-formed, and no answer to a probe: echo requests, neighbour discovery, …
    Other {
        /// ICMP type; the meaning differs by family.
        kind: u8,
    },
}

/// Why bytes are no ICMP message that could be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Shorter than its own header says, or than any such message is.
    #[error("{what} is cut off: {got} bytes, {needed} are needed")]
    Truncated {
        /// Which part.
        what: &'static str,
        /// Bytes that are there.
        got: usize,
        /// Bytes that would be needed.
        needed: usize,
    },
    /// Not the IP version that belongs to this socket.
    #[error("an IP header of version {version} where {family} belongs")]
    Version {
        /// What the header says.
        version: u8,
        /// What it should say.
        family: IpFamily,
    },
    /// Says something else than ICMP follows, or quotes something else than ICMP.
    #[error("{what} carries IP protocol {protocol}, not ICMP")]
    NotIcmp {
        /// Which header.
        what: &'static str,
        /// Its protocol or next header field.
        protocol: u8,
    },
    /// The quoted packet is not an echo request.
    #[error("the quoted message has ICMP type {kind}, not an echo request's")]
    NotEchoRequest {
        /// Its ICMP type.
        kind: u8,
    },
    /// The checksum is wrong.
    #[error("ICMP checksum is wrong")]
    Checksum,
    /// The quote is a fragment other than the first: no ICMP header in it.
    #[error("the quoted packet is a later fragment")]
    Fragment,
}

/// An ICMP error as the kernel's error queue hands it over (`struct sock_extended_err`, linux/errqueue.h): the
/// ICMP header taken apart, the quoted packet without its IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedError<'a> {
    /// `ee_type`: the ICMP type.
    pub kind: u8,
    /// `ee_code`: the ICMP code.
    pub code: u8,
    /// `ee_info`: for a PTB its MTU.
    pub info: u32,
    /// Where the quoted packet was sent to.
    pub destination: IpAddr,
    /// The quoted packet from its ICMP header on.
    pub quoted: &'a [u8],
}

impl<'a> QueuedError<'a> {
    /// The same message as if it had come on a raw socket.
    pub fn into_message(self) -> Result<Message<'a>, WireError> {
        let family = IpFamily::of(self.destination);
        let quote = Quote {
            destination: self.destination,
            hop_limit: None,
            echo: quoted::echo_request(family, self.quoted)?,
        };
        Ok(match family {
            IpFamily::V4 => v4::error_message(self.kind, self.code, self.info, quote),
            IpFamily::V6 => v6::error_message(self.kind, self.code, self.info, quote),
        })
    }
}

/// The first `N` bytes of `bytes`, or the error that says how many are missing.
fn need(bytes: &[u8], what: &'static str, needed: usize) -> Result<(), WireError> {
    if bytes.len() < needed {
        return Err(WireError::Truncated { what, got: bytes.len(), needed });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
