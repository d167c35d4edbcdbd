use super::*;
use crate::domain::mtu::IpFamily;
use crate::domain::search::tests::size;

fn known(silent: &[u16]) -> Known<'_> {
    Known {
        low: 1280,
        top: 1500,
        base: 1280,
        silent,
        loss: Loss { answered: 3, lost: 0 },
        named: Named::default(),
        is_witnessed: false,
        bytes_left: 90_000,
        rtt: Duration::from_millis(50),
    }
}

fn sizes(flight: &Flight) -> Vec<u16> {
    flight.packets.iter().map(|packet| packet.size).collect()
}

#[test]
fn the_first_flight_is_frugal_and_largest_first() {
    let config = SearchConfig::new(IpFamily::V4, size(9000));
    assert_eq!(first(config), [9000, 8000, 6000, 1500, 1280, 84]);
    assert_eq!(first(SearchConfig { hint: Some(size(1420)), ..config }), [9000, 1500, 1420, 1400, 1280, 84]);
}

#[test]
fn a_small_link_is_probed_below_its_size_too() {
    assert_eq!(first(SearchConfig::new(IpFamily::V4, size(1280))), [1280, 576, 84]);
    assert_eq!(first(SearchConfig::new(IpFamily::V4, size(68))), [68]);
    assert_eq!(first(SearchConfig::new(IpFamily::V6, size(1280))), [1280, 104]);
}

#[test]
fn a_flight_splits_the_gap_largest_first_and_ends_with_a_control() {
    let flight = next(&known(&[1400, 1500]), 84);
    let sizes = sizes(&flight);
    assert!(sizes.is_sorted_by(|one, other| one > other), "{sizes:?}");
    assert!(sizes[0] < 1400 && *sizes.last().unwrap() == 84, "{sizes:?}");
}

#[test]
fn a_size_that_a_search_before_believed_to_be_lost_is_repeated_apart_in_time() {
    let loss = Loss { answered: 9, lost: 0 };
    let flight = next(&Known { low: 1404, loss, ..known(&[1405, 1405, 1406, 1410, 1500]) }, 84);
    assert_eq!(flight.hop_size, Some(1405));
    let copies: Vec<_> = flight.packets.iter().filter(|packet| packet.size == 1405).collect();
    assert!(copies.len() >= 2);
    assert!(copies.is_sorted_by(|one, other| one.after < other.after), "{copies:?}");
}

#[test]
fn where_packets_are_lost_flights_are_small() {
    let lossy = Known { loss: Loss { answered: 3, lost: 2 }, ..known(&[1400, 1500]) };
    assert!(next(&lossy, 84).packets.len() <= 2);
}

#[test]
fn a_small_gap_is_split_until_one_size_is_left_at_most() {
    let loss = Loss { answered: 20, lost: 0 };
    let flight = next(&Known { low: 8395, top: 9000, loss, ..known(&[8400]) }, 84);
    assert_eq!(sizes(&flight), [8398, 8396, 84]);
    assert_eq!(flight.hop_size, None);
}

#[test]
fn the_last_size_goes_out_with_the_proof_of_both_answers_that_it_may_have() {
    let loss = Loss { answered: 20, lost: 0 };
    let flight = next(&Known { low: 1395, loss, ..known(&[1397]) }, 84);
    assert_eq!(sizes(&flight), [1397, 1397, 1396, 1396, 1396, 84]);
    assert_eq!(flight.hop_size, Some(1397));
}

#[test]
fn what_is_likely_the_answer_costs_one_packet_of_the_next_size() {
    let jumbo = Known { low: 1500, top: 9000, bytes_left: 230_000, ..known(&[1800]) };
    let flight = next(&jumbo, 84);
    assert!(sizes(&flight).contains(&1501), "{flight:?}");
}

#[test]
fn few_jumbo_packets_are_joined_by_more_controls() {
    let jumbo = Known { low: 8000, top: 9000, bytes_left: 230_000, ..known(&[9000]) };
    assert_eq!(sizes(&next(&jumbo, 84)), [8800, 8600, 8400, 8200, 84, 84, 84]);
}

#[test]
fn the_last_size_is_tried_alone_while_a_proof_would_take_many_copies() {
    let loss = Loss { answered: 4, lost: 0 };
    let flight = next(&Known { low: 1395, loss, ..known(&[1397]) }, 84);
    assert_eq!(sizes(&flight), [1396, 84]);
}
