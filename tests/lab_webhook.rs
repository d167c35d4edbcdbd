//! Pods that the webhook changed, run for real: what a kubelet makes of their arguments starts a dockerd.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Binding, Pod};
use mtu_agent::domain::fleet::Values;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::webhook::{Policy, bind, mutate};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Download, Level, Place, Ptb};
use serde_json::{Value, json};

#[path = "lab_webhook/kubelet.rs"]
mod kubelet;

fn values(pool: Option<u32>, node: Option<u32>) -> Result<Values> {
    let one = |name: &str, mtu: Option<u32>| {
        mtu.map(|mtu| anyhow::Ok((name.to_owned(), LinkMtu::new(mtu)?))).transpose()
    };
    let (pools, nodes) = (one("p", pool)?, one("n1", node)?);
    Ok(Values { pools: pools.into_iter().collect(), nodes: nodes.into_iter().collect(), ..Values::default() })
}

/// The pod with this container, after it was made and then bound to `n1`.
fn bound(container: &Value, values: &Values) -> Result<Pod> {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}});
    let made = mutate(&serde_json::from_value(pod.clone())?, &Policy::new(values, "ci", None));
    json_patch::patch(&mut pod, &made.patch)?;
    let mut binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    if let Some(patch) = bind(&serde_json::from_value::<Binding>(binding.clone())?, values) {
        json_patch::patch(&mut binding, &patch)?;
    }
    let mut pod: Pod = serde_json::from_value(pod)?;
    let copied: Binding = serde_json::from_value(binding)?;
    pod.metadata.annotations.get_or_insert_default().extend(copied.metadata.annotations.unwrap_or_default());
    Ok(pod)
}

/// Starts a dockerd in the lab's pod as the container `dind` would, a container in it, and returns the MTU of both.
fn run(lab: &DockerLab, pod: &Pod) -> Result<[u32; 2]> {
    let arguments = kubelet::arguments(pod, "dind")?;
    // As the image's entrypoint: `dockerd` may be left out.
    let flags = arguments.iter().skip_while(|word| *word == "dockerd");
    let dockerd = flags.fold(Dockerd::new(), |dockerd, flag| dockerd.arg(flag));
    lab.start_dockerd(Level::Two, &dockerd).with_context(|| format!("with {arguments:?}"))?;
    let container = lab.start_container(Level::Two, &Container::on_network("bridge"))?;
    // Before 25, docker0 has its MTU only as long as there is a container.
    let mtus = [lab.link_mtu(Place::Pod, "docker0")?, lab.link_mtu(&container, "eth0")?];
    let download = lab.download(&container)?;
    let fits = mtus[1] <= lab.link_mtu(Place::Pod, "eth0")?;
    assert_eq!(download, if fits { Download::Completed } else { Download::Hung });
    lab.stop_dockerd(Level::Two)?;
    Ok(mtus)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_dockerd_of_a_changed_pod_has_the_value_of_its_node_or_pool_or_1280() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level2(None).build()?;
    let bare = json!({"name": "dind", "image": "docker:20.10.24-dind"});
    let github = json!({
        "name": "dind",
        "image": "docker:20.10.24-dind",
        "args": ["dockerd", "--host=unix:///run/lab/also.sock", "--group=$(DOCKER_GROUP_GID)"],
        "env": [{"name": "DOCKER_GROUP_GID", "value": "1001"}],
    });
    for container in [bare, github] {
        for (pool, node, expected) in [
            (Some(1450), None, 1450),
            (Some(1400), Some(1450), 1450),
            (Some(1450), Some(1400), 1400),
            (None, None, 1280),
        ] {
            let pod = bound(&container, &values(pool, node)?)?;
            assert_eq!(run(&lab, &pod)?, [expected; 2], "pool {pool:?}, node {node:?}, {container}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_users_own_mtu_is_kept_whether_it_fits_or_not() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level2(None).build()?;
    for (args, expected) in [
        (json!(["--mtu=1300"]), 1300),
        (json!(["--mtu", "1450"]), 1450),
        (json!(["dockerd", "--mtu=1500"]), 1500),
    ] {
        let container = json!({"name": "dind", "image": "docker:dind", "args": args});
        let pod = bound(&container, &values(Some(1450), None)?)?;
        assert_eq!(run(&lab, &pod)?, [expected; 2], "{container}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_users_variable_is_what_dockerd_gets_and_an_empty_one_gets_no_flag() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level2(None).build()?;
    for (value, expected) in [("1300", 1300), ("", 1500)] {
        let env = json!([{"name": "MTU_AGENT_DIND_MTU", "value": value}]);
        let container = json!({"name": "dind", "image": "docker:dind", "env": env});
        let pod = bound(&container, &values(Some(1450), None)?)?;
        assert_eq!(run(&lab, &pod)?, [expected; 2], "{container}");
    }
    Ok(())
}
