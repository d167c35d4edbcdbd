use proptest::prelude::*;

use super::*;

const HOST_ONLY: Scope = Scope { others_routes: false };
const ENTERS: Scope = Scope { others_routes: true };

/// A message of `kind` with this fixed header.
fn message(kind: u16, header: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(64_u32.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(header);
    message.resize(HEAD_BYTES, 0);
    message
}

fn route(table: u8, kind: u8) -> Vec<u8> {
    message(RTM_NEWROUTE, &[2, 24, 0, 0, table, 3, 0, kind])
}

#[test]
fn a_link_is_heard_from_everywhere_but_a_bridges_view_of_its_port_is_not() {
    for kind in [RTM_NEWLINK, RTM_DELLINK] {
        for from_other in [false, true] {
            assert_eq!(classify(&message(kind, &[0]), from_other, HOST_ONLY), Some(Kind::Link));
            assert_eq!(classify(&message(kind, &[AF_BRIDGE]), from_other, ENTERS), None);
        }
    }
}

#[test]
fn routes_and_addresses_of_others_are_heard_only_where_a_survey_can_read_them() {
    for event in [route(RT_TABLE_MAIN, RTN_UNICAST), message(RTM_NEWADDR, &[2])] {
        assert!(classify(&event, false, HOST_ONLY).is_some());
        assert!(classify(&event, true, ENTERS).is_some());
        assert_eq!(classify(&event, true, HOST_ONLY), None);
    }
}

#[test]
fn routes_that_no_survey_reads_are_noise() {
    const RT_TABLE_LOCAL: u8 = 255;
    const RTN_MULTICAST: u8 = 5;
    assert_eq!(classify(&route(RT_TABLE_LOCAL, RTN_UNICAST), false, ENTERS), None);
    assert_eq!(classify(&route(RT_TABLE_MAIN, RTN_MULTICAST), false, ENTERS), None);
}

#[test]
fn an_id_that_is_given_is_noise_and_one_that_is_lost_here_is_not() {
    const RTM_NEWNSID: u16 = 88;
    for from_other in [false, true] {
        assert_eq!(classify(&message(RTM_NEWNSID, &[]), from_other, ENTERS), None);
    }
    assert_eq!(classify(&message(RTM_DELNSID, &[]), false, ENTERS), Some(Kind::Nsid));
    assert_eq!(classify(&message(RTM_DELNSID, &[]), true, ENTERS), None);
}

proptest! {
    #[test]
    fn anything_at_all_can_be_classified(
        head in prop::collection::vec(any::<u8>(), 0..HEAD_BYTES + 1),
        kind in 0_u16..128,
        from_other: bool,
        others_routes: bool,
    ) {
        let scope = Scope { others_routes };
        let mut typed = head.clone();
        if let Some(place) = typed.get_mut(4..6) {
            place.copy_from_slice(&kind.to_ne_bytes());
        }
        let _any_answer = (classify(&head, from_other, scope), classify(&typed, from_other, scope));
    }
}
