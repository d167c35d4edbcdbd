//! An agent that answers what real dockerds make.

use anyhow::Result;
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Download, Level, Place, Ptb};

use crate::state::{MTU_AGENT, State, record, tuned};

/// The uplink of the lab's virtual machine.
const UPLINK: u32 = 1460;

fn tuning(lab: &DockerLab) -> Result<Agent<'_>> {
    let agent = AgentSpec::new(MTU_AGENT).args(&["--tune", "links", "--all-docker"]).start(lab)?;
    agent.until_sample("mtu_agent_tune_changes_pending", 0.0)?;
    Ok(agent)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn fresh_containers_of_a_docker_host_at_any_level_are_right_and_taken_back() -> Result<()> {
    let lab = DockerLab::vm().ptb(Ptb::Blocked).level2(Dockerd::new()).build()?;
    let early = lab.start_container(Level::One, &Container::on_network("bridge"))?;
    assert_eq!(lab.download(&early)?, Download::Hung);
    let agent = tuning(&lab)?;
    lab.create_network(Level::Two, "late", None)?;
    let fresh = [(Level::One, "bridge"), (Level::Two, "bridge"), (Level::Two, "late")]
        .map(|(level, network)| lab.start_container(level, &Container::on_network(network)));
    let fresh = fresh.into_iter().collect::<Result<Vec<_>>>()?;
    for container in fresh.iter().chain([&early]) {
        assert_eq!(lab.link_mtu(container, "eth0")?, UPLINK, "level {}", container.level());
        assert_eq!(lab.download(container)?, Download::Completed, "level {}", container.level());
    }
    agent.until_mismatched(0)?;
    assert!(agent.metrics()?.sum("mtu_agent_tune_answer_seconds_count") >= Some(6.0));
    agent.stop()?;

    let of: Vec<_> = fresh.iter().chain([&early]).collect();
    let now = State::of(&lab, &of)?;
    assert_eq!(lab.link_mtu(Place::Node, "eth0")?, UPLINK);
    tuned(&lab, &["--revert"])?;
    let then = State::of(&lab, &of)?;
    let changed = then.differing(&now);
    assert!(changed.values().all(|it| *it == (1500, UPLINK.into())), "{changed:?}");
    for container in of {
        assert_eq!(lab.link_mtu(container, "eth0")?, 1500, "level {}", container.level());
    }
    assert_eq!((then.clamped(), record(&lab)?), (vec![], None));
    Ok(())
}
