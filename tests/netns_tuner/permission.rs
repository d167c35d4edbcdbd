//! How far it goes: by its own permission and by what the host is.

use anyhow::{Context as _, Result};
use mtu_lab::agent::AgentSpec;
use mtu_lab::docker::{Place, Signal};
use mtu_lab::lesser_kernel::without_netfilter;

use crate::*;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_clamp_is_back_whenever_somebody_flushes_it_until_that_is_a_strife() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent("clamp").args(&["--log", DEBUG]).start(&lab)?;
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

    // Whoever goes on touching it wakes nobody.
    let looks = |agent: &mut Agent<'_>| {
        let looked = |entry: &&Value| entry["message"] == "somebody touched a clamp; all is looked at again";
        anyhow::Ok(agent.log()?.iter().filter(looked).count())
    };
    let before = looks(&mut agent)?;
    for _ in 0..20 {
        lab.nft(Place::Node, "add table inet mtu_agent; delete table inet mtu_agent")?;
    }
    agent.process().signal(Signal::TERM)?;
    agent.told("agent stops")?;
    assert!(before >= 7 && looks(&mut agent)? <= before + 1, "one may have been told before it was a strife");
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

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_nftables_that_is_said_once_and_links_are_tuned_all_the_same() -> Result<()> {
    const SAID: &str = "TCP is not clamped until the agent starts anew; links are tuned where they may be";
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let mut agent = without_netfilter(|| agent("links").start(&lab))?;
    let said = agent.told(SAID)?;
    let why = said["error"].as_str().context("text")?;
    assert!(
        why.contains("this kernel lacks what it takes (nf_tables") && why.contains("not supported"),
        "{why}"
    );
    for (place, link) in [(Place::Node, STAYS), (Place::Node, "docker0"), (Place::Netns("c1"), "eth0")] {
        until_mtu(&agent, &lab, place, link, UPLINK)?;
    }
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)?;
    agent.until_sample("mtu_agent_tuned_namespaces", 2.0)?;

    // What comes later is answered too, and surveys that find it say nothing again.
    until_answered(&agent, &lab, Place::Node)?;
    pair(&lab, Place::Node, "veth1a1a1a1", "veth2b2b2b2")?;
    container(&lab, "c2", 3, "veth1a1a1a1", "veth2b2b2b2")?;
    agent.until_sample("mtu_agent_tuned_namespaces", 3.0)?;
    assert_eq!(lab.link_mtu(Place::Netns("c2"), "eth0")?, UPLINK);
    let warnings: Vec<_> = agent.log()?.iter().filter(|entry| entry["level"] != "INFO").cloned().collect();
    assert_eq!(warnings, [said]);
    assert!(!is_clamped(&lab, Place::Node)?);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn by_hand_without_nftables_links_are_tuned_unless_the_clamp_was_all_that_was_wanted() -> Result<()> {
    let lab = lab()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let tune = |mode| {
        let words = [MTU_AGENT, "tune", "--all-docker", "--mode", mode, "--apply"];
        without_netfilter(|| lab.run(Place::Node, &words))
    };
    let refused = tune("clamp")?;
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("load the modules on the host"), "{why}");
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);

    let tuned = tune("both")?;
    let told = String::from_utf8_lossy(&[tuned.stdout, tuned.stderr].concat()).into_owned();
    assert!(tuned.status.success() && told.contains("TCP is not clamped, links are tuned"), "{told}");
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);
    Ok(())
}
