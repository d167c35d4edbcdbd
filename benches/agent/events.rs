//! Months of events in minutes: nothing that is taken for one is kept.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec, PATIENCE};
use mtu_lab::docker::{DockerLab, Place};

use super::storm::veths;
use super::table::Table;
use super::usage::{Usage, mebibytes};
use super::{MTU_AGENT, now};

/// More may have been written to once than after a tenth of all events, but not for ever.
const GROWTH_MEBIBYTES: f64 = 1.0;
const PAIRS: usize = 500;

pub(super) fn measure(events: usize, table: &mut Table) -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_ready()?;
    let pid = agent.process().pid();
    until(&lab, &agent, events / 10)?;
    let before = Usage::of(pid)?;
    let heard_before = heard(&agent)?;
    until(&lab, &agent, events + events / 10)?;
    let after = Usage::of(pid)?;
    let count = heard(&agent)? - heard_before;

    let growth = mebibytes(after.anonymous_bytes) - mebibytes(before.anonymous_bytes);
    table.at_most(format!("{count} events of links: growth of memory"), growth, GROWTH_MEBIBYTES, "MiB");
    let resident = [before, after].map(|usage| mebibytes(usage.resident_bytes));
    table.shown("  RSS before, after", format!("{:.2}, {:.2} MiB", resident[0], resident[1]));
    let after = settled(&agent, &before, after)?;
    let (fds, threads) = ((before.open_files, after.open_files), (before.threads, after.threads));
    table.holds("  file descriptors before, after", format!("{}, {}", fds.0, fds.1), fds.1 <= fds.0);
    table.holds("  threads before, after", format!("{}, {}", threads.0, threads.1), threads.1 <= threads.0);
    Ok(())
}

/// What is used once what was only kept for a while is gone: a thread that looked waits for 10 s to look again.
fn settled(agent: &Agent<'_>, before: &Usage, mut after: Usage) -> Result<Usage> {
    let began = now();
    while (after.threads > before.threads || after.open_files > before.open_files)
        && began.elapsed() < PATIENCE
    {
        ensure!(!agent.process().exit().wait(Duration::from_millis(100))?, "the agent ended");
        after = Usage::of(agent.process().pid())?;
    }
    Ok(after)
}

/// Has links come and go, on the node and in its pod in turns, until the agent has heard so many events.
fn until(lab: &DockerLab, agent: &Agent<'_>, events: usize) -> Result<()> {
    for place in [Place::Node, Place::Pod].into_iter().cycle() {
        if heard(agent)? >= events {
            break;
        }
        lab.ip_batch(place, &veths(PAIRS, PAIRS / 5)?)?;
    }
    agent.until_as_fresh(2)
}

fn heard(agent: &Agent<'_>) -> Result<usize> {
    let heard = agent.metrics()?.value("mtu_agent_netlink_events_total").context("a counter")?;
    Ok(format!("{heard}").parse()?)
}
