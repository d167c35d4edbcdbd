use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const HOURS: Duration = Duration::from_hours(2);
const ALL_HEARD: Ages = Ages { resync: HOURS, walk: None };

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Event,
    Overrun,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    /// Since the origin, like all times here.
    started: Duration,
    ended: Duration,
    reason: Reason,
}

/// Virtual time: hears at the given times, looks whenever told to, each time for the next of `costs`, round and round.
fn simulate(ages: Ages, heard: &[(Duration, Heard)], costs: &[Duration], until: Duration) -> Vec<Look> {
    let origin = origin();
    let mut damper = Damper::new(origin, ages);
    let mut queue: VecDeque<_> = heard.iter().copied().collect();
    let mut costs = costs.iter().copied().cycle();
    let mut looks = Vec::new();
    let mut now = Duration::ZERO;
    let hear = |damper: &mut Damper, (at, heard): (Duration, Heard)| match heard {
        Heard::Event => damper.handle_events(origin + at, 1),
        Heard::Overrun => damper.handle_overrun(origin + at),
    };
    loop {
        let timeout = damper.poll_timeout().unwrap().saturating_duration_since(origin);
        if let Some(next) = queue.front().copied().filter(|(at, _)| *at <= timeout.max(now)) {
            now = now.max(next.0);
            hear(&mut damper, next);
            queue.pop_front();
        } else {
            now = now.max(timeout);
        }
        if now > until {
            return looks;
        }
        let Some(reason) = damper.should_look(origin + now) else { continue };
        let (started, ended) = (now, now + costs.next().unwrap());
        while let Some(next) = queue.front().copied().filter(|(at, _)| *at <= ended) {
            hear(&mut damper, next);
            queue.pop_front();
        }
        damper.looked(origin + started, origin + ended);
        looks.push(Look { started, ended, reason });
        now = ended;
    }
}

/// `(begin in ms, why)` of each look.
fn looks(heard: &[(u64, Heard)], cost: u64, until: u64) -> Vec<(u128, Reason)> {
    let heard: Vec<_> = heard.iter().map(|(at, heard)| (ms(*at), *heard)).collect();
    let looks = simulate(ALL_HEARD, &heard, &[ms(cost)], ms(until));
    looks.into_iter().map(|look| (look.started.as_millis(), look.reason)).collect()
}

#[test]
fn the_first_look_is_due_at_once_and_after_an_event_it_looks_when_it_is_quiet() {
    assert_eq!(looks(&[(1000, Heard::Event)], 20, 5000), [(0, Reason::Timer), (1005, Reason::Event)]);
}

#[test]
fn what_belongs_together_is_seen_together() {
    let burst: Vec<_> = (0..8).map(|step| (1000 + 4 * step, Heard::Event)).collect();
    assert_eq!(looks(&burst, 20, 5000), [(0, Reason::Timer), (1033, Reason::Event)]);
}

#[test]
fn a_burst_without_a_pause_does_not_delay_a_look() {
    let burst: Vec<_> = (0..20).map(|step| (1000 + 4 * step, Heard::Event)).collect();
    assert_eq!(
        looks(&burst, 1, 5000),
        [(0, Reason::Timer), (1040, Reason::Event), (1081, Reason::Event)],
        "PATIENCE after the first, and QUIET after the last"
    );
}

#[test]
fn an_event_while_it_looks_makes_it_look_again() {
    let seen = looks(&[(1000, Heard::Event), (1010, Heard::Event)], 20, 5000);
    assert_eq!(seen, [(0, Reason::Timer), (1005, Reason::Event), (1025, Reason::Event)]);
}

#[test]
fn a_few_looks_in_a_row_are_free_and_then_they_are_held_to_their_share() {
    let events: Vec<_> = (100..1000).map(|step| (10 * step, Heard::Event)).collect();
    let starts: Vec<_> = looks(&events, 40, 9990).into_iter().map(|(started, _)| started).collect();
    assert_eq!(starts[1..5], [1005, 1045, 1085, 1125], "each for an event during the one before");
    let gaps: Vec<_> = starts[6..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap == 200), "40 ms in each 200 ms: {gaps:?}");
}

#[test]
fn what_slow_looks_in_a_storm_have_cost_does_not_delay_the_one_after_its_end() {
    let events: Vec<_> = (0..300).map(|step| (1000 + 10 * step, Heard::Event)).collect();
    let seen = looks(&events, 600, 9990);
    assert_eq!(
        seen[..2],
        [(0, Reason::Timer), (2500, Reason::Event)],
        "600 ms of 3 s, but for the allowance"
    );
    assert_eq!(seen[2..], [(4240, Reason::Event)], "the last event was at 3990");
    let later = [&events[..], &[(6000, Heard::Event)]].concat();
    assert_eq!(looks(&later, 600, 9990)[3..], [(6250, Reason::Event)], "and the next pause is as good");
}

#[test]
fn a_single_overrun_is_looked_at_as_soon_as_an_event_and_needs_no_second_look() {
    assert_eq!(looks(&[(3000, Heard::Overrun)], 20, 9000), [(0, Reason::Timer), (3005, Reason::Overrun)]);
}

#[test]
fn in_a_storm_it_looks_every_two_seconds_and_once_after_its_end() {
    let storm: Vec<_> = (0..500).map(|step| (3000 + 10 * step, Heard::Overrun)).collect();
    let seen = looks(&storm, 20, 20_000);
    let expected = [(0, Reason::Timer), (3005, Reason::Overrun), (5005, Reason::Overrun)];
    assert_eq!(seen[..3], expected);
    assert_eq!(seen[3..], [(7005, Reason::Overrun), (8240, Reason::Overrun)], "the last one was at 7990");
}

#[test]
fn idle_it_looks_on_its_timer_alone() {
    let ages = Ages { resync: Duration::from_mins(5), walk: None };
    let seen = simulate(ages, &[], &[ms(20)], Duration::from_secs(1000));
    let seen: Vec<_> = seen.iter().map(|look| (look.started.as_secs(), look.reason)).collect();
    assert_eq!(seen, [0, 300, 600, 900].map(|second| (second, Reason::Timer)));
}

#[test]
fn where_others_are_not_heard_it_walks_more_often() {
    let ages = Ages { resync: Duration::from_mins(5), walk: Some(Duration::from_secs(10)) };
    let seen = simulate(ages, &[], &[ms(20)], Duration::from_secs(25));
    let seen: Vec<_> = seen.iter().map(|look| (look.started.as_secs(), look.reason)).collect();
    assert_eq!(seen, [(0, Reason::Timer), (10, Reason::Walk), (20, Reason::Walk)]);
}

#[test]
fn a_walk_that_costs_more_than_its_share_is_made_less_often() {
    let ages = Ages { resync: HOURS, walk: Some(Duration::from_secs(1)) };
    let seen = simulate(ages, &[], &[ms(1000)], Duration::from_mins(1));
    assert!(seen.len() <= 13, "5 s each: {}", seen.len());
}

#[test]
fn no_events_are_no_reason() {
    let origin = origin();
    let mut damper = Damper::new(origin, ALL_HEARD);
    damper.looked(origin, origin);
    damper.handle_events(origin + ms(10), 0);
    assert_eq!(damper.should_look(origin + ms(1000)), None);
    assert_eq!(damper.poll_timeout(), Some(origin + HOURS));
}

/// Times of what is heard, by the gaps between them: bursts of microseconds, and pauses up to seconds.
fn heard(overruns: bool) -> impl Strategy<Value = Vec<(Duration, Heard)>> {
    let gap = prop_oneof![4 => 0_u64..500, 4 => 500_u64..20_000, 1 => 20_000_u64..4_000_000];
    let kind = if overruns {
        prop_oneof![9 => Just(Heard::Event), 1 => Just(Heard::Overrun)].boxed()
    } else {
        Just(Heard::Event).boxed()
    };
    prop::collection::vec((gap, kind), 1..300).prop_map(|steps| {
        let mut at = Duration::ZERO;
        let step = |(gap, heard)| {
            at += Duration::from_micros(gap);
            (at, heard)
        };
        steps.into_iter().map(step).collect()
    })
}

/// The same, but with pauses that end no storm.
fn heard_without_a_pause() -> impl Strategy<Value = Vec<(Duration, Heard)>> {
    heard(true).prop_map(|heard| {
        let (mut at, mut before) = (Duration::ZERO, Duration::ZERO);
        let step = |(then, heard): (Duration, Heard)| {
            at += then.saturating_sub(before).min(STORM_QUIET.saturating_sub(ms(1)));
            before = then;
            (at, heard)
        };
        heard.into_iter().map(step).collect()
    })
}

fn costs(most_us: u64) -> impl Strategy<Value = Vec<Duration>> {
    prop::collection::vec((100..most_us).prop_map(Duration::from_micros), 1..10)
}

proptest! {
    #[test]
    fn every_event_is_followed_by_a_look_within_500_ms(heard in heard(false), costs in costs(50_000)) {
        let last = heard.last().unwrap().0;
        let looks = simulate(ALL_HEARD, &heard, &costs, last + ms(5000));
        for (at, _) in &heard {
            let next = looks.iter().find(|look| look.started >= *at);
            prop_assert!(next.is_some_and(|look| look.started <= *at + ms(500)), "{at:?}: {next:?}");
        }
    }

    #[test]
    fn however_slow_looks_are_the_next_begins_soon_after_the_last_event(
        heard in heard(true),
        costs in costs(2_000_000),
    ) {
        let last = heard.last().unwrap().0;
        let looks = simulate(ALL_HEARD, &heard, &costs, last + ms(10_000));
        let running = looks.iter().find(|look| look.started < last && look.ended > last);
        let from = running.map_or(last, |look| look.ended).max(last + STORM_QUIET);
        let seen = looks.iter().any(|look| look.started >= last && look.started <= from + QUIET);
        prop_assert!(seen, "the last of all: {last:?}, {running:?}");
    }

    #[test]
    fn a_storm_is_looked_at_within_500_ms_of_its_end(heard in heard(true), costs in costs(50_000)) {
        let last = heard.last().unwrap().0;
        let looks = simulate(ALL_HEARD, &heard, &costs, last + ms(5000));
        let overruns: Vec<_> =
            heard.iter().filter(|(_, heard)| *heard == Heard::Overrun).map(|(at, _)| *at).collect();
        for (position, at) in overruns.iter().enumerate() {
            if overruns.get(position + 1).is_none_or(|next| *next > *at + ms(500)) {
                let next = looks.iter().find(|look| look.started >= *at);
                prop_assert!(next.is_some_and(|look| look.started <= *at + ms(500)), "{at:?}: {next:?}");
            }
        }
        let seen = looks.iter().any(|look| look.started >= last && look.started <= last + ms(500));
        prop_assert!(seen, "the last of all: {last:?}");
    }

    #[test]
    fn looks_begin_two_seconds_apart_while_a_storm_lasts(
        gaps in prop::collection::vec((1_u64..249, any::<bool>()), 1..200),
        costs in costs(50_000),
    ) {
        let mut at = ms(3000);
        let mut heard = Vec::new();
        for (gap, with_events) in gaps {
            heard.push((at, Heard::Overrun));
            if with_events {
                heard.push((at + ms(gap) / 2, Heard::Event));
            }
            at += ms(gap);
        }
        let (begin, end) = (heard[0].0, heard.last().unwrap().0);
        let looks = simulate(ALL_HEARD, &heard, &costs, at + ms(5000));
        let in_storm: Vec<_> = looks.iter().filter(|look| (begin..=end).contains(&look.started)).collect();
        for pair in in_storm.windows(2) {
            prop_assert!(pair[1].started >= pair[0].started + STORM_INTERVAL, "{pair:?}");
        }
    }

    #[test]
    fn looks_take_a_fifth_of_the_time_while_events_come_beyond_their_allowance(
        heard in heard_without_a_pause(),
        costs in costs(300_000),
    ) {
        let looks = simulate(ALL_HEARD, &heard, &costs, heard.last().unwrap().0);
        let dearest = *costs.iter().max().unwrap();
        for (first, begin) in looks.iter().enumerate() {
            let mut taken = Duration::ZERO;
            for look in &looks[first..] {
                taken += look.ended.saturating_sub(look.started);
                let share = look.ended.saturating_sub(begin.started) / SHARE;
                prop_assert!(taken <= share + ALLOWANCE + dearest, "{taken:?} in {:?}", share * SHARE);
            }
        }
    }

    #[test]
    fn it_never_spins(heard in heard(true), costs in costs(50_000)) {
        let origin = origin();
        let looks = simulate(ALL_HEARD, &heard, &costs, HOURS * 3 + HOURS / 2);
        let events = looks.iter().filter(|look| look.reason != Reason::Timer).count();
        prop_assert!(events <= heard.len(), "a look for no event");
        prop_assert_eq!(looks.len() - events, 4, "the first, and one in each age");
        let mut damper = Damper::new(origin, ALL_HEARD);
        damper.looked(origin, origin);
        prop_assert!(damper.poll_timeout() > Some(origin));
    }
}
