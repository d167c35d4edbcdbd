//! After a storm of changes.

use std::fmt::Write as _;

use anyhow::Result;
use mtu_lab::docker::{DockerLab, NetnsLab, Place};

use super::agent;

/// Pairs of veths that come and go, and a bridge with a wrong MTU and a port that stays.
fn storm(lab: &NetnsLab, place: Place<'_>, name: &str) -> Result<()> {
    let mut script = String::new();
    for pair in 1..=2000 {
        writeln!(script, "link add s{pair} group 7 type veth peer name t{pair} group 7")?;
        // At once, because each deletion waits until no processor looks at the link any more.
        if pair % 100 == 0 {
            writeln!(script, "link delete group 7")?;
        }
    }
    writeln!(script, "link add {name} mtu 1500 type bridge\nlink set {name} up")?;
    writeln!(script, "link add {name}p mtu 1500 master {name} type veth peer name {name}q mtu 1500")?;
    lab.ip_batch(place, &script)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn after_a_storm_the_state_is_that_of_a_fresh_survey() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let agent = agent().start(&lab)?;
    agent.until_ready()?;
    for (place, name) in [(Place::Node, "br0"), (Place::Pod, "br1")] {
        storm(&lab, place, name)?;
        agent.until_as_fresh(2)?;
        let survey = agent.survey()?.to_string();
        assert!(survey.contains(&format!("\"{name}q\"")), "the last link of the storm is seen: {survey}");
    }
    assert_eq!(agent.metrics()?.value("mtu_agent_survey_errors_total"), Some(0.0));
    Ok(())
}
