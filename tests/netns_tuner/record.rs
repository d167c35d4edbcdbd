//! What was there before, whatever ends the agent, and whoever else is there.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::docker::{NetnsLab, Place, Process, Signal};
use serde_json::Value;

use crate::*;

/// An agent that has lowered both ends of a fresh pair, and is killed before one of them moves.
fn killed_after_a_pair(lab: &NetnsLab) -> Result<()> {
    let agent = tuning(lab, 1)?;
    pair(lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&agent, lab, Place::Node, STAYS, UPLINK)?;
    until_mtu(&agent, lab, Place::Node, MOVES, UPLINK)?;
    agent.process().signal(Signal::KILL)?;
    agent.process().wait()?;
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_a_killed_agent_wrote_is_taken_back_where_it_has_moved_to() -> Result<()> {
    let lab = lab()?;
    killed_after_a_pair(&lab)?;
    // It has another index there, and another name.
    lab.netns("c1")?;
    lab.ip_batch(
        Place::Netns("c1"),
        &(0..8).fold(String::new(), |all, it| all + &format!("link add d{it} type bridge\n")),
    )?;
    container_in(&lab, "c1")?;
    let record = recorded(&lab)?;
    let moved = record["links"].as_array().context("links")?.iter().find(|it| it["name"] == MOVES);
    let index = ifindex(&lab, Place::Netns("c1"), "eth0")?;
    ensure!(
        moved.context("it is recorded")?["ifindex"] != index,
        "the test wants another index than {index}"
    );

    let said = revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER, "{said}");
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER, "{said}");
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, DOCKER, "{said}");
    assert!(!is_clamped(&lab, Place::Node)? && recorded(&lab).is_err());
    Ok(())
}

fn container_in(lab: &NetnsLab, name: &str) -> Result<()> {
    lab.ip_batch(
        Place::Node,
        &format!("link set {STAYS} master docker0\nlink set {MOVES} netns {name} name eth0"),
    )
}

fn ifindex(lab: &NetnsLab, place: Place<'_>, link: &str) -> Result<Value> {
    let links: Value =
        serde_json::from_str(&lab.check_in(place, &["ip", "-j", "link", "show", "dev", link])?)?;
    Ok(links[0]["ifindex"].clone())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn an_agent_that_starts_again_finishes_what_was_begun_and_remembers_what_was_there_first() -> Result<()> {
    let lab = lab()?;
    killed_after_a_pair(&lab)?;
    container(&lab, "c1", 2, STAYS, MOVES)?;
    lab.set_link_mtu(Place::Node, STAYS, 1500)?;
    lab.set_link_mtu(Place::Netns("c1"), "eth0", 1500)?;
    let agent = tuning(&lab, 2)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    agent.stop()?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK, "what is tuned stays");
    assert!(is_clamped(&lab, Place::Node)?);
    revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn beside_an_agent_that_tunes_nothing_is_taken_back_by_hand() -> Result<()> {
    let lab = lab()?;
    let _agent = tuning(&lab, 1)?;
    let refused = lab.run(Place::Node, &[MTU_AGENT, "tune", "--revert"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("an agent is tuning this host"), "{said}");
    assert!(is_clamped(&lab, Place::Node)?);
    let planned = lab.run(Place::Node, &[MTU_AGENT, "tune", "--all-docker", "--apply"])?;
    assert_eq!(planned.status.code(), Some(0), "{planned:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_two_agents_the_second_waits_for_the_end_of_the_first() -> Result<()> {
    let lab = lab()?;
    let first = tuning(&lab, 1)?;
    let mut second = agent("links").start(&lab)?;
    second.told("another agent tunes this host: nothing is tuned before it ends")?;
    first.stop()?;
    second.until_sample("mtu_agent_tuned_namespaces", 1.0)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    until_mtu(&second, &lab, Place::Node, STAYS, UPLINK)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn that_nothing_can_be_recorded_is_said_once_until_it_can_be_again() -> Result<()> {
    const SAID: &str = "new links are not lowered, for that cannot be recorded";
    let lab = lab()?;
    let mut agent = agent("links").args(&["--log", DEBUG]).start(&lab)?;
    agent.until_sample("mtu_agent_tuned_namespaces", 1.0)?;
    let record = lab.path("/run/mtu-agent/tune.json");
    let distrusted = || fs::set_permissions(&record, Permissions::from_mode(0o666));
    distrusted()?;
    for number in 0..4 {
        pair(&lab, Place::Node, &format!("vethaaaaaa{number}"), &format!("vethbbbbbb{number}"))?;
        agent.told("links are to be written")?;
    }
    fs::remove_file(&record)?;
    until_answered(&agent, &lab, Place::Node)?;
    let times = agent.log()?.iter().filter(|entry| entry["message"] == SAID).count();
    assert_eq!(times, 1);
    assert_eq!(lab.link_mtu(Place::Node, "vethaaaaaa0")?, UPLINK, "it was only put off");
    distrusted()?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    agent.told(SAID).map(drop)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn pairs_that_ended_are_forgotten_and_ends_that_moved_are_not() -> Result<()> {
    const PAIRS: usize = 50;
    let lab = lab()?;
    let agent = tuning(&lab, 1)?;
    pair(&lab, Place::Node, STAYS, MOVES)?;
    for end in [STAYS, MOVES] {
        until_mtu(&agent, &lab, Place::Node, end, UPLINK)?;
    }
    container(&lab, "c1", 2, STAYS, MOVES)?;
    let mut many = String::new();
    for pair in 0..PAIRS {
        writeln!(many, "link add veth{pair:07x} group 7 type veth peer name vethf{pair:06x}")?;
    }
    for _ in 0..5 {
        lab.ip_batch(Place::Node, &many)?;
        until_answered(&agent, &lab, Place::Node)?;
        lab.ip(&["link", "delete", "group", "7"])?;
    }
    // It is looked at again when it has doubled.
    let most = 2 * (2 * PAIRS + 4);
    agent.until("a short record", |_| {
        let links = recorded(&lab)?["links"].as_array().context("links")?.len();
        Ok((links <= most).then_some(()))
    })?;
    agent.stop()?;
    revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, DOCKER);
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER);
    Ok(())
}

fn forge(lab: &NetnsLab, change: impl Fn(&mut Value)) -> Result<()> {
    let mut record = recorded(lab)?;
    change(&mut record);
    fs::write(lab.path("/run/mtu-agent/tune.json"), serde_json::to_vec(&record)?).context("write the record")
}

/// The inode of a namespace that has a name.
fn inode(lab: &NetnsLab, name: &str) -> Result<u64> {
    let said = lab.check_in(Place::Node, &["stat", "-Lc", "%i", &format!("/run/netns/{name}")])?;
    said.trim().parse().context("a number")
}

/// All that is recorded of the namespace `from` is of `to`, as if that had got its inode.
fn rename(record: &mut Value, from: u64, to: u64) {
    for kind in ["links", "clamps"] {
        for it in record[kind].as_array_mut().into_iter().flatten() {
            if it["netns"]["inode"] == from {
                it["netns"]["inode"] = to.into();
            }
        }
    }
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_got_the_inode_of_an_ended_one_is_not_given_what_that_had() -> Result<()> {
    let lab = lab()?;
    let container = |name: &str, mtu| {
        lab.netns(name)?;
        lab.ip_batch(
            Place::Node,
            &format!(
                "link add {STAYS} index 78 mtu {mtu} type veth peer name eth0 index 79 mtu {mtu} netns {name}
                 link set {STAYS} master docker0
                 link set {STAYS} up"
            ),
        )?;
        let routed = "link set eth0 up\naddr add 172.17.0.2/16 dev eth0\nroute add default via 172.17.0.1";
        lab.ip_batch(Place::Netns(name), routed)
    };
    container("c1", DOCKER)?;
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--netns", "c1", "--apply"])?;
    assert_eq!(lab.link_mtu(Place::Netns("c1"), "eth0")?, UPLINK);
    // The next one has the same links, and somebody has told its daemon the MTU.
    let ended = inode(&lab, "c1")?;
    lab.ip(&["link", "delete", STAYS])?;
    lab.ip(&["netns", "delete", "c1"])?;
    container("c2", UPLINK)?;
    lab.nft(Place::Netns("c2"), "table inet mtu_agent {}")?;
    let next = inode(&lab, "c2")?;
    forge(&lab, |record| rename(record, ended, next))?;
    let forged = recorded(&lab)?;

    let said = revert(&lab)?;
    assert!(said.lines().all(|line| line.ends_with("is gone")), "{said}");
    assert_eq!(lab.link_mtu(Place::Netns("c2"), "eth0")?, UPLINK, "{said}");
    assert!(is_clamped(&lab, Place::Netns("c2"))? && recorded(&lab).is_err());

    // Without the cookies they are the same.
    fs::write(lab.path("/run/mtu-agent/tune.json"), serde_json::to_vec(&forged)?)?;
    forge(&lab, without_cookies)?;
    let said = revert(&lab)?;
    assert_eq!(lab.link_mtu(Place::Netns("c2"), "eth0")?, DOCKER, "{said}");
    Ok(())
}

/// As a kernel before Linux 5.14 would have it.
fn without_cookies(record: &mut Value) {
    for kind in ["links", "clamps"] {
        for it in record[kind].as_array_mut().into_iter().flatten() {
            it.as_object_mut().and_then(|it| it.remove("cookie")).expect("this kernel has them");
        }
    }
}

/// A namespace that nothing but a process leads into.
fn nameless(lab: &NetnsLab) -> Result<(Process, String)> {
    let words = ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"];
    let process = lab.spawn(Place::Node, NetnsLab::command(&words).stdout(Stdio::piped()))?;
    process.take_stdout().context("it has a stdout")?.read_exact(&mut [0])?;
    let pid = process.lab_pid()?.to_string();
    Ok((process, pid))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_cannot_be_seen_from_a_container_stays_recorded() -> Result<()> {
    let lab = lab()?;
    let (_process, pid) = nameless(&lab)?;
    lab.ip_batch(
        Place::Node,
        &format!(
            "link add {STAYS} type veth peer name eth0 netns {pid}
             link set {STAYS} master docker0
             link set {STAYS} up"
        ),
    )?;
    let inside = |words: &[&str]| {
        let entered = ["nsenter", "--target", &pid, "--net", "ip"];
        lab.check_in(Place::Node, &[&entered[..], words].concat())
    };
    inside(&["addr", "add", "172.17.0.2/16", "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", "172.17.0.1"])?;
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--netns", &pid, "--mode", "clamp", "--apply"])?;
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--all-docker", "--mode", "links", "--apply"])?;
    assert!(inside(&["link", "show", "eth0"])?.contains("mtu 1400 "));
    let before = recorded(&lab)?;

    let container = ["unshare", "--pid", "--fork", "--mount-proc", MTU_AGENT, "tune", "--revert"];
    let output = lab.run(Place::Node, &container)?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(said.matches("not all are seen: run with the host's pids").count(), 2, "{said}");
    assert_eq!(lab.link_mtu(Place::Node, STAYS)?, DOCKER, "what is seen is taken back: {said}");
    let left = recorded(&lab)?;
    assert_eq!(left["clamps"], before["clamps"]);
    assert_eq!(left["links"].as_array().map(Vec::len), Some(1), "{left:#}");

    revert(&lab)?;
    assert!(inside(&["link", "show", "eth0"])?.contains("mtu 1500 "));
    assert!(recorded(&lab).is_err());
    Ok(())
}
