//! What it costs to be ready while nothing happens.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::site::Site;
use super::table::Table;
use super::usage::Usage;

/// The clock of a process is its time on a processor: asleep, it has none.
const MILLISECONDS: f64 = 0.0;

pub(super) fn measure(site: &Site, idle: Duration, table: &mut Table) -> Result<()> {
    let spec = site.spec("links")?.args(&["--resync-interval", "1h"]);
    let agent = spec.start(&site.lab)?;
    site.until_answering(&agent)?;
    // What its last requests were answered with.
    ensure!(!agent.process().exit().wait(Duration::from_secs(5))?, "the agent ended");
    let before = Usage::of(agent.process().pid())?;
    ensure!(!agent.process().exit().wait(idle)?, "the agent ended");
    let after = Usage::of(agent.process().pid())?;
    let used = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0;
    table.at_most(format!("  CPU in {} s of nothing", idle.as_secs()), used, MILLISECONDS, "ms");
    Ok(())
}
