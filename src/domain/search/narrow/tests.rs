use super::*;
use crate::domain::mtu::IpFamily;
use crate::domain::search::tests::size;

fn first_of(max: u16) -> Option<[u16; 2]> {
    first(SearchConfig::new(IpFamily::V4, size(max)))
}

#[test]
fn a_jumbo_gap_is_split_by_the_first_flight_finest_where_packets_are_dear() {
    let [high, low] = first_of(9000).unwrap();
    assert!(9000 - high < high - low && high - low < low - ETHERNET, "{high} {low}");
}

#[test]
fn a_gap_that_is_small_or_too_dear_is_not_split_by_the_first_flight() {
    assert_eq!(first_of(1500), None);
    assert_eq!(first_of(1600), None);
    assert_eq!(first_of(65_535), None);
}

#[test]
fn fewer_bytes_left_make_smaller_flights() {
    assert!(splits(1500, 9000, 256_000) > splits(1500, 9000, 120_000));
    assert_eq!(splits(8000, 9000, 0), 1);
}

#[test]
fn as_many_packets_as_flights_double_what_is_told_apart() {
    assert_eq!(packets_for(1, 3), 0);
    assert_eq!(packets_for(8, 3), 3);
    assert_eq!(packets_for(9, 3), 4);
    assert_eq!(packets_for(625, 4), 16);
}

#[test]
fn even_parts_leave_no_gap_that_is_larger() {
    assert_eq!(even(8000, 9000, 4), [8200, 8400, 8600, 8800]);
    assert_eq!(even(10, 13, 2), [11, 12]);
}
