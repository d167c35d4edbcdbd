use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

const TIMING: Timing = Timing { duration_seconds: 15, grace_seconds: 5 };

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn lease(holder: Option<&str>, age_milliseconds: Option<i64>) -> LeaseSpec {
    let renewed = age_milliseconds.map(|age| MicroTime(now() - jiff::SignedDuration::from_millis(age)));
    LeaseSpec { holder_identity: holder.map(str::to_owned), renew_time: renewed, ..LeaseSpec::default() }
}

#[test]
fn the_holder_writes_until_shortly_before_its_lease_ends() {
    for (age, left) in
        [(0, Some(12_500)), (10_000, Some(2_500)), (12_499, Some(1)), (12_500, None), (20_000, None)]
    {
        let expected = left.map(Duration::from_millis);
        assert_eq!(TIMING.left(&lease(Some("a"), Some(age)), "a", now()), expected, "{age} ms");
    }
}

#[test]
fn nobody_else_does() {
    assert_eq!(TIMING.left(&lease(Some("b"), Some(0)), "a", now()), None);
    assert_eq!(TIMING.left(&lease(None, Some(0)), "a", now()), None);
    assert_eq!(TIMING.left(&lease(Some("a"), None), "a", now()), None);
    assert_eq!(TIMING.left(&LeaseSpec::default(), "a", now()), None);
}

#[test]
fn a_renewal_that_fails_does_so_before_the_lease_ends() {
    assert!(TIMING.patience() < TIMING.grace());
}
