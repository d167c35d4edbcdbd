//! From the end of a storm of links until the survey is what a new process finds out.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use mtu_lab::agent::AgentSpec;
use mtu_lab::docker::{DockerLab, Dockerd, Level, NetnsLab, Place};

use super::table::{Table, spread};
use super::{MTU_AGENT, now};

const MILLISECONDS: f64 = 1000.0;
const PAIRS: usize = 2000;
/// Deleted at once, because each deletion waits until no processor looks at the link any more.
const AT_ONCE: usize = 100;

pub(super) fn measure(storms: usize, table: &mut Table) -> Result<()> {
    let lab = DockerLab::builder().level2(Dockerd::new()).build()?;
    lab.create_network(Level::Two, "compose", None)?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_ready()?;
    let mut times: Vec<Duration> = Vec::new();
    for storm in 0..storms {
        let (place, name) = if storm % 2 == 0 { (Place::Node, "node") } else { (Place::Pod, "pod") };
        // What it leaves: a link with a wrong MTU, the next time with a right one.
        let mtu = if storm % 4 < 2 { 1500 } else { 1400 };
        let mut script = veths(PAIRS)?;
        writeln!(script, "link add s{storm} mtu {mtu} type bridge")?;
        lab.ip_batch(place, &script)?;
        let ended = now();
        agent.until_as_fresh(2)?;
        times.push(ended.elapsed());
        let survey = agent.survey()?.to_string();
        anyhow::ensure!(survey.contains(&format!("\"s{storm}\"")), "the storm in {name} left a bridge");
    }
    let [median, _, max] = spread(times);
    let overruns = agent.metrics()?.value("mtu_agent_netlink_overruns_total").unwrap_or_default();
    table.at_most(
        format!("{storms} storms of {PAIRS} veths: end to a true survey, max"),
        max,
        MILLISECONDS,
        "ms",
    );
    table.shown("  median; overruns of the socket", format!("{median:.1} ms; {overruns}"));
    Ok(())
}

/// A script that makes and deletes so many pairs.
pub(super) fn veths(pairs: usize) -> Result<String> {
    let mut script = String::new();
    for pair in 1..=pairs {
        writeln!(script, "link add v{pair} group 7 type veth peer name w{pair} group 7")?;
        if pair % AT_ONCE == 0 || pair == pairs {
            writeln!(script, "link delete group 7")?;
        }
    }
    Ok(script)
}

/// Has them come and go in `place`.
pub(super) fn come_and_go(lab: &NetnsLab, place: Place<'_>, pairs: usize) -> Result<()> {
    lab.ip_batch(place, &veths(pairs)?)
}
