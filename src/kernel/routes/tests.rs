use proptest::prelude::*;

use super::*;
use crate::kernel::capture::bytes;

const V4_DEFAULT: &str = include_str!("tests/v4_default.hex");
const V6_DEFAULT: &str = include_str!("tests/v6_default.hex");
const V4_MULTIPATH: &str = include_str!("tests/v4_multipath.hex");
const V6_MULTIPATH: &str = include_str!("tests/v6_multipath.hex");
const V4_LOCKED_MTU: &str = include_str!("tests/v4_locked_mtu.hex");
const V4_BLACKHOLE: &str = include_str!("tests/v4_blackhole.hex");
const V6_LINK_LOCAL: &str = include_str!("tests/v6_link_local.hex");
const V4_LEARNED: &str = include_str!("tests/v4_learned.hex");
const V6_LEARNED: &str = include_str!("tests/v6_learned.hex");
const CAPTURES: [&str; 9] = [
    V4_DEFAULT,
    V6_DEFAULT,
    V4_MULTIPATH,
    V6_MULTIPATH,
    V4_LOCKED_MTU,
    V4_BLACKHOLE,
    V6_LINK_LOCAL,
    V4_LEARNED,
    V6_LEARNED,
];

fn parse(capture: &str) -> RouteMessage {
    RouteMessage::parse(bytes(capture).as_slice()).unwrap()
}

fn found(family: IpFamily, capture: &str) -> Found {
    let mut found = Found::default();
    found.add(family, &parse(capture));
    found
}

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

fn by_link(family: IpFamily, ifindex: u32, mtu: Option<LinkMtu>) -> Route {
    Route { family, ifindex: Ifindex::new(ifindex).unwrap(), mtu }
}

#[test]
fn a_default_route_has_its_metric_and_its_mtu() {
    for (family, capture, metric, bytes) in
        [(IpFamily::V4, V4_DEFAULT, 100, 1400), (IpFamily::V6, V6_DEFAULT, 512, 1380)]
    {
        let found = found(family, capture);
        assert_eq!(found.defaults, [((false, metric), by_link(family, 2, Some(mtu(bytes))))], "{family}");
        assert_eq!(found.others, [], "{family}");
    }
}

#[test]
fn each_next_hop_is_a_route() {
    for (family, capture) in [(IpFamily::V4, V4_MULTIPATH), (IpFamily::V6, V6_MULTIPATH)] {
        let found = found(family, capture);
        assert_eq!(found.others, [by_link(family, 2, None), by_link(family, 3, None)], "{family}");
        assert_eq!(found.defaults, [], "{family}");
    }
}

#[test]
fn a_dead_next_hop_is_no_more_than_a_spare() {
    let mut message = parse(V4_MULTIPATH);
    message.header.destination_prefix_length = 0;
    for attribute in &mut message.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            hops[1].flags.insert(RouteNextHopFlags::Dead);
        }
    }
    let mut found = Found::default();
    found.add(IpFamily::V4, &message);
    let ranks: Vec<_> = found.defaults.iter().map(|(rank, _)| *rank).collect();
    assert_eq!(ranks, [(false, 0), (true, 0)]);
}

#[test]
fn a_locked_mtu_is_an_mtu() {
    assert_eq!(found(IpFamily::V4, V4_LOCKED_MTU).others, [by_link(IpFamily::V4, 2, Some(mtu(1300)))]);
}

#[test]
fn a_route_that_drops_packets_is_none() {
    let found = found(IpFamily::V4, V4_BLACKHOLE);
    assert_eq!((found.defaults, found.others), (vec![], vec![]));
}

#[test]
fn a_link_local_route_leads_nowhere() {
    assert_eq!(found(IpFamily::V6, V6_LINK_LOCAL).others, []);
}

#[test]
fn what_a_ptb_taught_has_its_destination_and_its_mtu() {
    for (capture, destination) in [(V4_LEARNED, "198.51.100.2"), (V6_LEARNED, "2001:db8:1::2")] {
        let expected = LearnedPathMtu { destination: destination.parse().unwrap(), mtu: mtu(1400) };
        assert_eq!(learned_path_mtu(&parse(capture)), Some(expected));
    }
}

#[test]
fn a_cached_route_without_an_mtu_taught_nothing() {
    assert_eq!(learned_path_mtu(&parse(V4_MULTIPATH)), None);
}

#[test]
fn a_message_cut_inside_of_an_attribute_is_an_error() {
    const HEADER_BYTES: usize = 12; // struct rtmsg
    for capture in CAPTURES {
        let whole = bytes(capture);
        let mut begins = HEADER_BYTES;
        while begins < whole.len() {
            let length = usize::from(u16::from_ne_bytes([whole[begins], whole[begins + 1]]));
            for end in begins + 1..begins + length {
                assert!(RouteMessage::parse(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
            }
            begins += length.next_multiple_of(4);
        }
    }
}

proptest! {
    #[test]
    fn a_capture_with_any_byte_changed_does_not_make_it_panic(
        capture in prop::sample::select(&CAPTURES[..]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut payload = bytes(capture);
        let at = at.index(payload.len());
        payload[at] = byte;
        if let Ok(message) = RouteMessage::parse(payload.as_slice()) {
            Found::default().add(IpFamily::V4, &message);
            let _either_is_fine = learned_path_mtu(&message);
        }
    }
}
