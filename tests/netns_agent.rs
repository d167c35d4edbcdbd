//! The agent on a node whose links, paths and configuration change while it runs.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mtu_lab::agent::{Agent, AgentSpec, Samples, undated};
use mtu_lab::docker::{DockerLab, NetnsLab, Place, SERVER, Signal};
use serde_json::Value;

#[path = "netns_agent/configuration.rs"]
mod configuration;
#[path = "netns_agent/paths.rs"]
mod paths;
#[path = "netns_agent/stops.rs"]
mod stops;
#[path = "netns_agent/storms.rs"]
mod storms;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
/// `mtu_agent_published_dind_mtu_bytes`, and what it is drawn from.
const PUBLISHED: &str = "mtu_agent_published_dind_mtu_bytes";
const SAFE: &str = "mtu_agent_safe_dind_mtu_bytes{family=\"ipv4\"}";
const TAKEN: &str = "mtu_agent_config_last_reload_successful";

fn agent() -> AgentSpec {
    AgentSpec::new(MTU_AGENT)
}

/// `server ── router ── node`, the last link of 1460, and no dockerd.
fn lab() -> Result<DockerLab> {
    DockerLab::vm().level1(None).build()
}

fn until_it_equals_a_fresh_survey(lab: &NetnsLab, agent: &Agent<'_>) -> Result<()> {
    let output = lab.run(Place::Node, &[MTU_AGENT, "survey", "--no-probe", "--output", "json"])?;
    let fresh: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    let fresh = undated(fresh);
    agent
        .until("the survey equals a fresh one", |agent| Ok((undated(agent.survey()?) == fresh).then_some(())))
}

fn published(agent: &Agent<'_>) -> Result<String> {
    Ok(fs::read_to_string(agent.file("dind-mtu"))?)
}
