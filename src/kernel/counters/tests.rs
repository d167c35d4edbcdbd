use proptest::prelude::*;

use super::*;

// Captured on Linux 6.18, from a router that sent three PTBs of ICMPv4 and two of ICMPv6.
const SNMP: &str = include_str!("snmp.txt");
const SNMP6: &str = include_str!("snmp6.txt");
const NETSTAT: &str = include_str!("netstat.txt");

fn captured() -> PacketCounters {
    PacketCounters::parse(SNMP, SNMP6, NETSTAT)
}

#[test]
fn what_the_kernel_counted_is_read() {
    assert_eq!(
        captured(),
        PacketCounters {
            icmp4_unreachable_sent: Some(3),
            ipv4_fragmentation_failed: Some(3),
            icmp6_ptb_sent: Some(2),
            ipv6_fragmentation_failed: Some(2),
            tcp_mtu_probes_failed: Some(0),
            tcp_mtu_probes_passed: Some(0),
        }
    );
}

#[test]
fn what_is_missing_is_none_and_never_0() {
    assert_eq!(PacketCounters::parse("", "", ""), PacketCounters::default());
    let other = |text: &str| text.replace("OutType3", "OutType5").replace("MTUP", "").replace("Frag", "");
    let missing = PacketCounters::parse(&other(SNMP), &other(SNMP6), &other(NETSTAT));
    let expected = PacketCounters { icmp6_ptb_sent: Some(2), ..PacketCounters::default() };
    assert_eq!(missing, expected);
}

#[test]
fn columns_are_found_by_name_wherever_they_are() {
    let reordered = "IpExt: FragFails\nIpExt: 9\nIp: FragFails Forwarding\nIp: 7 1\n";
    assert_eq!(PacketCounters::parse(reordered, "", "").ipv4_fragmentation_failed, Some(7));
}

#[test]
fn a_group_in_several_pairs_is_read_to_its_end() {
    let broken = "IcmpMsg: InType0 InType3\nIcmpMsg: 1 2\nIcmpMsg: InType8 OutType3\nIcmpMsg: 3 4\n";
    assert_eq!(PacketCounters::parse(broken, "", "").icmp4_unreachable_sent, Some(4));
}

#[test]
fn columns_that_do_not_match_are_not_guessed() {
    for garbage in [
        "Ip: Forwarding FragFails\nIp: 1\n",
        "Ip: FragFails\nIp: 1 2\n",
        "Ip: FragFails\n",
        "Ip: FragFails\nIp: -1\n",
        "Ip: FragFails\nIp: 18446744073709551616\n",
        "FragFails 1\n",
    ] {
        assert_eq!(PacketCounters::parse(garbage, garbage, garbage), PacketCounters::default(), "{garbage}");
    }
    assert_eq!(PacketCounters::parse("", "Icmp6OutPktTooBigs\n", "").icmp6_ptb_sent, None);
}

#[test]
fn the_first_that_was_ever_sent_is_a_rise_though_the_kernel_left_out_the_zero() {
    let later = captured();
    let earlier = PacketCounters { icmp4_unreachable_sent: None, ..later };
    assert_eq!(later.since(&earlier).icmp4_unreachable_sent, Some(3));
    assert_eq!(later.since(&earlier).ipv4_fragmentation_failed, Some(0));
    assert_eq!(later.since(&PacketCounters::default()), PacketCounters::default(), "nothing was read then");
}

#[test]
fn a_counter_that_went_back_did_not_rise() {
    let later = PacketCounters { icmp6_ptb_sent: Some(1), ..captured() };
    assert_eq!(later.since(&captured()).icmp6_ptb_sent, None);
}

#[test]
fn this_kernel_is_read() {
    let counters = PacketCounters::read();
    assert!(counters.ipv4_fragmentation_failed.is_some(), "{counters:?}");
    assert!(counters.tcp_mtu_probes_failed.is_some(), "{counters:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_without_a_panic(text in "((Ip|IcmpMsg|TcpExt): [ -~]{0,30}\n|FragFails|\\PC{0,9}|\n){0,20}") {
        let _any = PacketCounters::parse(&text, &text, &text);
    }
}
