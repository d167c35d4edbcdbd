//! Counters of the network stack that rise when packets are too large: a mismatch that hurts shows without a probe.
//!
//! They are those of one network namespace. Where a container's packet has to be squeezed into a smaller link, it is
//! the namespace in front of that link that counts: with a pod's, the node.

use std::fs;
use std::io;

/// Since the namespace was made. `None`: the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounters {
    /// `ICMPv4` destination unreachable, sent: PTBs, but also closed ports and hosts that are away (`IcmpMsg`
    /// `OutType3` in `/proc/net/snmp`). The kernel leaves types out that it never sent.
    pub icmp4_unreachable_sent: Option<u64>,
    /// `IPv4` packets that did not fit and may not be fragmented (`Ip` `FragFails` in `/proc/net/snmp`).
    pub ipv4_fragmentation_failed: Option<u64>,
    /// `ICMPv6` packet too big, sent (`Icmp6OutPktTooBigs` in `/proc/net/snmp6`).
    pub icmp6_ptb_sent: Option<u64>,
    /// `IPv6` packets that did not fit (`Ip6FragFails` in `/proc/net/snmp6`).
    pub ipv6_fragmentation_failed: Option<u64>,
    /// Probes by which the kernel's own TCP found a path too narrow (`TcpExt` `TCPMTUPFail` in `/proc/net/netstat`).
    /// It sends some only with `net.ipv4.tcp_mtu_probing`.
    pub tcp_mtu_probes_failed: Option<u64>,
    /// Such probes that got through (`TcpExt` `TCPMTUPSuccess`).
    pub tcp_mtu_probes_passed: Option<u64>,
}

impl PacketCounters {
    /// Those of the calling thread's network namespace. A file that cannot be read tells nothing: the kernel may
    /// have no IPv6.
    pub fn read() -> Self {
        let read = |name: &str| {
            let text: io::Result<String> = fs::read_to_string(format!("/proc/thread-self/net/{name}"));
            text.unwrap_or_default()
        };
        Self::parse(&read("snmp"), &read("snmp6"), &read("netstat"))
    }

    /// From the text of the three files.
    pub fn parse(snmp: &str, snmp6: &str, netstat: &str) -> Self {
        Self {
            icmp4_unreachable_sent: in_columns(snmp, "IcmpMsg", "OutType3"),
            ipv4_fragmentation_failed: in_columns(snmp, "Ip", "FragFails"),
            icmp6_ptb_sent: in_lines(snmp6, "Icmp6OutPktTooBigs"),
            ipv6_fragmentation_failed: in_lines(snmp6, "Ip6FragFails"),
            tcp_mtu_probes_failed: in_columns(netstat, "TcpExt", "TCPMTUPFail"),
            tcp_mtu_probes_passed: in_columns(netstat, "TcpExt", "TCPMTUPSuccess"),
        }
    }

    /// How much each rose since `earlier`; `None` where that cannot be said.
    ///
    /// What was left out then, because it had never been sent, began at zero.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let rise = |now: Option<u64>, then: Option<u64>| now?.checked_sub(then?);
        let then_unreachable =
            earlier.icmp4_unreachable_sent.or_else(|| earlier.ipv4_fragmentation_failed.map(|_same_file| 0));
        Self {
            icmp4_unreachable_sent: rise(self.icmp4_unreachable_sent, then_unreachable),
            ipv4_fragmentation_failed: rise(
                self.ipv4_fragmentation_failed,
                earlier.ipv4_fragmentation_failed,
            ),
            icmp6_ptb_sent: rise(self.icmp6_ptb_sent, earlier.icmp6_ptb_sent),
            ipv6_fragmentation_failed: rise(
                self.ipv6_fragmentation_failed,
                earlier.ipv6_fragmentation_failed,
            ),
            tcp_mtu_probes_failed: rise(self.tcp_mtu_probes_failed, earlier.tcp_mtu_probes_failed),
            tcp_mtu_probes_passed: rise(self.tcp_mtu_probes_passed, earlier.tcp_mtu_probes_passed),
        }
    }
}

/// `GROUP: name name …` over `GROUP: value value …`. A group may come in several such pairs: the kernel breaks
/// `IcmpMsg` after 16 (`icmpmsg_put`, `net/ipv4/proc.c`). Which columns there are, and where, differs by kernel.
fn in_columns(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(':'));
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (names, values) = (names.split_ascii_whitespace(), values.split_ascii_whitespace());
        // A pair that does not match tells values of other columns.
        if names.clone().count() != values.clone().count() {
            continue;
        }
        if let Some((_, value)) = names.zip(values).find(|(column, _)| *column == name) {
            return value.parse().ok();
        }
    }
    None
}

/// `Name   value`.
fn in_lines(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next() == Some(name)).then(|| words.next())?
        })?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
