//! The configuration, read again as the agent runs.

use std::fs;

use anyhow::{Context as _, Result};
use mtu_lab::docker::{NetnsLab, Place, SERVER, Signal};

use super::{PUBLISHED, agent, lab, until_published};

const TAKEN: &str = "mtu_agent_config_last_reload_successful";

/// A file that is watched, and a link to it from a directory that is not touched: that one takes a SIGHUP.
const FILE: &str = "/run/conf/agent.toml";
const LINK: &str = "/run/link/agent.toml";

fn write(lab: &NetnsLab, text: &str) -> Result<()> {
    let path = lab.path(FILE);
    fs::create_dir_all(path.parent().context("a directory")?)?;
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_file_that_changes_is_taken_and_a_bad_one_refused_while_the_old_goes_on() -> Result<()> {
    let lab = lab()?;
    write(&lab, "max_dind_mtu = 1300\n")?;
    let mut agent = agent().args(&["--config", FILE]).start(&lab)?;
    agent.until_sample(PUBLISHED, 1300.0)?;
    agent.until_sample(TAKEN, 1.0)?;

    for (bad, why) in [
        ("max_dind_mtu = 5\n", "max_dind_mtu is 5"),
        ("max_dind_mtu = \n", "understand the configuration"),
        ("max_dind_mtu = 1200\nmax_dind_mut = 1\n", "understand the configuration"),
        ("max_dind_mtu = 1200\ntargets = [\"http://registry\"]\n", "target 1"),
    ] {
        write(&lab, bad)?;
        let refused = agent.told("configuration refused; the old one goes on")?;
        let error = refused["error"].as_str().context("a reason")?;
        assert!(error.contains(why), "{bad:?}: {error}");
        agent.until_sample(TAKEN, 0.0)?;
        // A link that changes has everything concluded anew, by the old configuration.
        lab.set_link_mtu(Place::Node, "eth0", 1470)?;
        assert!(agent.metrics()?.is(PUBLISHED, 1300.0));
    }

    write(&lab, "max_dind_mtu = 1250\n")?;
    agent.until_sample(PUBLISHED, 1250.0)?;
    agent.until_sample(TAKEN, 1.0)?;
    until_published(&agent, 1250)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_change_that_no_watch_sees_is_taken_on_sighup() -> Result<()> {
    let lab = lab()?;
    write(&lab, "max_dind_mtu = 1300\n")?;
    lab.check_in(Place::Node, &["mkdir", "/run/link"])?;
    lab.check_in(Place::Node, &["ln", "-s", FILE, LINK])?;
    let mut agent = agent().args(&["--config", LINK]).start(&lab)?;
    agent.until_sample(PUBLISHED, 1300.0)?;
    write(&lab, "max_dind_mtu = 1\n")?;
    agent.process().signal(Signal::HUP)?;
    agent.told("configuration refused; the old one goes on")?;
    agent.until_sample(TAKEN, 0.0)?;
    write(&lab, "max_dind_mtu = 1200\n")?;
    agent.process().signal(Signal::HUP)?;
    agent.until_sample(PUBLISHED, 1200.0)?;
    agent.until_sample(TAKEN, 1.0)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn targets_come_and_go_with_the_file() -> Result<()> {
    let lab = lab()?;
    write(&lab, "")?;
    let agent = agent().args(&["--config", FILE, "--probe-interval", "1s"]).start(&lab)?;
    agent.until_ready()?;
    assert_eq!(agent.metrics()?.sum("mtu_agent_path_verdict"), None);
    write(&lab, &format!("targets = [\"{SERVER}\"]\n"))?;
    agent.until("a verdict", |agent| {
        Ok((agent.metrics()?.sum("mtu_agent_path_verdict") == Some(1.0)).then_some(()))
    })?;
    write(&lab, "targets = []\n")?;
    agent.until("no verdict", |agent| {
        Ok(agent.metrics()?.sum("mtu_agent_path_verdict").is_none().then_some(()))
    })
}
