//! Nothing is written without the agent's `--tune` and the pod's opt-in, and no more than both allow.

use anyhow::Result;
use mtu_lab::agent::AgentSpec;
use mtu_lab::docker::{DockerLab, Release};

use crate::site::Site;
use crate::state::{MTU_AGENT, State, record};

const PENDING: &str = "mtu_agent_tune_changes_pending";

/// Runs an agent that sees too large links of fresh containers, and lets it be.
fn writes_nothing(lab: &DockerLab, site: &Site, spec: AgentSpec, pending: bool) -> Result<()> {
    let containers = site.containers()?;
    let containers: Vec<_> = containers.iter().collect();
    let before = State::of(lab, &containers)?;
    let agent = spec.start(lab)?;
    agent.until("it has seen them", |agent| {
        let metrics = agent.metrics()?;
        let seen = metrics.mismatched().is_some_and(|links| links >= 3 * containers.len());
        Ok((seen && metrics.value(PENDING).is_some_and(|it| (it > 0.0) == pending)).then_some(()))
    })?;
    let fresh = site.containers()?;
    for container in &fresh {
        assert_eq!(lab.link_mtu(container, "eth0")?, 1500);
    }
    drop(fresh);
    assert_eq!((&State::of(lab, &containers)?, record(lab)?), (&before, None));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_opt_in_or_permission_a_pod_is_not_tuned() -> Result<()> {
    let site = Site::pod(Release::Machine)?;
    for (annotation, tune, pending) in
        [(None, "links", false), (Some("observe"), "links", false), (Some("links"), "observe", true)]
    {
        site.annotate(annotation);
        writes_nothing(&site.lab, &site, site.spec(tune)?, pending)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_all_docker_or_permission_a_docker_host_is_not_tuned() -> Result<()> {
    let site = Site::machine(Release::Machine)?;
    let alone = AgentSpec::new(MTU_AGENT);
    for (spec, pending) in [
        (alone.clone().args(&["--tune", "links"]), false),
        (alone.clone().args(&["--all-docker"]), true),
        (alone, false),
    ] {
        writes_nothing(&site.lab, &site, spec, pending)?;
    }
    Ok(())
}

/// Has a pod say `links` while its agent runs, and then this.
fn opts_out(site: &Site, says: Option<&str>) -> Result<()> {
    site.annotate(None);
    let running = site.containers()?;
    let running: Vec<_> = running.iter().collect();
    let before = State::of(&site.lab, &running)?;
    site.annotate(Some("links"));
    let agent = site.start("links")?;
    assert_eq!(site.others_than(site.mtu, &running)?, [""; 0]);
    site.annotate(says);
    agent.until("it is as it was", |_| Ok((State::of(&site.lab, &running)? == before).then_some(())))?;
    agent.until("nothing is recorded", |_| Ok(record(&site.lab)?.is_none().then_some(())))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_that_opts_out_again_is_as_it_was() -> Result<()> {
    opts_out(&Site::pod(Release::Machine)?, None)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_that_says_observe_is_as_it_was_although_the_agent_may_not_see_namespaces() -> Result<()> {
    let site = Site::pod(Release::Machine)?;
    site.forbid_namespaces();
    opts_out(&site, Some("observe"))
}
