use super::*;
use crate::domain::mtu::IpFamily;

pub(super) fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without a clock")]
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).unwrap()
}

fn router(number: u8) -> IpAddr {
    [10, 77, number, 1].into()
}

fn search() -> Search {
    Search::new(SearchConfig::new(IpFamily::V4, size(1500)), start()).unwrap()
}

fn send_all(search: &mut Search, now: Instant) -> Vec<Transmit> {
    std::iter::from_fn(|| search.poll_transmit(now)).collect()
}

fn of_size(sent: &[Transmit], bytes: u16) -> ProbeId {
    sent.iter().find(|transmit| transmit.size.get() == bytes && transmit.hop_limit.is_none()).unwrap().id
}

fn verdict(search: &Search) -> Option<Verdict> {
    search.outcome().map(|outcome| outcome.verdict)
}

#[test]
fn a_largest_size_below_the_least_of_its_family_is_refused() {
    let error = Search::new(SearchConfig::new(IpFamily::V6, size(1279)), start()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the largest size to try is 1279, but every IPv6 link carries 1280 (RFC 791, RFC 8200)"
    );
}

#[test]
fn the_largest_size_ends_the_search_with_the_first_answer() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    assert_eq!(sent.iter().map(|transmit| transmit.size.get()).collect::<Vec<_>>(), [1500, 1400, 1280, 84]);
    search.handle_ack(start() + ms(50), sent[0].id);
    let outcome = search.outcome().unwrap();
    assert_eq!(outcome.verdict, Verdict::Exact { path_mtu: size(1500) });
    assert_eq!((outcome.probes_sent, outcome.flights, outcome.elapsed), (4, 1, ms(50)));
    assert_eq!(search.poll_timeout(), None);
}

#[test]
fn a_ptb_is_never_the_answer_itself() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_ptb(start() + ms(20), sent[0].id, 1450, router(2));
    assert_eq!(verdict(&search), None);
    let next = send_all(&mut search, start() + ms(20));
    let (larger, named) = (of_size(&next, 1451), of_size(&next, 1450));
    for id in &sent[1..] {
        search.handle_ack(start() + ms(50), id.id);
    }
    search.handle_ptb(start() + ms(40), larger, 1450, router(2));
    assert_eq!(verdict(&search), None, "nothing of that size has passed yet");
    search.handle_ack(start() + ms(70), named);
    search.handle_timeout(search.poll_timeout().unwrap());
    assert_eq!(verdict(&search), Some(Verdict::Exact { path_mtu: size(1450) }));
}

#[test]
fn a_ptb_is_overridden_by_an_answer_to_a_larger_packet() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_ptb(start() + ms(20), sent[0].id, 1450, router(2));
    search.handle_ack(start() + ms(50), sent[0].id);
    assert_eq!(verdict(&search), Some(Verdict::Exact { path_mtu: size(1500) }));
}

#[test]
fn a_ptb_that_names_less_than_1280_proves_nothing_by_itself() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_ptb(start(), sent[0].id, 84, router(1));
    let next = send_all(&mut search, start());
    search.handle_ptb(start(), of_size(&next, 85), 84, router(1));
    search.handle_ack(start() + ms(1), sent[3].id);
    search.handle_ack(start() + ms(1), next.last().unwrap().id);
    search.handle_timeout(search.poll_timeout().unwrap());
    assert_eq!(verdict(&search), None, "answers to the larger ones may be late");
}

#[test]
fn an_absurd_ptb_is_counted_and_changes_nothing() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    for mtu in [0, 20, 67, 1500, 9000, u32::MAX] {
        search.handle_ptb(start() + ms(1), sent[0].id, mtu, router(9));
    }
    search.handle_ptb(start() + ms(1), ProbeId(999), 1400, router(9));
    assert_eq!(search.poll_transmit(start() + ms(1)), None);
    search.handle_ack(start() + ms(50), sent[0].id);
    let outcome = search.outcome().unwrap();
    assert_eq!((outcome.ptbs_ignored, outcome.probes_sent), (6, 4));
}

#[test]
fn our_own_link_names_the_largest_size_without_a_packet() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_local_limit(start(), sent[0].id, Some(1420));
    let next = send_all(&mut search, start());
    assert_eq!(next.iter().map(|transmit| transmit.size.get()).collect::<Vec<_>>(), [1420]);
    search.handle_ack(start() + ms(10), next[0].id);
    let outcome = search.outcome().unwrap();
    assert_eq!(outcome.verdict, Verdict::Exact { path_mtu: size(1420) });
    assert_eq!(outcome.limited_by, Some(LimitedBy { address: None, hop: Some(0) }));
    assert_eq!(outcome.probes_sent, 4, "what was refused here is not on the wire");
}

#[test]
fn a_kernel_that_refuses_what_it_says_it_carries_is_asked_again() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_local_limit(start(), sent[0].id, Some(1500));
    for id in &sent[1..] {
        search.handle_ack(start() + ms(10), id.id);
    }
    search.handle_timeout(search.poll_timeout().unwrap());
    let again = send_all(&mut search, start() + ms(20));
    assert!(again.iter().any(|transmit| transmit.size.get() > 1400), "{again:?}");
}

#[test]
fn nothing_at_all_is_unreachable_after_a_few_tries() {
    let mut search = search();
    let mut now = start();
    while search.outcome().is_none() {
        send_all(&mut search, now);
        now = search.poll_timeout().unwrap();
        search.handle_timeout(now);
    }
    let outcome = search.outcome().unwrap();
    assert_eq!((outcome.verdict, outcome.elapsed), (Verdict::Unreachable, ms(2800)));
    assert_eq!(outcome.probes_sent, 4 + 3 * 3);
    assert_eq!((outcome.loss, outcome.rtt), (None, None));
}

#[test]
fn two_routers_that_know_no_way_end_the_search() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_unreachable(start() + ms(5), sent[0].id, Some(router(3)));
    assert_eq!(verdict(&search), None, "one may be a firewall that dislikes the size");
    search.handle_unreachable(start() + ms(5), sent[1].id, Some(router(3)));
    assert_eq!(verdict(&search), Some(Verdict::Unreachable));
    assert_eq!(search.outcome().unwrap().limited_by.unwrap().address, Some(router(3)));
}

#[test]
fn no_route_ends_the_search_at_once() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_unreachable(start(), sent[0].id, None);
    assert_eq!(verdict(&search), Some(Verdict::Unreachable));
}

#[test]
fn a_late_answer_overrides_the_verdict() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    let mut now = start();
    while search.outcome().is_none() {
        now = search.poll_timeout().unwrap();
        search.handle_timeout(now);
        send_all(&mut search, now);
    }
    search.handle_ack(now + ms(500), sent[2].id);
    assert_eq!(verdict(&search), Some(Verdict::LowerBound { path_mtu: size(1280) }));
    search.handle_ack(now + ms(600), sent[0].id);
    assert_eq!(verdict(&search), Some(Verdict::Exact { path_mtu: size(1500) }));
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    search.handle_ack(start() + ms(10), sent[3].id);
    search.handle_ack(start() + ms(900), sent[3].id);
    assert_eq!(search.record.min_rtt(), Some(ms(10)));
    assert_eq!(search.record.rtt.deadline(), Some(ms(10) + ms(10) / 4 + ms(4)));
}

#[test]
fn progress_tells_what_passed_and_what_seems_lost() {
    let mut search = search();
    let sent = send_all(&mut search, start());
    for id in &sent[1..] {
        search.handle_ack(start() + ms(10), id.id);
    }
    search.handle_timeout(search.poll_timeout().unwrap());
    send_all(&mut search, start() + ms(30));
    let progress = search.progress();
    assert_eq!(progress.largest_passed, Some(size(1400)));
    assert_eq!(progress.smallest_lost, Some(size(1500)));
    assert_eq!(progress.flight, 2);
}
