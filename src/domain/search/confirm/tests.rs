use super::*;
use crate::domain::search::tests::{ms, size, start};

fn known() -> Confirm {
    Confirm::new(size(1450), size(84), false, Some(ms(50)), start())
}

fn checked(confirm: &mut Confirm, now: Instant) {
    assert_eq!(confirm.poll(now), Due::Check(Pair { full: size(1450), control: size(84) }));
}

#[test]
fn a_known_path_is_checked_with_two_packets_a_minute() {
    let mut confirm = known();
    assert_eq!(confirm.poll(start()), Due::Nothing { until: start() + CHECK_INTERVAL });
    checked(&mut confirm, start() + CHECK_INTERVAL);
    confirm.handle_full();
    confirm.handle_control();
    let next = start() + 2 * CHECK_INTERVAL;
    assert_eq!(confirm.poll(start() + CHECK_INTERVAL + ms(50)), Due::Nothing { until: next });
}

#[test]
fn a_large_packet_that_is_missing_twice_while_a_small_one_is_answered_starts_a_search() {
    let mut confirm = known();
    let sent_at = start() + CHECK_INTERVAL;
    checked(&mut confirm, sent_at);
    confirm.handle_control();
    assert_eq!(confirm.poll(sent_at + ms(50)), Due::Nothing { until: sent_at + ms(300) });
    checked(&mut confirm, sent_at + ms(300));
    confirm.handle_control();
    assert_eq!(confirm.poll(sent_at + ms(350)), Due::Nothing { until: sent_at + ms(600) });
    assert_eq!(confirm.poll(sent_at + ms(600)), Due::Search);
}

#[test]
fn a_large_packet_that_was_lost_once_costs_two_packets_and_no_search() {
    let mut confirm = known();
    let sent_at = start() + CHECK_INTERVAL;
    checked(&mut confirm, sent_at);
    confirm.handle_control();
    checked(&mut confirm, sent_at + ms(300));
    confirm.handle_control();
    confirm.handle_full();
    let next = sent_at + ms(300) + CHECK_INTERVAL;
    assert_eq!(confirm.poll(sent_at + ms(350)), Due::Nothing { until: next });
    checked(&mut confirm, next);
    confirm.handle_control();
    checked(&mut confirm, next + ms(300));
}

#[test]
fn a_ptb_for_a_check_starts_the_search_without_a_repeat() {
    let mut confirm = known();
    let sent_at = start() + CHECK_INTERVAL;
    checked(&mut confirm, sent_at);
    confirm.handle_control();
    confirm.handle_ptb(1400);
    assert_eq!(confirm.poll(sent_at + ms(50)), Due::Search);
}

#[test]
fn an_outage_is_not_a_size() {
    let mut confirm = known();
    let sent_at = start() + CHECK_INTERVAL;
    checked(&mut confirm, sent_at);
    assert!(confirm.is_checking());
    assert_eq!(confirm.poll(sent_at + ms(300)), Due::Nothing { until: sent_at + CHECK_INTERVAL });
    assert!(!confirm.is_checking());
}

#[test]
fn the_end_of_a_check_is_told_before_the_next_one_even_if_that_is_due() {
    let mut confirm = known().every(Duration::ZERO, start());
    checked(&mut confirm, start());
    assert!(matches!(confirm.poll(start() + ms(300)), Due::Nothing { .. }));
    assert!(!confirm.is_checking());
    checked(&mut confirm, start() + ms(300));
}

#[test]
fn a_larger_size_is_tried_every_ten_minutes() {
    let mut confirm = known();
    assert_eq!(confirm.poll(start() + RAISE_INTERVAL), Due::Search);
}

#[test]
fn nothing_larger_is_tried_where_nothing_larger_is_possible() {
    let mut confirm = Confirm::new(size(1500), size(84), true, None, start());
    assert!(matches!(confirm.poll(start() + RAISE_INTERVAL), Due::Check(_)));
}

#[test]
fn a_ptb_starts_a_search_at_once_and_is_not_believed() {
    let mut confirm = known();
    confirm.handle_ptb(1450);
    assert!(matches!(confirm.poll(start()), Due::Nothing { .. }), "that is no news");
    confirm.handle_ptb(1400);
    assert_eq!(confirm.poll(start()), Due::Search);
    assert!(matches!(confirm.poll(start()), Due::Nothing { .. }), "one search for one PTB");
}
