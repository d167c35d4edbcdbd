//! What it costs to be ready while nothing happens.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::site::Site;
use super::table::Table;
use super::usage::Usage;

/// The thread that answers, by its name: asleep, it has no time on a processor.
const ANSWERING: &str = "tuner";
/// For two forward delays a bridge tells more of a port that was new, and all those who hear of links hear that.
const SETTLING: Duration = Duration::from_secs(35);
/// Of one core, as the agent promises without tuning.
const PERCENT: f64 = 0.1;

pub(super) fn measure(site: &Site, idle: Duration, table: &mut Table) -> Result<()> {
    let agent = site.start("links")?;
    let pid = agent.process().pid();
    // What the kernel told, and what was concluded of it or of a schedule.
    let heard = || {
        let metrics = agent.metrics()?;
        let counters =
            ["mtu_agent_netlink_events_total", "mtu_agent_surveys_total"].map(|it| metrics.sum(it));
        counters.into_iter().sum::<Option<f64>>().context("counters")
    };
    ensure!(!agent.process().exit().wait(SETTLING)?, "the agent ended");
    let mut windows = 0;
    let (before, after) = loop {
        let (events, before) = (heard()?, (Usage::of(pid)?, nanoseconds(pid, ANSWERING)?));
        ensure!(!agent.process().exit().wait(idle)?, "the agent ended");
        let after = (Usage::of(pid)?, nanoseconds(pid, ANSWERING)?);
        let events = heard()? - events;
        if events == 0.0 {
            break (before, after);
        }
        windows += 1;
        ensure!(windows < 5, "{events} events and surveys in {idle:?} of what should be nothing");
    };
    let seconds = idle.as_secs_f64();
    let answering = Duration::from_nanos(after.1 - before.1).as_secs_f64() * 1000.0;
    table.at_most(format!("{seconds:.0} s of nothing: CPU of the thread that answers"), answering, 0.0, "ms");
    let all = after.0.cpu.saturating_sub(before.0.cpu).as_secs_f64();
    table.at_most("  of all of the agent, of one core", all / seconds * 100.0, PERCENT, "%");
    Ok(())
}

/// What a thread has had of a processor.
fn nanoseconds(pid: u32, name: &str) -> Result<u64> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == name {
            let said = fs::read_to_string(task.join("schedstat")).context("read its time on a processor")?;
            let number = said.split_whitespace().next().context("a number")?;
            return number.parse().with_context(|| format!("parse {said:?}"));
        }
    }
    anyhow::bail!("the agent has no thread {name}")
}
