//! Runs a search along a described path in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use mtu_agent::domain::mtu::{IpFamily, PathMtu};
use mtu_agent::domain::search::{Outcome, ProbeId, Search, SearchConfig, Transmit};
use mtu_lab::network::{Effect, Network};
use mtu_lab::scenario::{Family, Quote, Scenario};

/// What a search did.
#[derive(Debug)]
pub(crate) struct Run {
    /// When it was over.
    pub(crate) outcome: Outcome,
    /// When every packet that was still on its way had come, too.
    pub(crate) afterwards: Outcome,
    /// Packets that left the client.
    pub(crate) sent: Vec<Transmit>,
}

impl Run {
    pub(crate) fn path_mtu(&self) -> Option<u16> {
        self.outcome.verdict.path_mtu().map(PathMtu::get)
    }
}

pub(crate) fn config(scenario: &Scenario) -> SearchConfig {
    let family = match scenario.family {
        Family::Ipv4 => IpFamily::V4,
        Family::Ipv6 => IpFamily::V6,
    };
    let size = |bytes: u16| PathMtu::new(bytes).expect("scenarios are checked");
    let max = size(scenario.search.max.unwrap_or(scenario.link.mtu));
    SearchConfig { hint: scenario.search.hint.map(size), ..SearchConfig::new(family, max) }
}

pub(crate) fn run(scenario: &Scenario, seed: u64) -> Run {
    run_with(scenario, seed, config(scenario))
}

pub(crate) fn run_with(scenario: &Scenario, seed: u64, config: SearchConfig) -> Run {
    let start = epoch();
    let mut network = Network::new(scenario, seed);
    let mut search = Search::new(config, start).expect("scenarios are checked");
    let mut arrivals = BinaryHeap::new();
    let mut sent: Vec<Transmit> = Vec::new();
    let (mut now, mut forged, mut steps) = (Duration::ZERO, 0, 0);
    let outcome = loop {
        while let Some(transmit) = search.poll_transmit(start + now) {
            let ttl = transmit.hop_limit.unwrap_or(64);
            let effects = network.echo(now, transmit.size.get(), ttl, seed);
            if !matches!(effects[..], [mtu_lab::network::Event { effect: Effect::LocalLimit { .. }, .. }]) {
                sent.push(transmit);
            }
            for event in effects {
                arrivals.push(Reverse((event.at, arrivals.len(), transmit.id, Ordered(event.effect))));
            }
        }
        if let Some(outcome) = search.outcome() {
            break outcome;
        }
        steps += 1;
        assert!(steps < 100_000, "the search does not end: {search:?}");
        let wake = search.poll_timeout().expect("a search that goes on wants to be woken");
        let timeout = wake.saturating_duration_since(start);
        let arrival = arrivals.peek().map(|Reverse((at, ..))| *at);
        let forgery = network.forged(forged);
        let next = [Some(timeout), arrival, forgery.map(|it| it.at)].into_iter().flatten().min();
        let next = next.expect("there is always the timeout");
        now = now.max(next);
        if arrival == Some(next) {
            let Some(Reverse((_, _, id, Ordered(effect)))) = arrivals.pop() else { continue };
            handle(&mut search, start + now, id, effect);
        } else if let Some(it) = forgery.filter(|it| it.at == next) {
            forged += 1;
            let quote = scenario.forged.as_ref().map(|it| it.quote);
            if let (Some(Quote::Seen), Some(last)) = (quote, sent.last()) {
                search.handle_ptb(start + now, last.id, it.mtu, it.from);
            }
        } else {
            search.handle_timeout(start + now);
        }
    };
    while let Some(Reverse((at, _, id, Ordered(effect)))) = arrivals.pop() {
        handle(&mut search, start + at.max(now), id, effect);
        assert_eq!(search.poll_transmit(start + at), None, "it is over");
    }
    let afterwards = search.outcome().expect("what was told stays told");
    Run { outcome, afterwards, sent }
}

fn handle(search: &mut Search, now: Instant, id: ProbeId, effect: Effect) {
    match effect {
        Effect::Delivered => search.handle_ack(now, id),
        Effect::Ptb { from, mtu } => search.handle_ptb(now, id, mtu, from),
        Effect::TimeExceeded { from } => search.handle_time_exceeded(now, id, from),
        Effect::Unreachable { from } => search.handle_unreachable(now, id, Some(from)),
        Effect::LocalLimit { mtu } => search.handle_local_limit(now, id, Some(mtu.into())),
    }
}

/// Any instant: the search only looks at differences.
pub(crate) fn epoch() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made without a clock")]
    static EPOCH: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *EPOCH
}

/// An effect in a queue that is ordered by time and by what comes before it.
#[derive(Debug)]
struct Ordered(Effect);

impl PartialEq for Ordered {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
