//! How far it goes: by its own permission and by what the host is.

use anyhow::{Context as _, Result};
use mtu_lab::agent::AgentSpec;
use mtu_lab::docker::Place;

use crate::*;

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
    agent.told("undone again and again; it is left alone for a while")?;
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
        assert!(!is_clamped(&lab, Place::Node)? && recorded(&lab).is_err(), "{arguments:?}");
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
