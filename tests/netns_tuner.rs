//! An agent that tunes, on a host where `ip` does what a dockerd would do, step by step.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{NetnsLab, Place, Signal};
use serde_json::Value;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const UPLINK: u32 = 1400;
const DOCKER: u32 = 1500;
/// Ends of pairs as docker names them: the one that stays, and the one that moves.
const STAYS: &str = "veth0a1b2c3";
const MOVES: &str = "veth3c2b1a0";

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
fn tuning<'a>(lab: &'a NetnsLab, namespaces: u32) -> Result<Agent<'a>> {
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

fn record(lab: &NetnsLab) -> Result<Value> {
    let path = lab.path("/run/mtu-agent/tune.json");
    serde_json::from_slice(&std::fs::read(path)?).context("parse the record")
}

fn is_clamped(lab: &NetnsLab, place: Place<'_>) -> Result<bool> {
    Ok(lab.check_in(place, &["nft", "list", "ruleset"])?.contains("table inet mtu_agent {"))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn both_ends_of_a_fresh_pair_are_right_before_one_moves_and_its_bridge_follows() -> Result<()> {
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&agent, &lab, Place::Node, STAYS, UPLINK)?;
    until_mtu(&agent, &lab, Place::Node, MOVES, UPLINK)?;
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, DOCKER, "it has no ports, and carries nothing");
    container(&lab, "c1", 2, STAYS, MOVES)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, UPLINK);
    agent.until_sample("mtu_agent_tuned_namespaces", 2.0)?;
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)?;
    assert!(agent.metrics()?.is("mtu_agent_tune_writes_total{kind=\"link\",result=\"written\"}", 2.0));
    assert!(agent.metrics()?.is("mtu_agent_tune_answer_seconds_count", 2.0));
    let recorded = record(&lab)?;
    let names: Vec<_> =
        recorded["links"].as_array().context("links")?.iter().map(|link| &link["name"]).collect();
    assert_eq!(names, [MOVES, STAYS], "the bridge was not written: {recorded:#}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_bridge_that_somebody_set_by_hand_is_lowered_once_it_has_ports() -> Result<()> {
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    lab.set_link_mtu(Place::Node, "docker0", 1500)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&agent, &lab, Place::Node, STAYS, UPLINK)?;
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, DOCKER);
    lab.ip(&["link", "set", STAYS, "master", "docker0"])?;
    until_mtu(&agent, &lab, Place::Node, "docker0", UPLINK)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_was_there_before_the_agent_is_made_right_and_then_what_comes_deeper_inside() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let agent = tuning(&lab, 2)?;
    for (place, link) in [(Place::Node, STAYS), (Place::Node, "docker0"), (Place::Netns("c1"), "eth0")] {
        assert_eq!(lab.link_mtu(place, link)?, UPLINK, "{link}");
    }
    lab.ip_batch(
        Place::Netns("c1"),
        "link add br0 type bridge
         link set br0 mtu 1500
         link set br0 up
         addr add 10.9.0.1/24 dev br0
         link add inner0 type veth peer name inner1
         link set inner0 master br0
         link set inner0 up",
    )?;
    for link in ["inner0", "inner1", "br0"] {
        until_mtu(&agent, &lab, Place::Netns("c1"), link, UPLINK)?;
    }
    lab.netns("c2")?;
    lab.check_in(Place::Netns("c1"), &["ip", "link", "set", "inner1", "netns", "c2"])?;
    lab.ip_batch(
        Place::Netns("c2"),
        "link set inner1 up
         addr add 10.9.0.2/24 dev inner1
         route add default via 10.9.0.1",
    )?;
    agent.until_sample("mtu_agent_tuned_namespaces", 3.0)?;
    pair(&lab, Place::Netns("c2"), "left", "right")?;
    until_mtu(&agent, &lab, Place::Netns("c2"), "right", UPLINK)?;
    assert_eq!(lab.link_mtu(Place::Netns("c2"), "inner1")?, UPLINK);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nothing_is_written_that_docker_did_not_make() -> Result<()> {
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    lab.netns("other")?;
    lab.ip_batch(
        Place::Node,
        "link add br0 type bridge
         link add vnet0 type veth peer name eth0 netns other
         link set vnet0 master br0
         link add left type veth peer name right
         link set left master br0",
    )?;
    until_answered(&agent, &lab, Place::Node)?;
    for link in ["br0", "vnet0", "left", "right", "docker0"] {
        assert_eq!(lab.link_mtu(Place::Node, link)?, DOCKER, "{link}");
    }
    assert_eq!(lab.link_mtu(Place::Node, "eth0")?, UPLINK);
    assert_eq!(lab.link_mtu(Place::Node, "lo")?, 65_536);
    assert_eq!(lab.link_mtu(Place::Netns("other"), "eth0")?, DOCKER);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_that_somebody_sets_back_again_and_again_is_left_alone_in_the_end() -> Result<()> {
    let lab = lab()?;
    let mut agent = tuning(&lab, 1)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    for _ in 0..8 {
        until_mtu(&agent, &lab, Place::Node, STAYS, UPLINK)?;
        lab.set_link_mtu(Place::Node, STAYS, 1500)?;
    }
    let told = agent.told("a link is set back again and again; it is left alone")?;
    assert_eq!(told["link"], STAYS);
    until_answered(&agent, &lab, Place::Node)?;
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER);
    let contested = "mtu_agent_tune_writes_total{kind=\"link\",result=\"contested\"}";
    assert!(agent.metrics()?.is(contested, 1.0));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn after_a_burst_that_it_could_not_hear_everything_is_right() -> Result<()> {
    const PAIRS: u32 = 1500;
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    agent.process().signal(Signal::STOP)?;
    let mut burst = String::new();
    for pair in 0..PAIRS {
        writeln!(burst, "link add veth{pair:07x} type veth peer name vethf{pair:06x}")?;
    }
    for pair in 2..PAIRS {
        writeln!(burst, "link delete veth{pair:07x}")?;
    }
    lab.ip_batch(Place::Node, &burst)?;
    agent.process().signal(Signal::CONT)?;
    for pair in 0..2 {
        until_mtu(&agent, &lab, Place::Node, &format!("veth{pair:07x}"), UPLINK)?;
        until_mtu(&agent, &lab, Place::Node, &format!("vethf{pair:06x}"), UPLINK)?;
    }
    until_answered(&agent, &lab, Place::Node)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_a_killed_agent_wrote_is_taken_back_where_it_has_moved_to() -> Result<()> {
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&agent, &lab, Place::Node, STAYS, UPLINK)?;
    until_mtu(&agent, &lab, Place::Node, MOVES, UPLINK)?;
    agent.process().signal(Signal::KILL)?;
    agent.process().wait()?;
    // It has another index there, and another name.
    lab.netns("c1")?;
    lab.ip_batch(
        Place::Netns("c1"),
        &(0..8).fold(String::new(), |all, it| all + &format!("link add d{it} type bridge\n")),
    )?;
    container_in(&lab, "c1")?;
    let recorded = record(&lab)?;
    let moved = recorded["links"].as_array().context("links")?.iter().find(|it| it["name"] == MOVES);
    let index = ifindex(&lab, Place::Netns("c1"), "eth0")?;
    ensure!(
        moved.context("it is recorded")?["ifindex"] != index,
        "the test wants another index than {index}"
    );

    let said = revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER, "{said}");
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER, "{said}");
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, DOCKER, "{said}");
    assert!(!is_clamped(&lab, Place::Node)? && record(&lab).is_err());
    Ok(())
}

fn container_in(lab: &NetnsLab, name: &str) -> Result<()> {
    lab.ip_batch(
        Place::Node,
        &format!("link set {STAYS} master docker0\nlink set {MOVES} netns {name} name eth0"),
    )
}

fn ifindex(lab: &NetnsLab, place: Place<'_>, link: &str) -> Result<Value> {
    let links: Value =
        serde_json::from_str(&lab.check_in(place, &["ip", "-j", "link", "show", "dev", link])?)?;
    Ok(links[0]["ifindex"].clone())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn an_agent_that_starts_again_finishes_what_was_begun_and_remembers_what_was_there_first() -> Result<()> {
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&agent, &lab, Place::Node, STAYS, UPLINK)?;
    until_mtu(&agent, &lab, Place::Node, MOVES, UPLINK)?;
    agent.process().signal(Signal::KILL)?;
    agent.process().wait()?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    lab.set_link_mtu(Place::Node, STAYS, 1500)?;
    lab.set_link_mtu(Place::Netns("c1"), "eth0", 1500)?;
    let agent = tuning(&lab, 2)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    agent.stop()?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK, "what is tuned stays");
    assert!(is_clamped(&lab, Place::Node)?);
    revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn beside_an_agent_that_tunes_nothing_is_taken_back_by_hand() -> Result<()> {
    let lab = lab()?;
    let _agent = tuning(&lab, 1)?;
    let refused = lab.run(Place::Node, &[MTU_AGENT, "tune", "--revert"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("an agent is tuning this host"), "{said}");
    assert!(is_clamped(&lab, Place::Node)?);
    let planned = lab.run(Place::Node, &[MTU_AGENT, "tune", "--all-docker", "--apply"])?;
    assert_eq!(planned.status.code(), Some(0), "{planned:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_two_agents_the_second_waits_for_the_end_of_the_first() -> Result<()> {
    let lab = lab()?;
    let first = tuning(&lab, 1)?;
    let mut second = agent("links").start(&lab)?;
    second.told("another agent tunes this host: nothing is tuned before it ends")?;
    first.stop()?;
    second.until_sample("mtu_agent_tuned_namespaces", 1.0)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&second, &lab, Place::Node, STAYS, UPLINK)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_clamp_is_back_whenever_somebody_flushes_it_until_that_is_a_strife() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent("clamp").start(&lab)?;
    agent.until("clamped", |_| Ok(is_clamped(&lab, Place::Node)?.then_some(())))?;
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)?;
    for times in 1..8 {
        lab.nft(Place::Node, "flush ruleset")?;
        agent.until(&format!("clamped again: {times}"), |_| {
            Ok(is_clamped(&lab, Place::Node)?.then_some(()))
        })?;
    }
    lab.nft(Place::Node, "flush ruleset")?;
    agent.told("the clamp is removed again and again; it is left alone for a while")?;
    assert!(!is_clamped(&lab, Place::Node)?);
    let contested = "mtu_agent_tune_writes_total{kind=\"clamp\",result=\"contested\"}";
    assert!(agent.metrics()?.is(contested, 1.0));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_the_clamp_alone_no_link_is_touched_and_what_would_be_is_told() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let agent = agent("clamp").start(&lab)?;
    agent.until_sample("mtu_agent_tune_changes_pending", 3.0)?;
    assert!(is_clamped(&lab, Place::Node)? && !is_clamped(&lab, Place::Netns("c1"))?);
    for (place, link) in [(Place::Node, STAYS), (Place::Node, "docker0"), (Place::Netns("c1"), "eth0")] {
        assert_eq!(lab.link_mtu(place, link)?, DOCKER, "{link}");
    }
    assert!(agent.metrics()?.is("mtu_agent_tuned_namespaces", 0.0));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_both_permissions_nothing_is_written() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    for (arguments, pending) in [
        (&["--all-docker"][..], 4.0),
        (&["--tune", "observe", "--all-docker"], 4.0),
        (&["--tune", "links"], 0.0),
    ] {
        let agent = AgentSpec::new(MTU_AGENT).args(arguments).start(&lab)?;
        agent.until_sample("mtu_agent_tune_changes_pending", pending)?;
        agent.stop()?;
        assert!(!is_clamped(&lab, Place::Node)? && record(&lab).is_err(), "{arguments:?}");
        for (place, link) in [(Place::Node, STAYS), (Place::Node, "docker0"), (Place::Netns("c1"), "eth0")] {
            assert_eq!(lab.link_mtu(place, link)?, DOCKER, "{arguments:?}: {link}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_capability_that_is_missing_is_named_at_start_and_the_survey_goes_on() -> Result<()> {
    let lab = lab()?;
    for dropped in ["sys_admin", "net_admin", "sys_ptrace"] {
        let agent = agent("links").through(&["setpriv", "--bounding-set", &format!("-{dropped}")]);
        let mut agent = agent.start(&lab)?;
        let told = agent.told("nothing is tuned, for capabilities are missing; what would be is told")?;
        let missing = told["missing"].as_str().context("text")?;
        assert!(missing.contains(&format!("CAP_{}", dropped.to_uppercase())), "{missing}");
        agent.until_ready()?;
        agent.until("told what would be", |agent| {
            Ok(agent.metrics()?.value("mtu_agent_tune_changes_pending"))
        })?;
        agent.stop()?;
        assert!(!is_clamped(&lab, Place::Node)?);
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_host_that_runs_pods_is_not_tuned_as_a_whole() -> Result<()> {
    let lab = lab()?;
    lab.netns("pod")?;
    lab.ip(&["link", "add", "cali0a1b2c3d4e5", "type", "veth", "peer", "name", "eth0", "netns", "pod"])?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let mut agent = agent("links").start(&lab)?;
    let told = agent.told("not tuned")?;
    let why = told["why"].as_str().context("text")?;
    assert!(why.contains("this host runs pods (cali0a1b2c3d4e5)"), "{why}");
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);
    assert!(!is_clamped(&lab, Place::Node)?);
    Ok(())
}
