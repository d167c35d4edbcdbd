//! The agent on a node whose links, paths and configuration change while it runs.

use std::fs;

use anyhow::Result;
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::DockerLab;

#[path = "netns_agent/configuration.rs"]
mod configuration;
#[path = "netns_agent/paths.rs"]
mod paths;
#[path = "netns_agent/stops.rs"]
mod stops;
#[path = "netns_agent/storms.rs"]
mod storms;
#[path = "netns_agent/wall_clock.rs"]
mod wall_clock;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
/// The value that is told to dockerds.
const PUBLISHED: &str = "mtu_agent_published_dind_mtu_bytes";

fn agent() -> AgentSpec {
    AgentSpec::new(MTU_AGENT)
}

/// `server ── router ── node`, the last link of 1460, and no dockerd.
fn lab() -> Result<DockerLab> {
    DockerLab::vm().level1(None).build()
}

/// Waits until the host file tells this, which it does soon after the page.
fn until_published(agent: &Agent<'_>, mtu: u32) -> Result<()> {
    let file = agent.file("dind-mtu");
    agent.until(&format!("a host file with {mtu}"), |_| {
        Ok((file.exists() && fs::read_to_string(&file)? == format!("{mtu}\n")).then_some(()))
    })
}
