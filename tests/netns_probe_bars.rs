//! What is promised of the answer, on real sockets: exact, never above the truth, within the budget of packets, also
//! through loss. How long it takes is the matter of `benches/probe.rs`.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail};
use mtu_agent::domain::mtu::PathMtu;
use mtu_agent::domain::search::Verdict;
use mtu_agent::probes::driver::{ProbeReport, ProbeRequest, Prober};
use mtu_lab::router::chain::Chain;
use mtu_lab::router::seeded::SeededPath;
use mtu_lab::router::space::Space;
use mtu_lab::scenario::Scenario;

/// Packets of one search.
const BUDGET: u32 = 64;
/// Packets of half of the searches.
const USUAL: u32 = 50;

fn probe(space: &Space, destination: IpAddr) -> Result<ProbeReport> {
    let prober = space.run(move || Prober::open(ProbeRequest::new(destination)))??;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(prober.run(|_| {}))?)
}

fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).expect("a possible path MTU")
}

fn both(chain: &Chain) -> [IpAddr; 2] {
    [chain.server_v4(), chain.server_v6()]
}

/// A black hole behind the second router, 4 ms away, with an MTU that no ladder has.
fn lossy(family: &str, loss: f64) -> Result<Scenario> {
    Ok(Scenario::parse(
        "inline",
        &format!(
            "about = 'A black hole and loss.'
             family = '{family}'
             [link]
             mtu = 1500
             loss = {loss}
             [[hop]]
             mtu = 1500
             delay_ms = 1
             [[hop]]
             mtu = {ODD}
             delay_ms = 1
             ptb = false
             [[hop]]
             mtu = 1500
             [expect]
             verdict = 'black_hole'
             path_mtu = {ODD}"
        ),
    )?)
}

const ODD: u16 = 1437;

/// What came of a number of searches through loss.
struct Tally {
    exact: usize,
    packets: Vec<u32>,
    /// What the others came to.
    others: Vec<String>,
}

impl Tally {
    /// Fails at once on an answer above the truth or a search above its budget: no loss excuses them.
    fn of(family: &str, loss: f64, seeds: std::ops::Range<u64>) -> Result<Self> {
        let scenario = lossy(family, loss)?;
        let mut tally = Self { exact: 0, packets: Vec::new(), others: Vec::new() };
        for seed in seeds {
            let path = SeededPath::new(&scenario, seed)?;
            let report = probe(path.client(), path.server_address())?;
            let sent = path.packets_from_client();
            path.end()?;
            let outcome = report.outcome;
            let place = format!("{family}, loss {loss}, seed {seed}: {outcome:?}");
            if outcome.verdict.path_mtu() > Some(size(ODD)) {
                bail!("above the truth: {place}");
            }
            if outcome.probes_sent > BUDGET || sent > u64::from(BUDGET) {
                bail!("{sent} packets were seen: {place}");
            }
            if outcome.verdict == (Verdict::BlackHole { path_mtu: size(ODD) }) {
                tally.exact += 1;
            } else {
                tally.others.push(place);
            }
            tally.packets.push(outcome.probes_sent);
        }
        Ok(tally)
    }

    fn median(&self) -> u32 {
        let mut sorted = self.packets.clone();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    }
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_twentieth_lost_each_way_leaves_the_answer_exact() -> Result<()> {
    let tally = Tally::of("ipv4", 0.05, 0..25)?;
    assert!(tally.exact >= 24, "{:#?}", tally.others);
    assert!(tally.median() <= USUAL, "{:?}", tally.packets);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_tenth_lost_each_way_leaves_49_of_50_answers_exact() -> Result<()> {
    let (v4, v6) = (Tally::of("ipv4", 0.1, 0..25)?, Tally::of("ipv6", 0.1, 25..50)?);
    assert!(v4.exact + v6.exact >= 49, "{:#?} {:#?}", v4.others, v6.others);
    assert!(v4.median() <= USUAL && v6.median() <= USUAL, "{:?} {:?}", v4.packets, v6.packets);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_fifth_lost_each_way_leaves_49_of_50_answers_exact() -> Result<()> {
    let tally = Tally::of("ipv4", 0.2, 0..50)?;
    assert!(tally.exact >= 49, "{:#?}", tally.others);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_black_hole_of_any_odd_size_is_exact_with_its_hop() -> Result<()> {
    let narrow = [1280, 1281, 1333, 1437, 1450, 1499].map(|mtu| (1500, mtu));
    let jumbo = [1281, 1501, 2900, 4353, 8765, 8999].map(|mtu| (9000, mtu));
    for (own, mtu) in narrow.into_iter().chain(jumbo) {
        let chain = Chain::new(&[own, own, mtu, own])?;
        chain.swallow_ptbs(2)?;
        for destination in both(&chain) {
            let report = probe(chain.client(), destination)?;
            let verdict = Verdict::BlackHole { path_mtu: size(mtu) };
            assert_eq!(report.outcome.verdict, verdict, "{mtu} on {own}: {report:?}");
            let by = report.outcome.limited_by.context("time exceeded tells the hop")?;
            assert_eq!(by.address, Some(chain.router_address(2, destination.is_ipv4())), "{mtu}: {report:?}");
            assert!(report.outcome.probes_sent <= BUDGET, "{mtu} on {own}: {report:?}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn black_holes_in_a_row_are_as_exact_as_one() -> Result<()> {
    for mtus in [&[1500, 1450, 1400][..], &[9000, 4352, 1437, 1333], &[1500, 1400, 1450]] {
        let chain = Chain::new(mtus)?;
        for router in 1..mtus.len() {
            chain.swallow_ptbs(router)?;
        }
        let truth = mtus.iter().copied().min().context("there are links")?;
        for destination in both(&chain) {
            let report = probe(chain.client(), destination)?;
            let verdict = Verdict::BlackHole { path_mtu: size(truth) };
            assert_eq!(report.outcome.verdict, verdict, "{mtus:?}: {report:?}");
            assert!(report.outcome.probes_sent <= BUDGET, "{mtus:?}: {report:?}");
        }
    }
    Ok(())
}
