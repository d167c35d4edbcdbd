//! From the end of a storm of links until the survey is what a new process finds out.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{DockerLab, Dockerd, Place, Signal};

use super::table::{Table, spread};
use super::{MTU_AGENT, now};

const MILLISECONDS: f64 = 1000.0;
const PAIRS: usize = 2000;

/// How a storm comes.
#[derive(Clone, Copy, Debug)]
enum Storm {
    /// Deleted by the hundred: each deletion waits until no processor looks at the link any more.
    InGusts,
    /// All of them are there before the first is deleted.
    AtOnce,
    /// While the agent is stopped, so that the kernel drops events.
    Unheard,
}

impl Storm {
    fn name(self) -> &'static str {
        match self {
            Self::InGusts => "in gusts",
            Self::AtOnce => "at once",
            Self::Unheard => "overrunning a stopped agent",
        }
    }

    fn pairs_at_once(self) -> usize {
        match self {
            Self::InGusts => 100,
            Self::AtOnce | Self::Unheard => PAIRS,
        }
    }
}

pub(super) fn measure(storms: usize, table: &mut Table) -> Result<()> {
    let lab = DockerLab::builder().level2(Dockerd::new()).build()?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_ready()?;
    for kind in [Storm::InGusts, Storm::AtOnce, Storm::Unheard] {
        let overruns = overruns(&agent)?;
        let times = (0..storms).map(|turn| one(&lab, &agent, kind, turn)).collect::<Result<Vec<_>>>()?;
        let [median, _, max] = spread(times);
        let what = format!("{storms} storms of {PAIRS} veths {}", kind.name());
        table.at_most(format!("{what}: true after, max"), max, MILLISECONDS, "ms");
        let overruns = self::overruns(&agent)? - overruns;
        table.shown("  median; overruns of the socket", format!("{median:.1} ms; {overruns}"));
    }
    Ok(())
}

/// From the end of the storm on.
fn one(lab: &DockerLab, agent: &Agent<'_>, kind: Storm, turn: usize) -> Result<Duration> {
    let place = if turn.is_multiple_of(2) { Place::Node } else { Place::Pod };
    // What it leaves, to see that its end was seen.
    let left = format!("left{turn}");
    let mut script = veths(PAIRS, kind.pairs_at_once())?;
    writeln!(script, "link add {left} type bridge")?;
    if matches!(kind, Storm::Unheard) {
        agent.process().signal(Signal::STOP)?;
    }
    lab.ip_batch(place, &script)?;
    let ended = now();
    agent.process().signal(Signal::CONT)?;
    agent.until_as_fresh(2)?;
    let took = ended.elapsed();
    ensure!(agent.survey()?.to_string().contains(&format!("\"{left}\"")), "{left} is not seen");
    lab.ip_batch(place, &format!("link delete {left}"))?;
    agent.until_as_fresh(2)?;
    Ok(took)
}

fn overruns(agent: &Agent<'_>) -> Result<f64> {
    agent.metrics()?.value("mtu_agent_netlink_overruns_total").context("a counter")
}

/// A script that makes and deletes so many pairs.
pub(super) fn veths(pairs: usize, at_once: usize) -> Result<String> {
    let mut script = String::new();
    for pair in 1..=pairs {
        writeln!(script, "link add v{pair} group 7 type veth peer name w{pair} group 7")?;
        if pair % at_once == 0 || pair == pairs {
            writeln!(script, "link delete group 7")?;
        }
    }
    Ok(script)
}
