//! An agent that tunes, on a host where `ip` does what a dockerd would do, step by step.

#[path = "netns_tuner/answers.rs"]
mod answers;
#[path = "netns_tuner/apply.rs"]
mod apply;
#[path = "netns_tuner/permission.rs"]
mod permission;
#[path = "netns_tuner/pods.rs"]
mod pods;
#[path = "netns_tuner/record.rs"]
mod record;
#[path = "netns_tuner/uplinks.rs"]
mod uplinks;

use anyhow::{Context as _, Result};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{NetnsLab, Place};
use serde_json::Value;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const UPLINK: u32 = 1400;
const DOCKER: u32 = 1500;
/// Ends of pairs as docker names them: the one that stays, and the one that moves.
const STAYS: &str = "veth0a1b2c3";
const MOVES: &str = "veth3c2b1a0";

/// A log that tells what an agent's tuning hears.
const DEBUG: &str = "info,mtu_agent::agent::tuner=debug";

/// A docker host with an uplink of 1400, and one bridge of docker's.
fn lab() -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        "link add eth0 mtu 1400 type veth peer name wire
         link set wire up
         link set eth0 up
         addr add 192.0.2.2/24 dev eth0
         route add default via 192.0.2.1
         link add docker0 type bridge
         addr add 172.17.0.1/16 dev docker0
         link set docker0 up",
    )?;
    Ok(lab)
}

fn agent(tune: &str) -> AgentSpec {
    AgentSpec::new(MTU_AGENT).args(&["--tune", tune, "--all-docker"])
}

/// Starts one that answers in so many namespaces.
fn tuning(lab: &NetnsLab, namespaces: u32) -> Result<Agent<'_>> {
    let agent = agent("links").start(lab)?;
    agent.until_sample("mtu_agent_tuned_namespaces", namespaces.into())?;
    Ok(agent)
}

/// A pair as docker makes it first: both ends in one namespace.
fn pair(lab: &NetnsLab, place: Place<'_>, stays: &str, moves: &str) -> Result<()> {
    lab.check_in(place, &["ip", "link", "add", stays, "type", "veth", "peer", "name", moves]).map(drop)
}

/// What docker does next: a container behind the pair, in the namespace `name`.
fn container(lab: &NetnsLab, name: &str, host: u8, stays: &str, moves: &str) -> Result<()> {
    lab.netns(name)?;
    lab.ip_batch(
        Place::Node,
        &format!(
            "link set {stays} master docker0
             link set {stays} up
             link set {moves} netns {name} name eth0"
        ),
    )?;
    lab.ip_batch(
        Place::Netns(name),
        &format!(
            "link set eth0 up
             addr add 172.17.0.{host}/16 dev eth0
             route add default via 172.17.0.1"
        ),
    )
}

/// Waits until a link has an MTU.
fn until_mtu(agent: &Agent<'_>, lab: &NetnsLab, place: Place<'_>, link: &str, mtu: u32) -> Result<()> {
    agent.until(&format!("{link} at {mtu}"), |_| Ok((lab.link_mtu(place, link)? == mtu).then_some(())))
}

/// Waits until all that was told in a namespace before was answered: links are told in order.
fn until_answered(agent: &Agent<'_>, lab: &NetnsLab, place: Place<'_>) -> Result<()> {
    pair(lab, place, "vethfffffff", "vetheeeeeee")?;
    for end in ["vethfffffff", "vetheeeeeee"] {
        until_mtu(agent, lab, place, end, UPLINK)?;
    }
    lab.check_in(place, &["ip", "link", "delete", "vethfffffff"]).map(drop)
}

fn revert(lab: &NetnsLab) -> Result<String> {
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--revert"])
}

fn recorded(lab: &NetnsLab) -> Result<Value> {
    let path = lab.path("/run/mtu-agent/tune.json");
    serde_json::from_slice(&std::fs::read(path)?).context("parse the record")
}

fn is_clamped(lab: &NetnsLab, place: Place<'_>) -> Result<bool> {
    Ok(lab.check_in(place, &["nft", "list", "ruleset"])?.contains("table inet mtu_agent {"))
}
