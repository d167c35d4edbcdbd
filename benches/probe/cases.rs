//! The paths, who is to measure each, and the bars that mtu-agent must meet on it.

use anyhow::Result;
use mtu_lab::scenario::Family;

use crate::bars::Bar;
use crate::lane::{Layout, Weather};
use crate::tool::Tool;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) is_quick: bool,
}

impl Effort {
    fn pick<T>(self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }
}

/// One table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) family: Family,
    /// Run after run takes the next of them.
    pub(crate) layouts: Vec<Layout>,
    pub(crate) rtt_ms: f64,
    /// The verdict that is right beside the number, where only one is.
    pub(crate) verdict: Option<&'static str>,
    /// Of mtu-agent.
    pub(crate) runs: usize,
    /// Those that answer at once take turns with mtu-agent.
    pub(crate) quick_peers: Vec<(Tool, usize)>,
    /// Those that wait for answers that never come do so all together, when nothing else is measured.
    pub(crate) slow_peers: Vec<(Tool, usize)>,
    pub(crate) bars: Vec<Bar>,
}

impl Case {
    /// Whether the router is to be named.
    pub(crate) fn wants_router(&self) -> bool {
        self.bars.iter().any(|bar| matches!(bar, Bar::Hop))
    }
}

const FAR_MS: f64 = 50.0;
const FAR: Weather = Weather { rtt_ms: FAR_MS, is_far_off: false, loss: 0.0, forged: None };
const FAR_OFF: Weather = Weather { is_far_off: true, ..FAR };
/// Far enough that losing a core for a moment is no loss, near enough for 50 runs.
const LOSSY_RTT_MS: f64 = 10.0;

/// On a link of 1500: sizes that people have, and sizes that nobody does.
const NARROW: [u16; 6] = [1450, 1437, 1281, 1280, 1499, 1333];
/// On a link of 9000.
const JUMBO: [u16; 10] = [2900, 8765, 8999, 1437, 1450, 1281, 4353, 1501, 6000, 7777];
/// Not in the ladder.
const ODD: u16 = 1437;

/// All of them.
pub(crate) fn all(effort: Effort) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        cases.extend(told(effort, family)?);
        cases.extend(holes(effort, family)?);
    }
    cases.extend(loss(effort)?);
    cases.extend(forged(effort)?);
    Ok(cases)
}

/// Without a bottleneck, and with PTBs.
fn told(effort: Effort, family: Family) -> Result<Vec<Case>> {
    let runs = effort.pick(11, 2);
    let rivals = |tools: &[Tool]| peers(family, tools, effort.pick(5, usize::from(family == Family::Ipv4)));
    let quick = [Tool::Tracepath, Tool::Traceroute, Tool::Scamper];
    let with_nmap = [Tool::Tracepath, Tool::Traceroute, Tool::Scamper, Tool::Nmap];
    let case = |name: &str, layout, rtt_ms, tools: &[Tool], bars| Case {
        name: name.to_owned(),
        family,
        layouts: vec![layout],
        rtt_ms,
        verdict: Some("exact"),
        runs,
        quick_peers: rivals(tools),
        slow_peers: Vec::new(),
        bars,
    };
    let chain = |mtus: &[u16]| Layout::Chain { mtus: mtus.to_vec(), holes: Vec::new() };
    let far = |mtus: &[u16]| Layout::seeded(family, mtus, &[], FAR);
    let far_off = |mtus: &[u16]| Layout::seeded(family, mtus, &[], FAR_OFF);
    let wide = || vec![Bar::Exact, Bar::Elapsed { rtts: 1.1, plus_ms: 10.0 }, Bar::Packets(6)];
    let rivals_to_beat = peers(family, &[Tool::Tracepath, Tool::Scamper, Tool::Nmap], 1);
    let faster = rivals_to_beat.iter().map(|(tool, _)| Bar::Faster { tool: *tool, times: 1.0 });
    let narrow = || {
        let bars = [Bar::Exact, Bar::Hop, Bar::Elapsed { rtts: 2.1, plus_ms: 10.0 }, Bar::Packets(10)];
        bars.into_iter().chain(faster.clone()).collect()
    };
    let jumbo = || {
        let bars = [Bar::Exact, Bar::Hop, Bar::Elapsed { rtts: 3.0, plus_ms: 0.0 }];
        bars.into_iter().chain(faster.clone()).collect()
    };
    let mut cases = vec![
        case("no bottleneck", chain(&[1500; 3]), 0.0, &quick, wide()),
        case("no bottleneck", far(&[1500; 3])?, FAR_MS, &quick, wide()),
        case("PTBs flow, one narrow link", far(&[1500, 1500, ODD])?, FAR_MS, &with_nmap, narrow()),
        case(
            "PTBs flow, one narrow link, all routers far",
            far_off(&[1500, 1500, ODD])?,
            FAR_MS,
            &with_nmap,
            narrow(),
        ),
        case("PTBs flow, 9000>4352>1500>1400", far(&[9000, 4352, 1500, 1400])?, FAR_MS, &with_nmap, jumbo()),
    ];
    if family == Family::Ipv4 || !effort.is_quick {
        let name = "PTBs flow, 9000>4352>1500>1400, all routers far";
        cases.push(case(name, far_off(&[9000, 4352, 1500, 1400])?, FAR_MS, &with_nmap, jumbo()));
        let bars = vec![Bar::Exact, Bar::Hop];
        cases.push(case(
            "PTBs flow, 9000>4352>1500>1400",
            chain(&[9000, 4352, 1500, 1400]),
            0.0,
            &quick,
            bars,
        ));
    }
    Ok(cases)
}

/// Black holes without loss.
fn holes(effort: Effort, family: Family) -> Result<Vec<Case>> {
    let near = |own: u16, sizes: &[u16]| {
        sizes.iter().map(|mtu| Layout::Chain { mtus: vec![own, own, *mtu, own], holes: vec![2] }).collect()
    };
    let is_v4 = family == Family::Ipv4;
    let rounds = effort.pick(if is_v4 { 4 } else { 2 }, 1);
    // For a quick look, the other family's first few do.
    let few = |sizes: usize| if effort.is_quick && !is_v4 { 3 } else { sizes * rounds };
    // One of each peer and size tells enough: their timers, not this host, make them slow.
    let main = effort.pick(if is_v4 { 4 } else { 2 }, usize::from(is_v4));
    let once = effort.pick(1, 0);
    let bars = |elapsed| {
        let mut bars =
            vec![Bar::Exact, Bar::Hop, elapsed, Bar::Packets(64), Bar::MedianPackets(50), Bar::Bytes];
        if matches!(bars[2], Bar::Elapsed { rtts: 0.0, .. }) {
            bars.push(Bar::Faster { tool: Tool::Scamper, times: 100.0 });
        }
        bars
    };
    let case = |name: &str, layouts: Vec<Layout>, rtt_ms, runs, peer_runs, bars| Case {
        name: name.to_owned(),
        family,
        layouts,
        rtt_ms,
        verdict: Some("black_hole"),
        runs,
        quick_peers: Vec::new(),
        slow_peers: peers(family, &Tool::PEERS, peer_runs),
        bars,
    };
    let at_once = || bars(Bar::Elapsed { rtts: 0.0, plus_ms: 60.0 });
    let far_bars = || bars(Bar::Elapsed { rtts: 7.0, plus_ms: 0.0 });
    let two = Layout::Chain { mtus: vec![1500, 1450, 1400], holes: vec![1, 2] };
    let far = NARROW.map(|mtu| Layout::seeded(family, &[1500, 1500, mtu], &[2], FAR));
    let far = far.into_iter().collect::<Result<Vec<_>>>()?;
    let far_jumbo = [2900, 8765, ODD].map(|mtu| Layout::seeded(family, &[9000, 9000, mtu], &[2], FAR));
    let far_jumbo = far_jumbo.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(vec![
        case("black hole, own link 1500", near(1500, &NARROW), 0.0, few(NARROW.len()), main, at_once()),
        case("black hole, own link 9000", near(9000, &JUMBO), 0.0, few(JUMBO.len()), once, at_once()),
        case("black hole, own link 1500", far, FAR_MS, effort.pick(12, 3), once, far_bars()),
        case("black hole, own link 9000", far_jumbo, FAR_MS, effort.pick(9, 3), once, far_bars()),
        case(
            "two black holes, 1500>1450>1400",
            vec![two],
            0.0,
            effort.pick(11, 3),
            once,
            vec![Bar::Exact, Bar::Packets(64)],
        ),
    ])
}

/// A black hole and loss.
fn loss(effort: Effort) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let rows = [(Family::Ipv4, 0.05), (Family::Ipv4, 0.10), (Family::Ipv4, 0.20), (Family::Ipv6, 0.10)];
    for (family, loss) in rows {
        let weather = Weather { rtt_ms: LOSSY_RTT_MS, loss, ..FAR };
        let tools: &[_] = if loss > 0.1 { &[Tool::Scamper, Tool::Ping] } else { &Tool::PEERS };
        let is_main = family == Family::Ipv4 && loss >= 0.1;
        cases.push(Case {
            name: format!("black hole, {:.0} % loss each way", loss * 100.0),
            family,
            layouts: vec![Layout::seeded(family, &[1500, 1500, ODD, 1500], &[2], weather)?],
            rtt_ms: LOSSY_RTT_MS,
            verdict: Some("black_hole"),
            runs: effort.pick(50, 8),
            quick_peers: Vec::new(),
            slow_peers: peers(family, tools, effort.pick(if is_main { 10 } else { 2 }, 0)),
            bars: vec![
                Bar::ExactButOneIn50,
                Bar::NeverAbove,
                Bar::Packets(64),
                Bar::MedianPackets(50),
                Bar::Bytes,
            ],
        });
    }
    Ok(cases)
}

/// 1000 forged PTBs per second, absurd ones and plausible ones.
fn forged(effort: Effort) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        for quote in ["guessed", "seen"] {
            let weather = Weather { forged: Some(quote), ..FAR };
            cases.push(Case {
                name: format!("black hole, 1000 forged PTBs/s, quote {quote}"),
                family,
                layouts: vec![Layout::seeded(family, &[1500, 1500, ODD], &[2], weather)?],
                rtt_ms: FAR_MS,
                // Who sees a packet and can answer it is as good as a router; the number stays.
                verdict: (quote == "guessed").then_some("black_hole"),
                runs: effort.pick(11, 3),
                quick_peers: Vec::new(),
                slow_peers: peers(family, &Tool::PEERS, effort.pick(usize::from(quote == "seen"), 0)),
                bars: vec![Bar::Exact, Bar::Packets(64)],
            });
        }
    }
    Ok(cases)
}

fn peers(family: Family, tools: &[Tool], runs: usize) -> Vec<(Tool, usize)> {
    // The script of nmap knows IPv4 alone.
    let can = |tool: &&Tool| family == Family::Ipv4 || **tool != Tool::Nmap;
    tools.iter().filter(can).map(|tool| (*tool, runs)).filter(|(_, runs)| *runs > 0).collect()
}
