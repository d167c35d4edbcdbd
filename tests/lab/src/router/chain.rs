//! A chain of namespaces joined by veth pairs, with the kernel's own routers between the two ends.
//!
//! ```text
//! client ── mtus[0] ── router 1 ── mtus[1] ── router 2 ── … ── server
//! 10.9.0.1      10.9.0.2      10.9.1.1      10.9.1.2            fd09:0:0:LINK::1, ::2 alike
//! ```
//!
//! veth lets MTU + 4 bytes through, and a router never sends them: the path MTU is defined by the routers, so
//! the first link's is defined by the client's kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;

use super::space::Space;

/// The chain; everything goes when it is dropped.
#[derive(Debug)]
pub struct Chain {
    spaces: Vec<Space>,
}

impl Chain {
    /// Makes one with a link per MTU, thus one router less than that.
    pub fn new(mtus: &[u16]) -> Result<Self> {
        let spaces = (0..=mtus.len()).map(|_| Space::new()).collect::<Result<Vec<_>>>()?;
        for space in &spaces {
            space.sysctl("ipv4/ip_forward", "1")?;
            space.sysctl("ipv6/conf/all/forwarding", "1")?;
        }
        for (link, mtu) in mtus.iter().enumerate() {
            let (left, right) = (&spaces[link], &spaces[link + 1]);
            // Unlike indices: the kernel takes a link whose peer has the same one for no pair, and then reports its
            // state up to a second late (`linkwatch_urgent_event`), so that IPv6 begins that late.
            left.ip(&format!(
                "link add right index 20 mtu {mtu} type veth peer name left index 10 mtu {mtu} netns {}",
                right.id()
            ))?;
            for (space, device, side) in [(left, "right", 1), (right, "left", 2)] {
                space.ip(&format!("address add 10.9.{link}.{side}/24 dev {device}"))?;
                // IPv6 needs 1280, and says nothing where it has less.
                if *mtu >= 1280 {
                    space.ip(&format!("address add fd09:0:0:{link}::{side}/64 dev {device} nodad"))?;
                }
                space.ip(&format!("link set {device} up"))?;
            }
        }
        let last = mtus.len() - 1;
        for (index, space) in spaces.iter().enumerate() {
            // Onward by default, and back by the route to each link that lies behind.
            if index < last {
                space.ip(&format!("route add default via 10.9.{index}.2"))?;
                space.ip(&format!("-6 route add default via fd09:0:0:{index}::2"))?;
            }
            for link in 0..index.saturating_sub(1) {
                space.ip(&format!("route add 10.9.{link}.0/24 via 10.9.{}.1", index - 1))?;
                space.ip(&format!("-6 route add fd09:0:0:{link}::/64 via fd09:0:0:{}::1", index - 1))?;
            }
        }
        Ok(Self { spaces })
    }

    /// Namespace of the client.
    pub fn client(&self) -> &Space {
        &self.spaces[0]
    }

    /// Namespace of the server.
    pub fn server(&self) -> &Space {
        &self.spaces[self.spaces.len() - 1]
    }

    /// Namespace of router `number`, from 1.
    pub fn router(&self, number: usize) -> &Space {
        &self.spaces[number]
    }

    /// IPv4 address of the server.
    pub fn server_v4(&self) -> IpAddr {
        Ipv4Addr::new(10, 9, self.last_link(), 2).into()
    }

    /// IPv6 address of the server.
    pub fn server_v6(&self) -> IpAddr {
        Ipv6Addr::new(0xfd09, 0, 0, self.last_link().into(), 0, 0, 0, 2).into()
    }

    /// Address that the ICMP errors of router `number` come from: the one that faces the client.
    pub fn router_address(&self, number: u8, is_v4: bool) -> IpAddr {
        let link = number - 1;
        if is_v4 {
            Ipv4Addr::new(10, 9, link, 2).into()
        } else {
            Ipv6Addr::new(0xfd09, 0, 0, link.into(), 0, 0, 0, 2).into()
        }
    }

    /// Lets router `number` swallow its PTBs: a black hole.
    pub fn swallow_ptbs(&self, number: usize) -> Result<()> {
        self.router(number).nft(
            "table inet hole { chain output { type filter hook output priority 0;
               icmp type destination-unreachable icmp code frag-needed drop;
               icmpv6 type packet-too-big drop;
             }; }",
        )
    }

    fn last_link(&self) -> u8 {
        u8::try_from(self.spaces.len() - 2).expect("a chain in a test is short")
    }
}
