//! The agent on a node to which real dockerds and containers come while it runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level};
use serde_json::Value;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const TIMES: usize = 10;
/// What a container with a wrong MTU on docker's own network adds: its end of the veth, and the outer one.
const OF_A_CONTAINER: usize = 2;
/// Docker's bridge, once it has a container.
const BRIDGE: usize = 1;

fn agent() -> AgentSpec {
    AgentSpec::new(MTU_AGENT)
}

/// A node with a pod, and no dockerd yet.
fn lab() -> Result<DockerLab> {
    DockerLab::builder().level2(None).build()
}

fn build(lab: &DockerLab) -> Result<Container> {
    lab.start_container(Level::Two, &Container::on_network("bridge").name("build"))
}

/// All three are there, anybody may read them, and they say the same: soon after the pages do.
fn until_host_files_tell(agent: &Agent<'_>, mtu: u32, mismatches: usize) -> Result<()> {
    agent.until(&format!("host files with {mtu} and {mismatches} mismatches"), |agent| {
        let [number, daemon, survey] =
            ["dind-mtu", "daemon.json", "survey.json"].map(|name| agent.file(name));
        if !number.exists() {
            return Ok(None); // the last of the three
        }
        let [daemon, survey] = [daemon, survey]
            .map(|file| serde_json::from_slice::<Value>(&fs::read(file)?).map_err(anyhow::Error::from));
        let (daemon, survey) = (daemon?, survey?);
        let all_tell = fs::read_to_string(number)? == format!("{mtu}\n")
            && daemon["mtu"] == mtu
            && survey["safe_dind_mtu"]["value"] == mtu
            && survey["mismatches"].as_array().map(Vec::len) == Some(mismatches);
        Ok(all_tell.then_some(()))
    })?;
    for name in ["dind-mtu", "daemon.json", "survey.json"] {
        let mode = fs::metadata(agent.file(name))?.permissions().mode();
        ensure!(mode & 0o7777 == 0o644, "{name} has mode {mode:o}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn each_container_that_comes_is_told_and_no_more_once_it_is_gone() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent().start(&lab)?;
    agent.until_mismatched(0)?;
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    for _ in 0..TIMES {
        let container = build(&lab)?;
        let survey = agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
        assert!(survey["mismatches"].as_array().context("a list")?.iter().all(|it| it["should_be"] == 1450));
        until_host_files_tell(&agent, 1450, BRIDGE + OF_A_CONTAINER)?;
        drop(container);
        agent.until_mismatched(0)?;
        until_host_files_tell(&agent, 1450, 0)?;
    }
    agent.until_as_fresh(2)?;
    let metrics = agent.metrics()?;
    assert_eq!(metrics.value("mtu_agent_netlink_overruns_total"), Some(0.0));
    assert_eq!(metrics.value("mtu_agent_survey_errors_total"), Some(0.0));
    let complaints: Vec<_> = agent.log()?.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_dockerd_three_levels_deep_is_followed_as_it_starts_and_as_it_stops() -> Result<()> {
    let lab = lab()?;
    let agent = agent().start(&lab)?;
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    lab.start_dockerd(Level::Three, &Dockerd::new())?;
    agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
    let deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    let survey = agent.until_mismatched(2 * (BRIDGE + OF_A_CONTAINER))?;
    let deepest = survey["mismatches"].as_array().context("a list")?.iter().filter(|it| it["level"] == 3);
    assert_eq!(deepest.count(), 1, "{survey:#}");
    agent.until_as_fresh(4)?;
    drop(deep);
    agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
    lab.stop_dockerd(Level::Three)?;
    agent.until_mismatched(0)?;
    lab.stop_dockerd(Level::Two)?;
    agent.until_as_fresh(2)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn networks_and_daemons_that_were_told_stay_quiet_and_one_that_was_not_does_not() -> Result<()> {
    let lab = lab()?;
    let agent = agent().start(&lab)?;
    lab.start_dockerd(Level::Two, &Dockerd::new().mtu(1450))?;
    let _told = build(&lab)?;
    lab.create_network(Level::Two, "compose", None)?;
    agent.until_as_fresh(3)?;
    agent.until_mismatched(0)?;
    let service = lab.start_container(Level::Two, &Container::on_network("compose").name("service"))?;
    agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
    drop(service);
    agent.until_mismatched(0)?;
    Ok(())
}

/// Without privileges over other namespaces, as in a pod of its own.
fn with_capabilities(capabilities: &str) -> AgentSpec {
    let set = format!("-all,{capabilities}");
    agent().through(&["setpriv", "--bounding-set", &set, "--inh-caps", "-all", "--no-new-privs"])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn net_admin_net_raw_and_net_broadcast_are_enough_to_follow_containers() -> Result<()> {
    let lab = lab()?;
    let agent = with_capabilities("+net_admin,+net_raw,+net_broadcast").start(&lab)?;
    let survey = agent.until_mismatched(0)?;
    let held = serde_json::json!(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BROADCAST"]);
    assert_eq!(survey["host"]["privileges"], held);
    assert!(needs(&survey).all(|needs| !needs.contains("CAP_NET_")), "{survey:#}");
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    for _ in 0..TIMES {
        let container = build(&lab)?;
        agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
        drop(container);
        agent.until_mismatched(0)?;
    }
    until_host_files_tell(&agent, 1450, 0)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_net_broadcast_it_says_so_and_finds_containers_by_walking() -> Result<()> {
    let lab = lab()?;
    let walking = ["--resync-interval", "1s"];
    let agent = with_capabilities("+net_admin,+net_raw").args(&walking).start(&lab)?;
    let survey = agent.until_mismatched(0)?;
    assert!(needs(&survey).any(|needs| needs == "CAP_NET_BROADCAST"), "{survey:#}");
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    let container = build(&lab)?;
    agent.until_mismatched(BRIDGE + OF_A_CONTAINER)?;
    drop(container);
    agent.until_mismatched(0)?;
    Ok(())
}

fn needs(survey: &Value) -> impl Iterator<Item = &str> {
    survey["unseen"].as_array().into_iter().flatten().filter_map(|unseen| unseen["needs"].as_str())
}
