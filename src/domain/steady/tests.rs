use proptest::prelude::*;

use super::*;

const RAISE_AFTER: Duration = Duration::from_mins(10);

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

/// Observes each size at its second, and tells the value after each.
fn values(observations: &[(u64, Option<u32>)]) -> Vec<Option<u32>> {
    let start = origin();
    let mut steady = SteadyMtu::new(RAISE_AFTER);
    let observe = |(second, bytes): &(u64, Option<u32>)| {
        steady.observe(start + Duration::from_secs(*second), bytes.map(mtu));
        steady.value().map(LinkMtu::get)
    };
    observations.iter().map(observe).collect()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

#[test]
fn it_goes_down_at_once() {
    assert_eq!(
        values(&[(0, Some(1500)), (1, Some(1450)), (2, Some(1400))]),
        [Some(1500), Some(1450), Some(1400)]
    );
}

#[test]
fn it_goes_up_only_when_the_larger_value_has_lasted() {
    let seen = values(&[(0, Some(1400)), (1, Some(1500)), (600, Some(1500)), (601, Some(1500))]);
    assert_eq!(seen, [Some(1400), Some(1400), Some(1400), Some(1500)]);
}

#[test]
fn it_goes_up_to_the_least_that_was_seen_meanwhile() {
    let seen =
        values(&[(0, Some(1400)), (1, Some(1500)), (300, Some(1450)), (601, Some(1500)), (1202, Some(1500))]);
    assert_eq!(seen, [Some(1400), Some(1400), Some(1400), Some(1450), Some(1500)]);
}

#[test]
fn a_relapse_starts_the_wait_anew() {
    let seen =
        values(&[(0, Some(1400)), (1, Some(1500)), (300, Some(1400)), (301, Some(1500)), (700, Some(1500))]);
    assert_eq!(seen.last(), Some(&Some(1400)));
}

#[test]
fn the_last_good_value_stays_when_the_network_goes_and_is_known_to_be_old() {
    let start = origin();
    let mut steady = SteadyMtu::new(RAISE_AFTER);
    steady.observe(start, Some(mtu(1450)));
    assert_eq!(steady.lost_since(), None);
    let lost = start + Duration::from_secs(5);
    steady.observe(lost, None);
    steady.observe(lost + RAISE_AFTER, None);
    assert_eq!((steady.value(), steady.lost_since()), (Some(mtu(1450)), Some(lost)));
    steady.observe(lost + RAISE_AFTER, Some(mtu(1450)));
    assert_eq!(steady.lost_since(), None);
}

#[test]
fn a_value_of_an_earlier_run_is_old_and_still_needs_the_wait_to_rise() {
    let start = origin();
    let mut steady = SteadyMtu::resume(RAISE_AFTER, mtu(1400), start);
    assert_eq!((steady.value(), steady.lost_since()), (Some(mtu(1400)), Some(start)));
    steady.observe(start, Some(mtu(1500)));
    assert_eq!((steady.value(), steady.poll_timeout()), (Some(mtu(1400)), Some(start + RAISE_AFTER)));
}

proptest! {
    #[test]
    fn it_never_exceeds_what_was_observed_within_the_wait(
        observations in prop::collection::vec((1_u64..400, prop::option::of(576_u32..1600)), 1..60),
    ) {
        let mut at = 0;
        let timed: Vec<_> = observations.iter().map(|(step, bytes)| { at += step; (at, *bytes) }).collect();
        let values = values(&timed);
        for (position, value) in values.iter().enumerate() {
            let (now, Some(observed)) = timed[position] else { continue };
            prop_assert!(value.unwrap() <= observed, "it exceeds what is observed right now");
            if position > 0 && *value > values[position - 1] && values[position - 1].is_some() {
                let recent = timed.iter().filter(|(then, _)| *then <= now && now - then < 600);
                let least = recent.filter_map(|(_, bytes)| *bytes).min();
                prop_assert!(*value <= least, "it rose over a value seen within the wait");
            }
        }
    }
}
