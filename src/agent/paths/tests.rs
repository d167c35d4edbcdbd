use super::*;

fn rhythm(interval: u64, seed: f64) -> Rhythm {
    Rhythm { interval: Duration::from_secs(interval), seed }
}

#[test]
fn nodes_that_start_together_are_spread_over_the_first_seconds() {
    let first = |node: usize| rhythm(60, seed(&format!("node-{node}"), "example.org")).first();
    let mut tenths = [0_usize; 10];
    for node in 0..5000 {
        let millis = usize::try_from(first(node).as_millis()).unwrap();
        tenths[(millis / 1000).min(9)] += 1;
    }
    assert!(tenths.iter().all(|count| (400..600).contains(count)), "{tenths:?}");
}

#[test]
fn a_node_keeps_its_place_and_has_another_for_another_target() {
    let same = |target| seed("node-1", target).to_bits();
    assert_eq!(same("a.example"), same("a.example"));
    assert_ne!(same("a.example"), same("b.example"));
}

#[test]
fn a_short_interval_is_kept_and_a_long_one_answers_a_change_soon() {
    let second = Duration::from_secs(1);
    assert_eq!((rhythm(1, 0.0).least(), rhythm(1, 0.0).rest()), (second, Duration::ZERO));
    assert_eq!((rhythm(60, 0.0).least(), rhythm(60, 0.0).rest()), (SOON, Duration::from_secs(50)));
    assert_eq!(rhythm(60, 1.0).least() + rhythm(60, 1.0).rest(), Duration::from_secs(66));
}
