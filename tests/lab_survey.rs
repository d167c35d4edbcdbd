//! The survey of a real node with real dockerds, three levels deep.

use std::collections::BTreeSet;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::docker::{Container, DockerLab, Dockerd, HOST_END, Level, Place, Ptb, UPLINK};
use serde_json::Value;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const SERVER: &str = "203.0.113.1";

fn survey(lab: &DockerLab, arguments: &[&str]) -> Result<(Value, i32)> {
    let output = run(lab, &[&["survey", "--output", "json"], arguments].concat())?;
    let code = output.status.code().context("the survey was killed")?;
    let json = serde_json::from_slice(&output.stdout);
    Ok((json.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?, code))
}

fn run(lab: &DockerLab, arguments: &[&str]) -> Result<Output> {
    lab.run(Place::Node, &[&[MTU_AGENT], arguments].concat())
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Each link that is a mismatch: name of its namespace, its own name without what docker makes up, level, level of
/// its dockerd, what it should be.
fn mismatches(survey: &Value) -> BTreeSet<(String, String, u64, u64, u64)> {
    let made_up = |name: &str| match name {
        name if name.starts_with("veth") => "veth".to_owned(),
        name if name.starts_with("br-") => "br".to_owned(),
        name => name.to_owned(),
    };
    let number = |value: &Value| value.as_u64().expect("a number");
    let mismatch = |it: &Value| {
        let namespace = namespaces(survey).into_iter().find(|netns| netns["id"] == it["namespace"]);
        let name = namespace.and_then(|netns| netns["name"].as_str()).unwrap_or("host").to_owned();
        let link = made_up(it["link"].as_str().expect("a name"));
        (name, link, number(&it["level"]), number(&it["daemon_level"]), number(&it["should_be"]))
    };
    survey["mismatches"].as_array().expect("a list").iter().map(mismatch).collect()
}

fn namespaces(survey: &Value) -> Vec<&Value> {
    survey["namespaces"].as_array().expect("a list").iter().collect()
}

fn named<'a>(survey: &'a Value, name: &str) -> &'a Value {
    let named = namespaces(survey).into_iter().find(|netns| netns["name"] == name);
    named.unwrap_or_else(|| panic!("no namespace is named {name}: {survey:#}"))
}

fn rows(rows: &[(&str, &str, u64, u64, u64)]) -> BTreeSet<(String, String, u64, u64, u64)> {
    rows.iter()
        .map(|(netns, link, level, daemon, mtu)| ((*netns).into(), (*link).into(), *level, *daemon, *mtu))
        .collect()
}

/// A container at level 2, one at level 3, and one on a user-defined network at level 2.
fn start_containers(lab: &DockerLab, network_mtu: Option<u16>) -> Result<[Container; 3]> {
    lab.create_network(Level::Two, "compose", network_mtu)?;
    Ok([
        lab.start_container(Level::Two, &Container::on_network("bridge").name("build"))?,
        lab.start_container(Level::Two, &Container::on_network("compose").name("service"))?,
        lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?,
    ])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn dockerds_at_1500_under_a_pod_at_1450_are_mismatches_at_both_nested_levels_and_nothing_else_is()
-> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let _containers = start_containers(&lab, None)?;
    let dind = lab.dockerd_container(Level::Three)?.name().to_owned();
    let (survey, code) = survey(&lab, &[])?;

    assert_eq!(survey["schema"], "mtu-agent.dev/survey/v1");
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&1450.into(), 1));
    assert_eq!(survey["safe_dind_mtu"]["evidence"], "configured");
    assert_eq!(survey["safe_dind_mtu"]["limited_by"]["name"], HOST_END);
    assert_eq!(
        mismatches(&survey),
        rows(&[
            ("pod", "docker0", 1, 2, 1450),
            ("pod", "veth", 1, 2, 1450),
            ("pod", "br", 1, 2, 1450),
            ("build", "eth0", 2, 2, 1450),
            ("service", "eth0", 2, 2, 1450),
            (&dind, "eth0", 2, 2, 1450),
            (&dind, "docker0", 2, 3, 1450),
            (&dind, "veth", 2, 3, 1450),
            ("deep", "eth0", 3, 3, 1450),
        ])
    );
    // Three veths in the pod, one at level 2: 3 + 1, besides 2 + 1 bridges and 3 + 1 inner ends.
    assert_eq!(survey["mismatches"].as_array().map(Vec::len), Some(11));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn daemons_and_networks_that_were_told_have_none() -> Result<()> {
    let told = Dockerd::new().mtu(1450);
    let lab = DockerLab::builder().level2(told.clone()).level3(told).build()?;
    let _containers = start_containers(&lab, Some(1450))?;
    lab.create_network(Level::Two, "unused", None)?;
    let (survey, code) = survey(&lab, &[])?;
    assert_eq!((mismatches(&survey), code), (rows(&[]), 0));

    let pod = named(&survey, "pod");
    let idle = |link: &&Value| link["idle"] == true;
    let idle: Vec<_> = pod["links"].as_array().context("links")?.iter().filter(idle).collect();
    assert_eq!(idle.len(), 1, "the network that nobody uses: {idle:?}");
    assert_eq!((&idle[0]["kind"], &idle[0]["mtu"]), (&"docker_network".into(), &1500.into()));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_smaller_level_two_is_what_level_three_should_be() -> Result<()> {
    let lab = DockerLab::builder().level2(Dockerd::new().mtu(1300)).level3(Dockerd::new()).build()?;
    let _deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    let dind = lab.dockerd_container(Level::Three)?.name().to_owned();
    let (survey, code) = survey(&lab, &[])?;
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&1450.into(), 1));
    let want =
        rows(&[(&dind, "docker0", 2, 3, 1300), (&dind, "veth", 2, 3, 1300), ("deep", "eth0", 3, 3, 1300)]);
    assert_eq!(mismatches(&survey), want);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn docker_on_a_plain_vm_with_a_smaller_uplink_is_a_mismatch_on_the_host() -> Result<()> {
    let lab = DockerLab::vm().level1(Dockerd::new()).level2(None).build()?;
    let _container = lab.start_container(Level::One, &Container::on_network("bridge").name("job"))?;
    let (survey, code) = survey(&lab, &[])?;
    assert_eq!((&survey["safe_dind_mtu"]["value"], code), (&1460.into(), 1));
    let want =
        rows(&[("host", "docker0", 0, 1, 1460), ("host", "veth", 0, 1, 1460), ("job", "eth0", 1, 1, 1460)]);
    assert_eq!(mismatches(&survey), want);
    assert!(survey["host"]["cni"].is_null());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn every_namespace_has_its_level_its_parent_and_its_name() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let containers = start_containers(&lab, None)?;
    let dind = lab.dockerd_container(Level::Three)?;
    let (survey, _) = survey(&lab, &[])?;

    let level = |name: &str| named(&survey, name)["level"].clone();
    assert_eq!(
        [level("pod"), level("build"), level("service"), level(dind.name()), level("deep")],
        [1, 2, 2, 2, 3]
    );
    assert_eq!(named(&survey, "deep")["parent"], named(&survey, dind.name())["id"]);
    assert_eq!(named(&survey, "pod")["parent"], "host");
    for container in &containers {
        let netns = named(&survey, container.name());
        assert_eq!(netns["container_id"], container.id());
        let pids = netns["pids"].as_array().context("pids")?;
        assert!(pids.contains(&container.pid().into()), "{} is not among {pids:?}", container.pid());
    }
    assert_eq!(survey["host"]["cni"]["name"], "Calico");
    // What is behind the uplink is not walked: the server is no part of this host.
    assert_eq!(namespaces(&survey).len(), 6, "{:#}", survey["namespaces"]);
    let ids: BTreeSet<_> = namespaces(&survey).iter().filter_map(|netns| netns["id"].as_str()).collect();
    assert_eq!(ids.len(), 6, "ids are unique");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn links_are_named_by_what_they_are() -> Result<()> {
    let lab = DockerLab::builder().build()?;
    lab.create_network(Level::Two, "compose", None)?;
    let _service = lab.start_container(Level::Two, &Container::on_network("compose").name("service"))?;
    let (survey, _) = survey(&lab, &[])?;
    let kinds = |name: &str| {
        let links = named(&survey, name)["links"].as_array().expect("links");
        links.iter().filter_map(|link| link["kind"].as_str()).collect::<BTreeSet<_>>()
    };
    assert_eq!(
        kinds("pod"),
        BTreeSet::from(["loopback", "calico_veth", "docker_bridge", "docker_network", "docker_veth"])
    );
    assert_eq!(kinds("service"), BTreeSet::from(["loopback", "docker_veth"]));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn net_admin_and_net_raw_alone_find_the_same_mismatches_and_the_path() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let _containers = start_containers(&lab, None)?;
    let (privileged, _) = survey(&lab, &[])?;
    let drop =
        ["setpriv", "--bounding-set", "-all,+net_admin,+net_raw", "--inh-caps", "-all", "--no-new-privs"];
    let survey = [MTU_AGENT, "survey", "--output", "json", "--target", SERVER];
    let output = lab.run(Place::Node, &[&drop[..], &survey].concat())?;
    let survey: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;

    assert_eq!(survey["host"]["privileges"], serde_json::json!(["CAP_NET_ADMIN", "CAP_NET_RAW"]));
    assert_eq!((&survey["safe_dind_mtu"]["value"], output.status.code()), (&1450.into(), Some(1)));
    let by_id = |survey: &Value| {
        let mismatch = |it: &Value| (it["id"].clone(), it["should_be"].clone());
        let mut all: Vec<_> = survey["mismatches"].as_array().expect("a list").iter().map(mismatch).collect();
        all.sort_by_key(|(id, _)| id.to_string());
        all
    };
    assert_eq!(by_id(&survey), by_id(&privileged));
    assert_eq!(
        (&survey["paths"][0]["verdict"], &survey["paths"][0]["path_mtu"]),
        (&"exact".into(), &1500.into())
    );
    let unseen: Vec<_> =
        survey["unseen"].as_array().context("a list")?.iter().map(|it| &it["what"]).collect();
    assert!(unseen.contains(&&"routes of 5 namespaces".into()), "{unseen:?}");
    for netns in namespaces(&survey).iter().filter(|netns| netns["id"] != "host") {
        assert_eq!(netns["default_route"]["evidence"], "inferred");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_no_capability_it_says_what_it_cannot_see_and_is_not_fooled_into_a_larger_value() -> Result<()> {
    let lab = DockerLab::builder().build()?;
    let nobody =
        ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--bounding-set", "-all"];
    // Others may not reach the binary where it was built.
    let binary = lab.path("/run/tmp/mtu-agent");
    std::fs::copy(MTU_AGENT, &binary).with_context(|| format!("copy the binary to {}", binary.display()))?;
    let output =
        lab.run(Place::Node, &[&nobody[..], &["/run/tmp/mtu-agent", "survey", "--output", "json"]].concat())?;
    let survey: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    assert_eq!(survey["host"]["privileges"], serde_json::json!([]));
    assert_eq!(survey["safe_dind_mtu"]["value"], 1450, "by the outer end of the pod's veth");
    let needs: Vec<_> =
        survey["unseen"].as_array().context("a list")?.iter().map(|it| &it["needs"]).collect();
    assert!(
        needs.contains(&&"CAP_NET_ADMIN".into()) && needs.contains(&&"CAP_SYS_PTRACE".into()),
        "{needs:?}"
    );
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_measured_path_lowers_the_safe_value_and_the_router_that_limits_it_is_named() -> Result<()> {
    for (ptb, verdict, want) in [(Ptb::Allowed, "exact", 0), (Ptb::Blocked, "black_hole", 1)] {
        let lab = DockerLab::vm().ptb(ptb).level1(None).level2(None).build()?;
        lab.set_link_mtu(Place::Router, "down0", 1400)?;
        let (survey, code) = survey(&lab, &["--target", SERVER])?;
        let path = &survey["paths"][0];
        assert_eq!(
            (&path["verdict"], &path["path_mtu"], code),
            (&verdict.into(), &1400.into(), want),
            "{path:#}"
        );
        assert_eq!(
            (&path["target"], &path["from"], &path["family"]),
            (&SERVER.into(), &"host".into(), &"ipv4".into())
        );
        let how = (&path["evidence"], &path["method"], &path["direction"]);
        assert_eq!(how, (&"measured".into(), &"icmp_echo".into(), &"both".into()));
        assert_eq!(path["limited_by"], serde_json::json!({"address": "198.51.100.1", "hop": 1}));
        let safe = &survey["safe_dind_mtu"];
        assert_eq!((&safe["value"], &safe["evidence"]), (&1400.into(), &"measured".into()));
        assert_eq!(
            (&safe["limited_by"]["kind"], &safe["limited_by"]["target"]),
            (&"path".into(), &SERVER.into())
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn both_families_are_measured_where_both_have_a_route() -> Result<()> {
    let lab = DockerLab::builder().ipv6(true).level2(Dockerd::new().mtu(1450)).build()?;
    let (survey, code) = survey(&lab, &["--target", SERVER, "--target", mtu_lab::docker::SERVER6])?;
    let families: Vec<_> =
        survey["paths"].as_array().context("a list")?.iter().map(|path| &path["family"]).collect();
    assert_eq!((families, code), (vec![&Value::from("ipv4"), &"ipv6".into()], 0));
    let safe = &survey["safe_dind_mtu"];
    assert_eq!((&safe["ipv4"], &safe["ipv6"]), (&1450.into(), &1450.into()));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_walk_of_one_container_marks_what_limits_it() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    for who in [deep.name(), deep.id(), &deep.id()[..12], &deep.pid().to_string()] {
        let output = run(&lab, &["survey", "--of", who])?;
        let walk = text(&output);
        let mtus: Vec<_> =
            walk.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u32>().ok()).collect();
        assert_eq!(mtus, [1500, 1500, 1500, 1500, 1500, 1500, 1450, 1450, 1500], "{walk}");
        let limiting: Vec<_> = walk.lines().filter(|line| line.contains("limits")).collect();
        ensure!(matches!(limiting[..], [line] if line.contains(HOST_END)), "{walk}");
        assert_eq!(output.status.code(), Some(1));
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn people_see_the_tree_with_the_fix_of_each_daemon_in_one_line() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let _containers = start_containers(&lab, None)?;
    let dind = lab.dockerd_container(Level::Three)?.name().to_owned();
    let output = run(&lab, &["survey"])?;
    let tree = text(&output);
    for line in [
        "fix: start the level-2 dockerd (in netns pod) with --mtu=1450, and its containers anew".to_owned(),
        format!(
            "fix: start the level-3 dockerd (in container {dind}) with --mtu=1450, and its containers anew"
        ),
        "-o com.docker.network.driver.mtu=1450".to_owned(),
        "give --target HOST to measure".to_owned(),
        format!("limited by {HOST_END} of host"),
    ] {
        assert!(tree.contains(&line), "{line:?} is missing:\n{tree}");
    }
    assert_eq!(tree.matches("✗ should be 1450").count(), 11);
    assert!(!tree.contains('\x1b'), "colour goes to terminals only");
    assert!(tree.contains(&format!("{UPLINK} ")));
    Ok(())
}
