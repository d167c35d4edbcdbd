use super::*;

#[test]
fn zero_is_never_a_link_mtu() {
    assert_eq!(LinkMtu::new(0), Err(MtuError::Zero));
}

#[test]
fn loopback_is_larger_than_any_ip_packet() {
    let lo = LinkMtu::new(65_536).unwrap();
    assert_eq!(lo.as_path_mtu().unwrap(), PathMtu::MAX);
}

#[test]
fn a_path_mtu_is_at_least_what_rfc_791_demands() {
    assert_eq!(PathMtu::new(67), Err(MtuError::ImpossiblePath { value: 67 }));
    assert_eq!(PathMtu::new(68).unwrap(), IpFamily::V4.minimum_mtu());
}

#[test]
fn the_mss_of_ethernet_is_what_everybody_knows() {
    let ethernet = PathMtu::new(1500).unwrap();
    assert_eq!(ethernet.mss(IpFamily::V4).get(), 1460);
    assert_eq!(ethernet.mss(IpFamily::V6).get(), 1440);
}

#[test]
fn the_smallest_ipv4_path_still_has_room_for_a_segment() {
    assert_eq!(IpFamily::V4.minimum_mtu().mss(IpFamily::V4).get(), 28);
    assert_eq!(IpFamily::V4.minimum_mtu().mss(IpFamily::V6).get(), 8);
}
