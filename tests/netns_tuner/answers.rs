//! What a dockerd makes, answered before it is used.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;

use anyhow::{Context as _, Result};
use mtu_lab::docker::{NetnsLab, Place, Process, Signal};

use crate::*;

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
    agent.until_sample("mtu_agent_tune_writes_total{kind=\"link\",result=\"written\"}", 2.0)?;
    assert!(agent.metrics()?.is("mtu_agent_tune_answer_seconds_count", 2.0));
    let record = recorded(&lab)?;
    let links = record["links"].as_array().context("links")?;
    let names: BTreeSet<_> = links.iter().filter_map(|link| link["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from([MOVES, STAYS]), "the bridge was not written: {record:#}");
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
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let mut agent = tuning(&lab, 2)?;
    let contested = "mtu_agent_tune_writes_total{kind=\"link\",result=\"contested\"}";
    let is_contested = |agent: &Agent<'_>| anyhow::Ok(agent.metrics()?.is(contested, 1.0));
    let mut times = 0;
    while !is_contested(&agent)? {
        lab.set_link_mtu(Place::Node, STAYS, 1500)?;
        agent.until("an answer or none any more", |agent| {
            Ok((lab.link_mtu(Place::Node, STAYS)? == UPLINK || is_contested(agent)?).then_some(()))
        })?;
        times += 1;
    }
    assert!((8..=20).contains(&times), "it was set back {times} times");
    let told = agent.told("a link is set back again and again; it is left alone for a while")?;
    assert_eq!(told["link"], STAYS);
    // A survey finds it wrong, and nothing is done about it.
    agent.until_sample("mtu_agent_tune_changes_pending", 1.0)?;
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_somebody_lowers_while_it_is_about_to_be_written_stays_as_low_and_is_not_taken_back() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent("links").args(&["--log", DEBUG]).start(&lab)?;
    agent.until_sample("mtu_agent_tuned_namespaces", 1.0)?;
    let lock = File::options().write(true).open(lab.path("/run/mtu-agent/tune.lock"))?;
    lock.lock().context("keep others from writing")?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    agent.told("links are to be written")?;
    // That is one of them at least.
    for end in [STAYS, MOVES] {
        lab.set_link_mtu(Place::Node, end, 1300)?;
    }
    drop(lock);
    until_answered(&agent, &lab, Place::Node)?;
    for end in [STAYS, MOVES] {
        assert_eq!(lab.link_mtu(Place::Node, end)?, 1300, "{end}");
    }
    agent.stop()?;
    let said = revert(&lab)?;
    for end in [STAYS, MOVES] {
        assert_eq!(lab.link_mtu(Place::Node, end)?, 1300, "{end}: {said}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn after_a_burst_that_it_could_not_hear_everything_is_right() -> Result<()> {
    const PAIRS: u32 = 1500;
    let lab = lab()?;
    let mut agent = agent("links").args(&["--log", DEBUG]).start(&lab)?;
    agent.until_sample("mtu_agent_tuned_namespaces", 1.0)?;
    agent.process().signal(Signal::STOP)?;
    let mut burst = String::new();
    for pair in 0..PAIRS {
        let group = if pair < 2 { 0 } else { 7 };
        writeln!(burst, "link add veth{pair:07x} group {group} type veth peer name vethf{pair:06x}")?;
    }
    burst.push_str("link delete group 7\n");
    lab.ip_batch(Place::Node, &burst)?;
    agent.process().signal(Signal::CONT)?;
    agent.told("the kernel dropped events; all links are read again")?;
    for pair in 0..2 {
        until_mtu(&agent, &lab, Place::Node, &format!("veth{pair:07x}"), UPLINK)?;
        until_mtu(&agent, &lab, Place::Node, &format!("vethf{pair:06x}"), UPLINK)?;
    }
    until_answered(&agent, &lab, Place::Node)
}

/// The only thing that holds a namespace.
fn process(lab: &NetnsLab, name: &str) -> Result<Process> {
    let mut command = NetnsLab::command(&["sleep", "infinity"]);
    lab.spawn(Place::Netns(name), &mut command)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_nobody_holds_any_more_ends_although_it_was_guarded() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let held = [process(&lab, "c1")?, process(&lab, "c1")?];
    lab.ip(&["netns", "delete", "c1"])?;
    let agent = tuning(&lab, 2)?;
    for process in held {
        assert!(lab.link_mtu(Place::Node, STAYS).is_ok(), "a process is still in there");
        process.signal(Signal::KILL)?;
        process.wait()?;
    }
    agent.until("the end of the pair", |_| Ok(lab.link_mtu(Place::Node, STAYS).is_err().then_some(())))?;
    agent.until_sample("mtu_agent_tuned_namespaces", 1.0)
}
