//! What is measured, and what becomes of the published value.

use std::time::{Duration, Instant};

use anyhow::Result;
use mtu_lab::agent::{Agent, AgentSpec, Samples};
use mtu_lab::docker::{NetnsLab, Place, SERVER};
use serde_json::Value;

use super::{PUBLISHED, agent, lab, until_published};

const SAFE: &str = "mtu_agent_safe_dind_mtu_bytes{family=\"ipv4\"}";

/// One verdict is 1, all others 0.
fn verdict(metrics: &Samples, verdict: &str) -> bool {
    let sample = |verdict| {
        format!(
            "mtu_agent_path_verdict{{direction=\"both\",family=\"ipv4\",target=\"{SERVER}\",verdict=\"{verdict}\"}}"
        )
    };
    metrics.is(&sample(verdict), 1.0) && metrics.sum("mtu_agent_path_verdict") == Some(1.0)
}

fn path_mtu() -> String {
    format!("mtu_agent_path_mtu_bytes{{direction=\"both\",family=\"ipv4\",target=\"{SERVER}\"}}")
}

fn until_verdict(agent: &Agent<'_>, name: &str) -> Result<()> {
    agent.until(name, |agent| Ok(verdict(&agent.metrics()?, name).then_some(())))
}

/// Waits for a search that found nobody, after which what was measured counts.
fn until_kept(agent: &Agent<'_>, path_mtu: u32) -> Result<Value> {
    until_verdict(agent, "unreachable")?;
    let survey = agent.until("a search that found nobody", |agent| {
        let survey = agent.survey()?;
        Ok((survey["paths"][0]["verdict"] == "unreachable").then_some(survey))
    })?;
    assert_eq!(survey["paths"][0]["kept_path_mtu"], path_mtu, "{:#}", survey["paths"]);
    Ok(survey)
}

fn probing(raise_after: &str) -> AgentSpec {
    agent().args(&["--target", SERVER, "--probe-interval", "1s", "--raise-after", raise_after])
}

fn drop_what_comes(lab: &NetnsLab) -> Result<()> {
    lab.nft(
        Place::Server,
        "table inet loss { chain input { type filter hook input priority 0; policy drop; }; }",
    )
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_smaller_link_on_the_way_lowers_the_value_at_once_and_loss_keeps_it() -> Result<()> {
    let lab = lab()?;
    let agent = probing("1h").start(&lab)?;
    until_verdict(&agent, "exact")?;
    agent.until_sample(&path_mtu(), 1460.0)?;
    agent.until_sample(PUBLISHED, 1460.0)?;

    lab.set_link_mtu(Place::Router, "down0", 1400)?;
    agent.until_sample(SAFE, 1400.0)?;
    agent.until_sample(PUBLISHED, 1400.0)?;
    until_published(&agent, 1400)?;
    assert!(agent.metrics()?.is(&path_mtu(), 1400.0));

    drop_what_comes(&lab)?;
    let survey = until_kept(&agent, 1400)?;
    assert_eq!(survey["safe_dind_mtu"]["value"], 1400);
    assert!(agent.metrics()?.is(PUBLISHED, 1400.0));
    until_published(&agent, 1400)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_was_measured_outlives_a_restart_during_which_the_target_falls_silent() -> Result<()> {
    let lab = lab()?;
    lab.set_link_mtu(Place::Router, "down0", 1400)?;
    let earlier = probing("0s").start(&lab)?;
    until_verdict(&earlier, "exact")?;
    until_published(&earlier, 1400)?;
    earlier.stop()?;

    drop_what_comes(&lab)?;
    let mut agent = probing("0s").start(&lab)?;
    until_kept(&agent, 1400)?;
    assert!(agent.metrics()?.is(PUBLISHED, 1400.0));
    let changes = agent.metrics()?.sum("mtu_agent_safe_dind_mtu_changes_total");
    assert_eq!(changes, Some(0.0), "not even for a moment");
    let complaints: Vec<_> = agent.log()?.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(complaints.is_empty(), "{complaints:?}");

    lab.nft(Place::Server, "delete table inet loss")?;
    lab.set_link_mtu(Place::Router, "down0", 1460)?;
    agent.until_sample(PUBLISHED, 1460.0)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
#[expect(clippy::disallowed_methods, reason = "how long it lasts is what is tested")]
fn a_larger_value_is_published_only_after_it_lasted() -> Result<()> {
    const RAISE_AFTER: Duration = Duration::from_secs(2);
    let lab = lab()?;
    let agent = agent().args(&["--raise-after", "2s"]).start(&lab)?;
    agent.until_sample(PUBLISHED, 1460.0)?;
    lab.set_link_mtu(Place::Node, "eth0", 1400)?;
    agent.until_sample(PUBLISHED, 1400.0)?;
    let began = Instant::now();
    lab.set_link_mtu(Place::Node, "eth0", 1500)?;
    agent.until_sample(SAFE, 1500.0)?;
    agent.until_sample(PUBLISHED, 1500.0)?;
    assert!(began.elapsed() >= RAISE_AFTER, "after {:?}", began.elapsed());
    until_published(&agent, 1500)?;
    let changes = |direction| {
        let sample = format!("mtu_agent_safe_dind_mtu_changes_total{{direction=\"{direction}\"}}");
        agent.metrics().map(|metrics| metrics.value(&sample))
    };
    assert_eq!((changes("down")?, changes("up")?), (Some(1.0), Some(1.0)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_target_that_cannot_be_reached_at_the_start_is_told_and_found_later() -> Result<()> {
    let lab = lab()?;
    lab.set_link_mtu(Place::Router, "down0", 1400)?;
    drop_what_comes(&lab)?;
    let agent = probing("1h").start(&lab)?;
    agent.until_sample(PUBLISHED, 1460.0)?;
    until_verdict(&agent, "unreachable")?;
    assert_eq!(agent.metrics()?.sum("mtu_agent_path_mtu_bytes"), None, "nothing is known, and 0 is a number");
    lab.nft(Place::Server, "delete table inet loss")?;
    until_verdict(&agent, "exact")?;
    agent.until_sample(PUBLISHED, 1400.0)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_node_without_a_way_out_at_the_start_gets_its_value_when_it_has_one() -> Result<()> {
    let lab = lab()?;
    lab.ip(&["route", "delete", "default"])?;
    let agent = probing("1h").start(&lab)?;
    agent.until_ready()?;
    assert_eq!(agent.metrics()?.value(PUBLISHED), None);
    agent.until("a survey", |agent| Ok(agent.file("survey.json").exists().then_some(())))?;
    assert!(!agent.file("dind-mtu").exists());
    lab.ip(&["route", "add", "default", "via", "198.51.100.1"])?;
    agent.until_sample(PUBLISHED, 1460.0)?;
    until_verdict(&agent, "exact")?;
    until_published(&agent, 1460)
}
