//! The pure search along simulated paths, in virtual time: what issue and README promise, and what must never be.

#[path = "search/driver.rs"]
mod driver;
#[path = "search/paths.rs"]
mod paths;

use std::path::Path;
use std::time::Duration;

use mtu_agent::domain::mtu::PathMtu;
use mtu_lab::scenario::Scenario;

use driver::{Run, run};
use paths::{Hole, scenario};

fn median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values[values.len() / 2]
}

fn packets(runs: &[(Hole, Run)]) -> Vec<u32> {
    runs.iter().map(|(_, run)| run.outcome.probes_sent).collect()
}

/// Runs `count` black holes that no table has, `paths` saying where.
fn holes(count: u64, path: impl Fn(u64) -> Hole) -> Vec<(Hole, Run)> {
    let pairs = (0..count).map(|seed| {
        let hole = path(seed);
        let run = run(&hole.scenario(), seed);
        (hole, run)
    });
    pairs.collect()
}

fn exact(runs: &[(Hole, Run)]) -> usize {
    let is_exact = |run: &Run, mtu| run.outcome.verdict.name() == "black_hole" && run.path_mtu() == Some(mtu);
    runs.iter().filter(|(hole, run)| is_exact(run, hole.mtu)).count()
}

#[test]
fn every_scenario_ends_as_its_file_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let scenario = Scenario::read(&path).unwrap_or_else(|error| panic!("{error:?}"));
        let Run { outcome, afterwards, .. } = run(&scenario, 1);
        let expect = &scenario.expect;
        let name = path.file_stem().unwrap().to_string_lossy();
        assert_eq!(outcome.verdict.name(), expect.verdict, "{name}: {outcome:?}");
        assert_eq!(outcome.verdict.path_mtu().map(PathMtu::get), expect.path_mtu, "{name}: {outcome:?}");
        assert_eq!(afterwards.verdict, outcome.verdict, "{name}: changed by what came later");
        if let Some(hop) = expect.hop {
            assert_eq!(outcome.limited_by.and_then(|it| it.hop), Some(hop), "{name}: {outcome:?}");
        }
        assert!(outcome.probes_sent <= expect.packets.unwrap_or(64), "{name}: {outcome:?}");
        assert!(expect.elapsed.is_none_or(|limit| outcome.elapsed <= limit), "{name}: {outcome:?}");
        count += 1;
    }
    assert!(count > 30, "{count} scenarios");
}

#[test]
fn a_black_hole_next_door_is_found_in_60_ms_whatever_its_size() {
    for (link, step) in [(1500, 1), (9000, 37)] {
        let mut sent = Vec::new();
        for mtu in (1280..link).step_by(step) {
            let hole = Hole { link, mtu, rtt_ms: 0.1, loss: 0.0 };
            let Run { outcome, .. } = run(&hole.scenario(), 1);
            assert_eq!(outcome.verdict.path_mtu().map(PathMtu::get), Some(mtu), "{outcome:?}");
            assert_eq!(outcome.verdict.name(), "black_hole", "{mtu} of {link}");
            assert_eq!(outcome.limited_by.and_then(|it| it.hop), Some(2), "{mtu} of {link}: {outcome:?}");
            assert!(outcome.elapsed < Duration::from_millis(60), "{mtu} of {link}: {outcome:?}");
            sent.push(outcome.probes_sent);
        }
        assert!(median(sent) <= 50);
    }
}

/// Seven round trips, whatever the size, and never more packets or bytes than allowed.
fn found_in_350_ms(link: u16, mtus: impl Iterator<Item = u16>) {
    let mut sent = Vec::new();
    for mtu in mtus {
        let hole = Hole { link, mtu, rtt_ms: 50.0, loss: 0.0 };
        let Run { outcome, .. } = run(&hole.scenario(), 1);
        assert_eq!(outcome.verdict.path_mtu().map(PathMtu::get), Some(mtu), "{outcome:?}");
        assert_eq!(outcome.verdict.name(), "black_hole", "{mtu} of {link}");
        assert_eq!(outcome.limited_by.and_then(|it| it.hop), Some(2), "{mtu} of {link}: {outcome:?}");
        assert!(outcome.elapsed < Duration::from_millis(350), "{mtu} of {link}: {outcome:?}");
        sent.push(outcome.probes_sent);
    }
    assert!(median(sent) <= 50);
}

#[test]
fn a_black_hole_50_ms_away_is_found_in_350_ms() {
    found_in_350_ms(1500, 1280..1500);
}

#[test]
fn a_black_hole_50_ms_away_under_a_jumbo_link_is_found_in_350_ms() {
    let of_the_bench = [2900, 8765, 8999, 1437, 1450, 1281, 4353, 1501, 6000, 7777];
    found_in_350_ms(9000, of_the_bench.into_iter().chain((1280..9000).step_by(7)));
}

#[test]
fn a_ptb_from_any_narrow_link_is_confirmed_in_two_round_trips_and_ten_packets() {
    for mtu in 1281..1500 {
        let text = format!(
            "[link]\nmtu = 1500\n[[hop]]\nmtu = 1500\ndelay_ms = 10\n[[hop]]\nmtu = {mtu}\ndelay_ms = 15"
        );
        let Run { outcome, .. } = run(&scenario(&text), 1);
        assert_eq!(outcome.verdict.name(), "exact");
        assert_eq!(outcome.verdict.path_mtu().map(PathMtu::get), Some(mtu), "{outcome:?}");
        assert!(outcome.elapsed <= Duration::from_millis(115) && outcome.probes_sent <= 10, "{outcome:?}");
    }
}

/// The promise of the table: at least 995 of 1000 exact, none above the truth, at most 64 packets, half of the
/// runs with at most 50.
fn loss_row(loss: f64) {
    let runs = holes(1000, |seed| Hole { loss, ..Hole::odd(seed, 1500) });
    let exact = exact(&runs);
    assert!(exact >= 995, "{exact} of 1000 are exact");
    for (hole, run) in &runs {
        hole.assert_never_above(run);
        assert!(run.outcome.probes_sent <= 64 && run.outcome.bytes_sent <= 96_000, "{:?}", run.outcome);
    }
    let median = median(packets(&runs));
    assert!(median <= 50, "a median of {median} packets");
}

#[test]
fn a_black_hole_with_5_percent_loss_each_way_is_exact() {
    loss_row(0.05);
}

#[test]
fn a_black_hole_with_10_percent_loss_each_way_is_exact() {
    loss_row(0.1);
}

#[test]
fn a_black_hole_with_20_percent_loss_each_way_is_exact() {
    loss_row(0.2);
}

#[test]
fn a_jumbo_black_hole_with_loss_is_a_lower_bound_at_worst() {
    for (hole, run) in holes(200, |seed| Hole { loss: 0.1, ..Hole::odd(seed, 9000) }) {
        hole.assert_never_above(&run);
        let is_told = matches!(run.outcome.verdict.name(), "black_hole" | "lower_bound");
        assert!(is_told, "{:?}", run.outcome);
        assert!(run.outcome.verdict.name() != "black_hole" || run.path_mtu() == Some(hole.mtu));
        assert!(run.outcome.bytes_sent <= 256_000);
    }
}

#[test]
fn loss_alone_is_never_a_black_hole() {
    for seed in 0..500 {
        let text = "[link]\nmtu = 1500\n[[hop]]\nmtu = 1500\ndelay_ms = 5\njitter_ms = 1\nloss = 0.2";
        let Run { outcome, .. } = run(&scenario(text), seed);
        assert_ne!(outcome.verdict.name(), "black_hole", "seed {seed}: {outcome:?}");
    }
}

#[test]
fn a_forger_who_sees_the_probes_costs_packets_and_not_the_number() {
    for (hole, forged) in (0..300).map(|seed| (Hole::odd(seed, 1500), seed)) {
        let forger = "[forged]\nper_second = 1000\nfrom = \"10.66.6.6\"\nquote = \"seen\"\n\
                      mtus = [0, 20, 68, 600, 1280, 1281, 1350, 1399, 1450, 1499, 1500, 70000]\n";
        let run = run(&scenario(&(hole.path() + forger)), forged);
        assert_eq!(run.path_mtu(), Some(hole.mtu), "{:?}", run.outcome);
        assert!(run.outcome.probes_sent <= 50, "{:?}", run.outcome);
    }
}

#[test]
fn an_ecmp_path_has_the_mtu_of_the_link_that_the_flow_takes() {
    let text = "[link]\nmtu = 1500\n[[hop]]\nmtu = 1500\ndelay_ms = 5\necmp = [1400]\nptb = false";
    let mut seen: Vec<_> = (0..40).map(|seed| run(&scenario(text), seed).path_mtu().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [1400, 1500]);
}

#[test]
fn a_path_that_changes_meanwhile_ends_with_a_size_that_it_had_or_with_none() {
    for (before, after) in [(1400, 1500), (1450, 1380)] {
        for after_ms in (0..200).step_by(5) {
            let text = format!(
                "[link]\nmtu = 1500\n[[hop]]\nmtu = {before}\ndelay_ms = 10\nptb = false\n\
                 [[change]]\nhop = 1\nmtu = {after}\nafter_ms = {after_ms}"
            );
            let Run { outcome, .. } = run(&scenario(&text), 1);
            let told = outcome.verdict.path_mtu().map(PathMtu::get);
            assert!(told.is_none_or(|mtu| mtu <= before.max(after)), "{outcome:?}");
            assert!(outcome.probes_sent <= 64);
        }
    }
}

#[path = "search/properties.rs"]
mod properties;
