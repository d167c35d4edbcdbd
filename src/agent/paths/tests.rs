use std::cell::Cell;

use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use super::*;
use crate::domain::mtu::PathMtu;
use crate::domain::search::{Outcome, Verdict};

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

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
    assert_eq!((rhythm(1, 0.0).least(), rhythm(1, 0.0).interval()), (second, second));
    assert_eq!((rhythm(60, 0.0).least(), rhythm(60, 0.0).interval()), (SOON, Duration::from_mins(1)));
    assert_eq!(rhythm(60, 1.0).interval(), Duration::from_secs(66));
}

fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).unwrap()
}

/// One that was searched from behind a link of 1500.
fn path(address: &str, verdict: Verdict) -> Path {
    let outcome = Outcome {
        verdict,
        limited_by: None,
        probes_sent: 4,
        bytes_sent: 4300,
        flights: 2,
        rtt: None,
        loss: None,
        ptbs_ignored: 0,
        elapsed: Duration::ZERO,
    };
    let path = Path::new("registry".into(), Some(address.parse().unwrap()), PathResult::Searched(outcome));
    Path { widest: Some(size(1500)), ..path }
}

fn exact(bytes: u16) -> Verdict {
    Verdict::Exact { path_mtu: size(bytes) }
}

/// How long these paths are left alone, if less than the ten minutes after which a larger size is tried: the IPv6 one holds, that of IPv4 says nothing until
/// its `answers`-th check.
#[expect(clippy::disallowed_methods, reason = "the paused clock of the test")]
async fn until_searched(paths: [Path; 2], answers: u32) -> Option<Duration> {
    let began = Instant::now();
    let mut known: Vec<_> = paths.iter().filter_map(|path| known(path, rhythm(60, 0.0))).collect();
    let asked = Cell::new(0);
    let check = async |address: IpAddr, _: Pair, confirm: &mut Confirm| {
        if address.is_ipv6() {
            confirm.handle_full();
            return Ok(Checked::Holds);
        }
        asked.set(asked.get() + 1);
        if asked.get() < answers {
            sleep(Duration::from_secs(1)).await;
            return Ok(Checked::Silent);
        }
        confirm.handle_control();
        Ok(Checked::InDoubt)
    };
    let searched = until_in_doubt(&mut known, rhythm(60, 0.0), check);
    let searched = timeout(Duration::from_secs(599), searched).await;
    searched.ok().map(|()| began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_family_that_told_no_number_is_searched_when_it_answers_however_well_the_other_holds() {
    let paths = || [path(V6, exact(1500)), path(V4, Verdict::Unreachable)];
    let minutes = |searched: Option<Duration>| searched.map(|after| after.as_secs() / 60);
    assert_eq!(minutes(until_searched(paths(), 5).await), Some(5));
    assert_eq!(minutes(until_searched(paths(), 1).await), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_family_is_no_reason_to_search_the_other_before_its_time() {
    let paths = [path(V6, exact(1500)), path(V4, Verdict::Unreachable)];
    assert_eq!(until_searched(paths, u32::MAX).await, None);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_known_it_is_searched_at_each_interval() {
    let paths = [path(V6, Verdict::Unreachable), path(V4, Verdict::Inconsistent)];
    assert!(until_searched(paths, u32::MAX).await < Some(Duration::from_mins(1)));
}

/// What is known of a target after each of these was found, on a host with a way out for these families.
async fn known_after(
    found: impl IntoIterator<Item = Vec<Path>>,
    ways_out: &[IpFamily],
) -> Vec<(Option<&'static str>, u16)> {
    let mut paths = Paths::new("node-1".into(), &[]);
    paths.known.push(Vec::new());
    for found in found {
        let news = found.len();
        let found = Found { generation: 0, target: 0, paths: found };
        assert!(paths.found.0.try_send(found).is_ok());
        let found = paths.next(|address| ways_out.contains(&IpFamily::of(address))).await;
        assert_eq!(found.len(), news, "only what was found is news");
    }
    let told = |path: &Path| Some((path.verdict(), path.measured()?.path_mtu.get()));
    paths.known().iter().filter_map(told).collect()
}

#[tokio::test]
async fn a_family_without_a_way_out_for_a_moment_keeps_what_was_measured() {
    const WAYS_OUT: &[IpFamily] = &[IpFamily::V6];
    let both = vec![path(V6, exact(1500)), path(V4, exact(1400))];
    let one = || vec![path(V6, exact(1480))];
    let known = known_after([both.clone(), one(), one()], WAYS_OUT).await;
    assert_eq!(known, [(Some("exact"), 1480), (Some("exact"), 1400)]);

    let silent = vec![path(V6, exact(1480)), path(V4, Verdict::Unreachable)];
    let known = known_after([both.clone(), one(), silent], WAYS_OUT).await;
    assert_eq!(known, [(Some("exact"), 1480), (Some("unreachable"), 1400)]);
    let larger = vec![path(V6, exact(1480)), path(V4, exact(1500))];
    let known = known_after([both, one(), larger], WAYS_OUT).await;
    assert_eq!(known, [(Some("exact"), 1480), (Some("exact"), 1500)]);
}

#[tokio::test]
async fn an_address_that_its_name_has_no_more_is_forgotten() {
    let both = vec![path(V6, exact(1500)), path(V4, exact(1400))];
    let known = known_after([both, vec![path(V6, exact(1500))]], &IpFamily::ALL).await;
    assert_eq!(known, [(Some("exact"), 1500)]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_for_a_moment_keeps_what_was_measured() {
    let why = "no such name".to_owned();
    let unresolved = Path::new("registry".into(), None, PathResult::Failed { why, unresolved: true });
    let both = vec![path(V6, exact(1500)), path(V4, exact(1400))];
    let known = known_after([both, vec![unresolved.clone()], vec![unresolved]], &IpFamily::ALL).await;
    assert_eq!(known, [(Some("exact"), 1500), (Some("exact"), 1400)]);
}

#[tokio::test]
async fn what_an_earlier_run_measured_is_kept_for_the_targets_that_are_still_told() {
    let of = |target: &str, kept| {
        let address = V4.parse().unwrap();
        let path = Path::new(target.into(), Some(address), PathResult::NotProbed { learned: None });
        Path { kept: Some(size(kept)), ..path }
    };
    let targets = ["registry".parse().unwrap(), "mirror".parse().unwrap()];
    let within = async {
        let mut paths = Paths::new("node-1".into(), &[of("removed", 1300), of("registry", 1400)]);
        paths.probe(&targets, Duration::from_mins(1));
        assert_eq!(paths.known(), [of("registry", 1400)]);

        let silent = vec![path(V4, Verdict::Unreachable)];
        assert!(paths.found.0.try_send(Found { generation: 1, target: 0, paths: silent }).is_ok());
        let told = paths.next(|_| true).await[0].clone();
        assert_eq!((told.verdict(), told.kept), (Some("unreachable"), Some(size(1400))));
    };
    LocalSet::new().run_until(within).await;
}
