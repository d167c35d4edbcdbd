//! After a storm of changes.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use mtu_lab::agent::Agent;
use mtu_lab::docker::{DockerLab, NetnsLab, Place, Signal};

use super::agent;

/// Pairs of veths that come and go, so many at once, and a bridge with a wrong MTU and a port that stays.
fn storm(lab: &NetnsLab, place: Place<'_>, name: &str, at_once: usize) -> Result<()> {
    let mut script = String::new();
    for pair in 1..=2000 {
        writeln!(script, "link add s{pair} group 7 type veth peer name t{pair} group 7")?;
        // Each deletion waits until no processor looks at the link any more, but one for all of them.
        if pair % at_once == 0 {
            writeln!(script, "link delete group 7")?;
        }
    }
    writeln!(script, "link add {name} mtu 1500 type bridge\nlink set {name} up")?;
    writeln!(script, "link add {name}p mtu 1500 master {name} type veth peer name {name}q mtu 1500")?;
    lab.ip_batch(place, &script)
}

fn is_seen(agent: &Agent<'_>, name: &str) -> Result<()> {
    agent.until_as_fresh(2)?;
    let survey = agent.survey()?.to_string();
    ensure!(survey.contains(&format!("\"{name}q\"")), "the last link of the storm is not seen: {survey}");
    let errors = agent.metrics()?.value("mtu_agent_survey_errors_total");
    ensure!(errors == Some(0.0), "{errors:?} surveys failed");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn after_a_storm_the_state_is_that_of_a_fresh_survey() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let agent = agent().start(&lab)?;
    agent.until_ready()?;
    for (place, name, at_once) in [
        (Place::Node, "br0", 100),
        (Place::Pod, "br1", 100),
        (Place::Node, "br2", 2000),
        (Place::Pod, "br3", 2000),
    ] {
        storm(&lab, place, name, at_once)?;
        is_seen(&agent, name)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_storm_of_which_the_kernel_drops_events_is_seen_all_the_same() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let mut agent = agent().start(&lab)?;
    agent.until_ready()?;
    agent.process().signal(Signal::STOP)?;
    storm(&lab, Place::Pod, "br0", 2000)?;
    agent.process().signal(Signal::CONT)?;
    agent.told("the kernel dropped events; everything is read again")?;
    is_seen(&agent, "br0")?;
    let metrics = agent.metrics()?;
    assert_eq!(metrics.value("mtu_agent_netlink_overruns_total"), Some(1.0));
    assert_eq!(metrics.value("mtu_agent_surveys_total{reason=\"overrun\"}"), Some(1.0));
    Ok(())
}
