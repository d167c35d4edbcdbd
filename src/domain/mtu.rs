//! Sizes. Each is a type that says which size it is; none can hold a value that no IP link has.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// IP version. Each has its own minimum MTU and its own way of fragmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    /// IPv4 (RFC 791): routers fragment unless DF is set.
    #[serde(rename = "ipv4")]
    V4,
    /// IPv6 (RFC 8200): routers never fragment.
    #[serde(rename = "ipv6")]
    V6,
}

impl IpFamily {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// Family of `address`.
    pub fn of(address: std::net::IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Smallest MTU that a link of this family may have: 68 (RFC 791 §3.2) or 1280 (RFC 8200 §5).
    pub fn minimum_mtu(self) -> PathMtu {
        match self {
            Self::V4 => PathMtu(68),
            Self::V6 => PathMtu(1280),
        }
    }

    /// Length of the IP header without options or extension headers, in bytes.
    pub fn header_bytes(self) -> u16 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A size that was refused: no IP link or path can have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MtuError {
    /// Zero is "unknown" to some kernels' interfaces and a size to none.
    #[error("an MTU of 0 is no size; leave it out to say that it is unknown")]
    Zero,
    /// Outside of what a path MTU can be.
    #[error("a path MTU of {value} is impossible: IPv4 allows 68 to 65535 (RFC 791)")]
    ImpossiblePath {
        /// The refused value, in bytes.
        value: u32,
    },
}

/// MTU of one link as the kernel reports it, in bytes: IP header in, Ethernet header out.
///
/// Source: `IFLA_MTU` (`include/uapi/linux/if_link.h`), 32 bits wide; `lo` has 65536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkMtu(NonZeroU32);

impl LinkMtu {
    /// Docker's own default for a bridge, which a safe value never exceeds unless told so.
    pub const DOCKER_DEFAULT: Self = Self(NonZeroU32::new(1500).expect("1500 is not 0"));

    /// No IP packet is larger.
    pub const LARGEST_USEFUL: Self = Self(NonZeroU32::new(65_535).expect("65535 is not 0"));

    /// Refuses 0.
    pub fn new(bytes: u32) -> Result<Self, MtuError> {
        NonZeroU32::new(bytes).map(Self).ok_or(MtuError::Zero)
    }

    /// Size in bytes.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// Largest IP packet that the link carries: the MTU itself, capped at what an IP length field can say.
    pub fn as_path_mtu(self) -> Result<PathMtu, MtuError> {
        PathMtu::new(u16::try_from(self.get()).unwrap_or(u16::MAX))
    }
}

impl fmt::Display for LinkMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Path MTU, in bytes: the largest IP packet, header included, that a path carries unfragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PathMtu(u16);

impl PathMtu {
    /// Largest that an IP length field can say.
    pub const MAX: Self = Self(u16::MAX);

    /// Refuses anything under 68, the smallest MTU of any IP link (RFC 791 §3.2).
    pub fn new(bytes: u16) -> Result<Self, MtuError> {
        if bytes < 68 { Err(MtuError::ImpossiblePath { value: bytes.into() }) } else { Ok(Self(bytes)) }
    }

    /// Size in bytes.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The same number as the MTU of a link that carries exactly this.
    pub fn as_link_mtu(self) -> LinkMtu {
        LinkMtu(NonZeroU32::new(self.0.into()).expect("a path MTU is at least 68"))
    }

    /// TCP maximum segment size that fits: minus the IP and the 20 bytes TCP header (RFC 9293 §3.7.1).
    pub fn mss(self, family: IpFamily) -> Mss {
        Mss(self.0 - family.header_bytes() - 20)
    }
}

impl fmt::Display for PathMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// TCP maximum segment size, in bytes of payload without options (RFC 9293 §3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Mss(u16);

impl Mss {
    /// Size in bytes.
    pub fn get(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests;
