//! Bytes that an encapsulation takes from its outer link.
//!
//! Overheads are counted between the MTU of the outer link and the MTU that is left for the inner IP packet.

use serde::Serialize;

use super::mtu::{IpFamily, LinkMtu};

/// A way to carry packets of an inner network in packets of an outer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encap {
    /// UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348 §5).
    Vxlan,
    /// UDP 8, Geneve 8 and its options, inner Ethernet 14 (RFC 8926 §3).
    Geneve {
        /// Options, in bytes: a multiple of 4 up to 252.
        options_bytes: u16,
    },
    /// IP in IP, any mix of families: only the outer IP header (RFC 2003, RFC 2473, RFC 4213).
    Ipip,
    /// GRE 4, and 4 each for key, checksum and sequence number (RFC 2784, RFC 2890).
    Gre {
        /// How many of the three optional fields are there.
        optional_fields: u16,
    },
    /// UDP 8, message header 16, authentication tag 16 (WireGuard paper §5.4.6). Padding is not sent beyond the MTU.
    Wireguard,
    /// ESP in tunnel mode with AES-GCM: header 8, IV 8, trailer 2 with padding to 4, ICV 16 (RFC 4303 §2, RFC 4106).
    IpsecEsp {
        /// In UDP, to pass a NAT (RFC 3948): 8 more.
        udp: bool,
    },
}

/// Inner Ethernet header, without a VLAN tag.
const ETHERNET_BYTES: u16 = 14;
const UDP_BYTES: u16 = 8;

impl Encap {
    /// What the encapsulation takes at least, in bytes, when its outer packets are of `outer` family.
    ///
    /// ESP may take up to 3 bytes more for padding: [`Encap::inner_mtu`] counts them.
    pub fn overhead_bytes(self, outer: IpFamily) -> u16 {
        outer.header_bytes()
            + match self {
                Self::Vxlan => UDP_BYTES + 8 + ETHERNET_BYTES,
                Self::Geneve { options_bytes } => UDP_BYTES + 8 + options_bytes + ETHERNET_BYTES,
                Self::Ipip => 0,
                Self::Gre { optional_fields } => 4 + 4 * optional_fields,
                Self::Wireguard => UDP_BYTES + 16 + 16,
                Self::IpsecEsp { udp } => (if udp { UDP_BYTES } else { 0 }) + 8 + 8 + 2 + 16,
            }
    }

    /// Largest inner MTU that fits an outer link of `mtu`; `None` when nothing is left.
    pub fn inner_mtu(self, mtu: LinkMtu, outer: IpFamily) -> Option<LinkMtu> {
        let left = mtu.get().checked_sub(self.overhead_bytes(outer).into())?;
        let left = match self {
            // Payload, padding and the 2-byte trailer end on a 4-byte boundary (RFC 4303 §2.4).
            Self::IpsecEsp { .. } => ((left + 2) / 4 * 4).checked_sub(2)?,
            Self::Vxlan | Self::Geneve { .. } | Self::Ipip | Self::Gre { .. } | Self::Wireguard => left,
        };
        LinkMtu::new(left).ok()
    }
}

#[cfg(test)]
mod tests;
