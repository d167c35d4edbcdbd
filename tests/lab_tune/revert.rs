//! What was written is taken back exactly; what is somebody else's stays; what may not be done is said before.

use std::fs;

use anyhow::{Context as _, Result};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, Ptb};
use serde_json::{Value, json};

use crate::state::{MTU_AGENT, State, record, tune, tuned};

fn lab() -> Result<(DockerLab, Container)> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    Ok((lab, deep))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_second_run_has_nothing_to_do_and_a_second_revert_neither() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    let (code, plan, _) = tune(&lab, &["--netns", "pod", "--output", "json"])?;
    let plan: Value = serde_json::from_str(&plan)?;
    let changes = plan["changes"].as_array().context("a list")?.len();
    assert_eq!((code, changes, record(&lab)?), (1, 7, None), "{plan:#}");

    tuned(&lab, &["--netns", "pod", "--apply"])?;
    let after = State::of(&lab, &[&deep])?;
    assert_eq!((after.differing(&before).len(), after.clamped()), (6, vec!["pod"]));
    let recorded = record(&lab)?;
    for arguments in [&["--netns", "pod"][..], &["--netns", "pod", "--apply"]] {
        let said = tuned(&lab, arguments)?;
        assert!(said.contains("nothing to change"), "{said}");
        assert_eq!((&State::of(&lab, &[&deep])?, &record(&lab)?), (&after, &recorded));
    }
    tuned(&lab, &["--revert"])?;
    assert_eq!((State::of(&lab, &[&deep])?, record(&lab)?), (before, None));
    assert_eq!(tuned(&lab, &["--revert"])?, "nothing is recorded as changed\n");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_bridge_that_followed_its_ports_follows_them_still_when_all_is_taken_back() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    tuned(&lab, &["--netns", "pod", "--apply"])?;
    tuned(&lab, &["--revert"])?;
    let port = before.links.keys().find(|(place, link)| place == "pod" && link.starts_with("veth"));
    let (_, port) = port.context("docker made a veth")?;
    lab.set_link_mtu(Place::Pod, port, 1444)?;
    assert_eq!(lab.link_mtu(Place::Pod, "docker0")?, 1444);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_what_is_applied_twice_the_first_value_is_restored() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    tuned(&lab, &["--netns", "pod", "--apply"])?;
    tuned(&lab, &["--netns", "pod", "--max-dind-mtu", "1400", "--apply"])?;
    assert_eq!(lab.link_mtu(&deep, "eth0")?, 1400);
    tuned(&lab, &["--revert"])?;
    assert_eq!(State::of(&lab, &[&deep])?, before);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_somebody_set_since_stays_and_what_is_gone_is_forgotten() -> Result<()> {
    let (lab, deep) = lab()?;
    let service = lab.start_container(Level::Two, &Container::on_network("bridge").name("service"))?;
    let before = State::of(&lab, &[&deep])?;
    tuned(&lab, &["--netns", "pod", "--apply"])?;
    lab.set_link_mtu(&deep, "eth0", 1380)?;
    drop(service);
    let service = lab.start_container(Level::Two, &Container::on_network("bridge").name("service"))?;
    let said = tuned(&lab, &["--revert"])?;
    assert!(said.contains("eth0 of container deep: 1500 before; somebody gave it 1380 since"), "{said}");
    assert!(said.contains("eth0 of container service: 1500 is gone"), "{said}");
    let now = State::of(&lab, &[&deep])?;
    let differing = before.differing(&now);
    let is_it = |(place, link): &(String, String)| place.contains("deep") || link.starts_with("veth");
    assert!(differing.keys().all(|key| is_it(key)), "the new service's veth has another name: {differing:?}");
    assert_eq!((lab.link_mtu(&deep, "eth0")?, lab.link_mtu(&service, "eth0")?), (1380, 1500));
    assert_eq!(record(&lab)?, None);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_recorded_value_is_never_given_to_another_link() -> Result<()> {
    let (lab, deep) = lab()?;
    for (key, value) in [
        ("name", json!("other")),
        ("kind", json!("tun")),
        ("linked", json!(4_000)),
        ("ifindex", json!(4_000)),
        ("netns", json!({"device": 4, "inode": 1})),
        ("netns", json!({"device": 5_000, "inode": 4_026_531_840_u64})),
    ] {
        tuned(&lab, &["--netns", "pod", "--mode", "links", "--apply"])?;
        let tuned_state = State::of(&lab, &[&deep])?;
        let original = record(&lab)?.context("it was recorded")?;
        let mut forged = original.clone();
        for link in forged["links"].as_array_mut().context("a list")? {
            link[key] = value.clone();
        }
        forge(&lab, &forged)?;
        let said = tuned(&lab, &["--revert"])?;
        assert_eq!(State::of(&lab, &[&deep])?, tuned_state, "{key}: {said}");
        assert!(said.lines().all(|line| line.ends_with("is gone")), "{said}");
        forge(&lab, &original)?;
        tuned(&lab, &["--revert"])?;
        assert_eq!(lab.link_mtu(&deep, "eth0")?, 1500);
    }
    Ok(())
}

/// Replaces the record.
fn forge(lab: &DockerLab, record: &Value) -> Result<()> {
    fs::write(lab.path("/run/mtu-agent/tune.json"), serde_json::to_vec(record)?).context("write the record")
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn capabilities_that_are_missing_are_named_before_anything_is_changed() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    for (dropped, named) in [
        ("-sys_admin", "CAP_SYS_ADMIN to enter network namespaces"),
        ("-net_admin", "CAP_NET_ADMIN to set MTUs and nftables"),
        ("-sys_ptrace", "CAP_SYS_PTRACE to find them by the processes in them"),
    ] {
        let without = ["setpriv", "--bounding-set", dropped, MTU_AGENT, "tune"];
        for arguments in [&["--netns", "pod", "--apply"][..], &["--revert"]] {
            let output = lab.run(Place::Node, &[&without[..], arguments].concat())?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{said}");
            assert!(said.contains(named) && said.contains("nothing was changed"), "{said}");
        }
        assert_eq!((&State::of(&lab, &[&deep])?, record(&lab)?), (&before, None));
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn one_container_is_tuned_alone_and_hosts_with_pods_are_not_tuned_as_a_whole() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    let (code, _, said) = tune(&lab, &["--all-docker", "--apply"])?;
    assert!(code == 2 && said.contains("this host runs pods (cali"), "{code} {said}");
    tuned(&lab, &["--container", "deep", "--mode", "links", "--apply"])?;
    let after = State::of(&lab, &[&deep])?;
    let changed = after.differing(&before);
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), [(&("3 deep".into(), "eth0".into()), (1450, 1500))]);
    tuned(&lab, &["--revert"])?;
    assert_eq!(State::of(&lab, &[&deep])?, before);
    Ok(())
}
