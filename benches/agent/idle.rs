//! What it costs to have an agent on a node with a hundred pods while nothing happens, beside what Debian's node
//! exporter costs there. Both are scraped as Prometheus does.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{AgentSpec, PATIENCE, page};
use mtu_lab::docker::{NetnsLab, Place, Process};

use super::table::Table;
use super::usage::{Usage, mebibytes};
use super::{MTU_AGENT, now};

pub(super) const PODS: usize = 100;
const SCRAPE_INTERVAL: Duration = Duration::from_secs(5);
const MEBIBYTES: f64 = 20.0;
const PERCENT_OF_A_CORE: f64 = 0.1;
/// What the agent does of its own accord, every so often, unless it is told otherwise.
const RESYNC_INTERVAL: Duration = Duration::from_mins(5);
const EXPORTER: &str = "127.0.0.1:9100";

pub(super) fn measure(idle: Duration, table: &mut Table) -> Result<()> {
    let lab = node_with_pods()?;
    let of_a_look = cost_of_a_look(&lab)?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_ready()?;
    let exporter = start_exporter(&lab)?;
    let addresses: [(u32, SocketAddr); 2] =
        [(agent.process().pid(), agent.address()), (exporter.pid(), EXPORTER.parse()?)];
    // A first one, so that what is made once is made.
    scrape(&lab, &addresses)?;
    let (began, before) = (now(), usages(&addresses)?);
    while began.elapsed() < idle {
        ensure!(!exporter.exit().wait(SCRAPE_INTERVAL)?, "the node exporter ended");
        scrape(&lab, &addresses)?;
    }
    let (took, after) = (began.elapsed(), usages(&addresses)?);
    let percent = |which: usize| {
        after[which].cpu.saturating_sub(before[which].cpu).as_secs_f64() / took.as_secs_f64() * 100.0
    };
    let resync = of_a_look.as_secs_f64() / RESYNC_INTERVAL.as_secs_f64() * 100.0;
    let seconds = idle.as_secs();
    table.at_most(
        format!("{PODS} pods, idle for {seconds} s: RSS"),
        mebibytes(after[0].resident_bytes),
        MEBIBYTES,
        "MiB",
    );
    table.shown(
        "  of it written by the process itself",
        format!("{:.2} MiB", mebibytes(after[0].anonymous_bytes)),
    );
    table.shown("  node exporter: RSS", format!("{:.2} MiB", mebibytes(after[1].resident_bytes)));
    table.at_most(
        "  of one core, scraped every 5 s, resynced every 5 min",
        percent(0) + resync,
        PERCENT_OF_A_CORE,
        "%",
    );
    table.shown("  one resync", format!("{:.1} ms of a core", of_a_look.as_secs_f64() * 1000.0));
    table.shown("  node exporter: of one core", format!("{:.3} %", percent(1)));
    Ok(())
}

fn node_with_pods() -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        "link add eth0 mtu 1450 type veth peer name wire
         link set eth0 up
         link set wire up
         addr add 192.0.2.2/24 dev eth0
         route add default via 192.0.2.1",
    )?;
    add_pods(&lab, PODS)?;
    Ok(lab)
}

/// Each in a namespace of its own, with a veth to the node and a default route.
pub(super) fn add_pods(lab: &NetnsLab, pods: usize) -> Result<()> {
    let mut script = String::new();
    for pod in 0..pods {
        writeln!(script, "netns add pod{pod}")?;
        writeln!(script, "link add veth{pod} mtu 1450 type veth peer name eth0 mtu 1450 netns pod{pod}")?;
        writeln!(script, "link set veth{pod} up")?;
    }
    lab.ip_batch(Place::Node, &script)?;
    for pod in 0..pods {
        let inside = "link set lo up\nlink set eth0 up\nroute add default dev eth0\n";
        lab.ip_batch(Place::Netns(&format!("pod{pod}")), inside)?;
    }
    Ok(())
}

/// Of an agent that looks every second and is not asked anything.
fn cost_of_a_look(lab: &NetnsLab) -> Result<Duration> {
    const LOOKS: u32 = 5;
    let agent = AgentSpec::new(MTU_AGENT).args(&["--resync-interval", "1s"]).start(lab)?;
    agent.until_ready()?;
    // Of any reason: the first seconds of a namespace are not silent, if it has IPv6.
    let surveys = || agent.metrics()?.sum("mtu_agent_surveys_total").context("a counter");
    let (looks, before) = (surveys()?, Usage::of(agent.process().pid())?);
    ensure!(!agent.process().exit().wait(Duration::from_secs(LOOKS.into()))?, "the agent ended");
    let after = Usage::of(agent.process().pid())?;
    let looks = surveys()? - looks;
    ensure!(looks >= 1.0, "it does not look every second");
    Ok(after.cpu.saturating_sub(before.cpu).div_f64(looks))
}

fn start_exporter(lab: &NetnsLab) -> Result<Process> {
    let listen = format!("--web.listen-address={EXPORTER}");
    let mut command = NetnsLab::command(&["prometheus-node-exporter", &listen]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let exporter = lab.spawn(Place::Node, &mut command);
    let exporter =
        exporter.context("start Debian's node exporter: `apt-get install prometheus-node-exporter`")?;
    let (began, address) = (now(), EXPORTER.parse()?);
    while lab.enter(Place::Node, || page(address, "/metrics"))?.is_err() {
        ensure!(!exporter.exit().wait(Duration::from_millis(10))?, "the node exporter ended");
        ensure!(began.elapsed() < PATIENCE, "the node exporter does not answer");
    }
    Ok(exporter)
}

fn scrape(lab: &NetnsLab, addresses: &[(u32, SocketAddr)]) -> Result<()> {
    for (_, address) in addresses {
        let (ok, body) = lab.enter(Place::Node, || page(*address, "/metrics"))??;
        ensure!(ok && body.contains("process_"), "{address} does not tell metrics: {body}");
    }
    Ok(())
}

fn usages(addresses: &[(u32, SocketAddr)]) -> Result<Vec<Usage>> {
    addresses.iter().map(|(pid, _)| Usage::of(*pid)).collect()
}
