//! The agent while everything around it goes wrong. The wall clock that steps is in `netns_agent/wall_clock.rs`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec, page};
use mtu_lab::docker::{NetnsLab, Place, Process, Signal};
use serde_json::Value;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const PUBLISHED: &str = "mtu_agent_published_dind_mtu_bytes";
const DIND_MTU: &str = "dind-mtu";

fn agent() -> AgentSpec {
    AgentSpec::new(MTU_AGENT)
}

/// `lo`, `eth0` and what its wire is.
const LINKS: usize = 3;

/// A node with an uplink of 1400, and nothing nested.
fn lab() -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        "link add eth0 mtu 1400 type veth peer name wire
         link set wire up
         link set eth0 up
         addr add 192.0.2.2/24 dev eth0
         route add default via 192.0.2.1",
    )?;
    Ok(lab)
}

/// Pods that come and go until nobody reads how many, each with a bridge inside, and the uplink between two sizes.
fn churn(lab: &NetnsLab) -> Result<Process> {
    const SCRIPT: &str = r#"n=0
while :; do
    n=$((n + 1))
    ip netns add "pod$n"
    ip link add "v$n" type veth peer name eth0 netns "pod$n"
    ip link set "v$n" up
    ip link set eth0 mtu $((1400 + 50 * (n % 2)))
    ip -n "pod$n" link add docker0 type bridge
    ip netns del "pod$n"
    echo "$n"
done"#;
    let mut command = NetnsLab::command(&["sh", "-c", SCRIPT]);
    lab.spawn(Place::Node, command.stdout(Stdio::piped()).stderr(Stdio::null()))
}

/// Ends it between two turns: what it says is not read any more.
fn end(churn: &Process, said: impl BufRead) -> Result<()> {
    drop(said);
    churn.wait().map(drop)
}

/// Waits for some turns of the churn.
fn turns(churn: &mut impl BufRead, turns: usize) -> Result<()> {
    for _ in 0..turns {
        ensure!(churn.read_line(&mut String::new())? > 0, "the churn ended");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn namespaces_that_vanish_while_they_are_read_are_no_failure() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent().start(&lab)?;
    agent.until_ready()?;
    let churn = churn(&lab)?;
    let mut said = BufReader::new(churn.take_stdout().context("a stdout")?);
    turns(&mut said, 100)?;
    end(&churn, said)?;

    agent.until("the kernel has ended all of it", |_| {
        let links = lab.ip(&["-oneline", "link"])?.lines().count();
        Ok((links == LINKS).then_some(()))
    })?;
    agent.until_as_fresh(1)?;
    let metrics = agent.metrics()?;
    assert_eq!(metrics.value("mtu_agent_survey_errors_total"), Some(0.0));
    let events = metrics.value("mtu_agent_surveys_total{reason=\"event\"}").context("a counter")?;
    assert!(events > 10.0, "{events} surveys were made of it");
    let complaints: Vec<_> = agent.log()?.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_full_disk_is_said_and_leaves_the_old_files_until_there_is_room() -> Result<()> {
    let lab = lab()?;
    lab.check_in(Place::Node, &["mkdir", "/run/small"])?;
    lab.check_in(Place::Node, &["mount", "-t", "tmpfs", "-o", "size=64k", "small", "/run/small"])?;
    let mut agent = agent().directory("/run/small/mtu-agent").start(&lab)?;
    agent.until("the first files", |agent| Ok(agent.file(DIND_MTU).exists().then_some(())))?;
    let before: Vec<_> = files(&agent)?;

    let filler = lab.path("/run/small/filler");
    assert!(fs::write(&filler, vec![0; 100_000]).is_err(), "it fills the disk");
    lab.set_link_mtu(Place::Node, "eth0", 1300)?;
    let warning = agent.told("a host file is not up to date; the old one stays")?;
    assert!(warning["error"].as_str().is_some_and(|error| error.contains("No space left")), "{warning}");
    let full = "mtu_agent_host_file_writes_total{result=\"disk_full\"}";
    agent.until("the metric", |agent| Ok((agent.metrics()?.value(full) > Some(1.0)).then_some(())))?;
    agent.until_sample(PUBLISHED, 1300.0)?;
    assert_eq!(files(&agent)?, before, "whole, and old");

    // The next change finds room, and so would the next resync.
    fs::remove_file(filler)?;
    lab.ip(&["link", "add", "br0", "type", "bridge"])?;
    agent.until("the new value", |agent| {
        Ok((fs::read_to_string(agent.file(DIND_MTU))? == "1300\n").then_some(()))
    })?;
    files_are_whole(&agent)?;
    Ok(())
}

/// Has whoever opens the file wait until this is dropped: the kernel asks the holder of a lease first (`fcntl(2)`), and
/// is patient for 45 seconds (`/proc/sys/fs/lease-break-time`). A disk that hangs looks the same.
fn hold(lab: &NetnsLab, file: &str) -> Result<Process> {
    // F_SETLEASE, F_WRLCK (`include/uapi/linux/fcntl.h`).
    const SCRIPT: &str = r#"$| = 1; $SIG{IO} = "IGNORE";
open(my $file, "<", $ARGV[0]) or die $!;
fcntl($file, 1024, 1) or die $!;
print "held\n";
sleep;"#;
    let mut command = NetnsLab::command(&["perl", "-e", SCRIPT, file]);
    let holder = lab.spawn(Place::Node, command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let mut said = BufReader::new(holder.take_stdout().context("a stdout")?);
    ensure!(said.read_line(&mut String::new())? > 0, "{file} is not held");
    Ok(holder)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_disk_that_hangs_keeps_neither_the_loop_nor_the_pages_nor_the_end() -> Result<()> {
    let lab = lab()?;
    let mut agent = agent().start(&lab)?;
    until_told(&agent, 1400)?;
    let held = hold(&lab, "/run/mtu-agent/daemon.json")?;
    lab.set_link_mtu(Place::Node, "eth0", 1350)?;
    agent.told("the disk is slow or hangs: the host files are not up to date")?;
    for mtu in [1340, 1330, 1320] {
        lab.set_link_mtu(Place::Node, "eth0", mtu)?;
        agent.until_sample(PUBLISHED, mtu.into())?;
        agent.until("the page", |agent| {
            Ok((agent.survey()?["safe_dind_mtu"]["value"] == mtu).then_some(()))
        })?;
    }
    assert!(agent.page("/healthz")?.0);
    assert_eq!(fs::read_to_string(agent.file(DIND_MTU))?, "1400\n");

    drop(held);
    until_told(&agent, 1320)?;
    files_are_whole(&agent)?;

    let _held = hold(&lab, "/run/mtu-agent/daemon.json")?;
    lab.set_link_mtu(Place::Node, "eth0", 1310)?;
    agent.until_sample(PUBLISHED, 1310.0)?;
    let (code, took) = agent.stop()?;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(fs::read_to_string(agent.file(DIND_MTU))?, "1320\n");
    Ok(())
}

fn until_told(agent: &Agent<'_>, mtu: u16) -> Result<()> {
    let file = agent.file(DIND_MTU);
    agent.until(&format!("a host file with {mtu}"), |_| {
        Ok((file.exists() && fs::read_to_string(&file)? == format!("{mtu}\n")).then_some(()))
    })
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn files_that_could_not_be_written_are_written_by_the_next_resync_at_latest() -> Result<()> {
    let lab = lab()?;
    lab.check_in(Place::Node, &["mkdir", "/run/small"])?;
    lab.check_in(Place::Node, &["mount", "-t", "tmpfs", "-o", "size=64k", "small", "/run/small"])?;
    let filler = lab.path("/run/small/filler");
    assert!(fs::write(&filler, vec![0; 100_000]).is_err(), "it fills the disk");
    let agent = agent().directory("/run/small").args(&["--resync-interval", "1s"]).start(&lab)?;
    agent.until_sample(PUBLISHED, 1400.0)?;
    assert!(!agent.file(DIND_MTU).exists());
    fs::remove_file(filler)?;
    agent.until("the files", |agent| Ok(agent.file(DIND_MTU).exists().then_some(())))?;
    files_are_whole(&agent)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_port_that_is_taken_is_said_and_ends_it_with_2() -> Result<()> {
    let lab = lab()?;
    let taken = lab.enter(Place::Node, || TcpListener::bind("127.0.0.1:0"))??;
    let address = taken.local_addr()?.to_string();
    let words = [MTU_AGENT, "agent", "--standalone", "--listen", &address, "--directory", "/run/second"];
    let output = lab.run(Place::Node, &words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("{address} is in use")), "{said}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_an_address_for_metrics_it_tells_its_value_and_serves_them_once_there_is_one() -> Result<()> {
    let lab = lab()?;
    let taken = lab.enter(Place::Node, || TcpListener::bind("127.0.0.1:0"))??;
    let address = taken.local_addr()?;
    let mut agent = agent().args(&["--metrics-listen", &address.to_string()]).start(&lab)?;
    let told = agent.told("metrics are not served to others; it is tried again")?;
    assert!(told["error"].as_str().is_some_and(|error| error.contains("is in use")), "{told}");
    agent.until("the files", |agent| Ok(agent.file(DIND_MTU).exists().then_some(())))?;
    drop(taken);
    agent.told("metrics are served to others")?;
    let (ok, metrics) = lab.enter(Place::Node, move || page(address, "/metrics"))??;
    assert!(ok && metrics.contains("mtu_agent_build_info"), "{metrics}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn killed_at_any_time_it_leaves_whole_files_and_goes_on_from_them() -> Result<()> {
    let lab = lab()?;
    let churn = churn(&lab)?;
    let mut said = BufReader::new(churn.take_stdout().context("a stdout")?);
    for _ in 0..10 {
        let agent = agent().args(&["--raise-after", "0s"]).start(&lab)?;
        agent.until("the files", |agent| Ok(agent.file(DIND_MTU).exists().then_some(())))?;
        turns(&mut said, fastrand::usize(1..6))?;
        for _ in 0..fastrand::usize(0..500) {
            fs::metadata(agent.file(DIND_MTU))?;
        }
        agent.process().signal(Signal::KILL)?;
        agent.process().wait()?;
        files_are_whole(&agent)?;
    }
    end(&churn, said)?;
    let mut agent = agent().start(&lab)?;
    agent.until_ready()?;
    let file = agent.file(DIND_MTU);
    let directory = file.parent().context("a directory")?;
    agent.until("what the killed ones left unfinished is removed", |_| {
        Ok((fs::read_dir(directory)?.count() == 3).then_some(()))
    })?;
    let complaints: Vec<_> = agent.log()?.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

fn files(agent: &Agent<'_>) -> Result<Vec<Vec<u8>>> {
    [DIND_MTU, "daemon.json", "survey.json"].into_iter().map(|name| Ok(fs::read(agent.file(name))?)).collect()
}

/// Each is one that was written as a whole. Two of them need not agree: they are replaced one after the other.
fn files_are_whole(agent: &Agent<'_>) -> Result<()> {
    let files = files(agent)?;
    let number = String::from_utf8(files[0].clone())?;
    let number: u32 = number.strip_suffix('\n').context("a newline")?.parse()?;
    let daemon: Value = serde_json::from_slice(&files[1])?;
    let survey: Value = serde_json::from_slice(&files[2])?;
    ensure!((1300..=1450).contains(&number), "dind-mtu says {number}");
    ensure!(daemon["mtu"].as_u64().is_some_and(|mtu| (1300..=1450).contains(&mtu)), "{daemon}");
    ensure!(survey["schema"] == "mtu-agent.dev/survey/v1" && survey["unseen"].is_array(), "{survey}");
    Ok(())
}
