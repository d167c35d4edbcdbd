//! What an agent tuned is probed from inside.

use anyhow::{Result, bail};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, Ptb, SERVER};
use serde_json::Value;

use crate::state::MTU_AGENT;

const HOLE: &str =
    "table inet hole { chain forward { type filter hook forward priority 0; meta length > 1400 drop; }; }";
const VANISH: &str = "packets of the size of their links vanish on the way out of tuned networks; nested_paths in \
                      /v1/survey has which";

fn verified(level: u8) -> String {
    format!("mtu_agent_nested_path_verified{{level=\"{level}\"}}")
}

/// What `/v1/survey` tells of the namespaces of a level.
fn nested_paths(agent: &Agent<'_>, level: u8) -> Result<Vec<Value>> {
    let survey = agent.survey()?;
    let paths = survey["nested_paths"].as_array().cloned().unwrap_or_default();
    Ok(paths.into_iter().filter(|path| path["level"] == level).collect())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_is_tuned_is_proved_from_inside_and_what_breaks_is_told() -> Result<()> {
    let lab = DockerLab::vm().ptb(Ptb::Blocked).level2(Dockerd::new()).build()?;
    let early = lab.start_container(Level::One, &Container::on_network("bridge"))?;
    let arguments = ["--tune", "links", "--all-docker", "--target", SERVER, "--probe-interval", "1s"];
    let mut agent = AgentSpec::new(MTU_AGENT).args(&arguments).start(&lab)?;
    let fresh = lab.start_container(Level::Two, &Container::on_network("bridge"))?;
    for level in [1, 2] {
        agent.until_sample(&verified(level), 1.0)?;
    }
    for container in [&early, &fresh] {
        let path = agent.until("a probe of each container", |agent| {
            let paths = nested_paths(agent, container.level().number())?;
            Ok(paths.into_iter().find(|path| path["verified"] == true))
        })?;
        assert_eq!((&path["mtu"], &path["target"]), (&1460.into(), &SERVER.into()), "{path:#}");
    }

    // The host forwards nothing large any more, and says nothing of it; what it sends itself gets out.
    lab.nft(Place::Node, HOLE)?;
    for level in [1, 2] {
        agent.until_sample(&verified(level), 0.0)?;
    }
    agent.told(VANISH)?;
    let [path] = &nested_paths(&agent, 2)?[..] else { bail!("one container of level 2") };
    assert_eq!((&path["verified"], &path["path_mtu"]), (&false.into(), &1400.into()), "{path:#}");
    lab.nft(Place::Node, "delete table inet hole")?;
    for level in [1, 2] {
        agent.until_sample(&verified(level), 1.0)?;
    }
    Ok(())
}
