//! What can be written, as it is: every link's MTU, and every table.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::docker::{Container, DockerLab, Level, Place};
use serde_json::Value;

pub(crate) const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const RECORD: &str = "/run/mtu-agent/tune.json";

/// What `mtu-agent tune` says: its exit code, stdout and stderr.
pub(crate) fn tune(lab: &DockerLab, arguments: &[&str]) -> Result<(i32, String, String)> {
    let output = lab.run(Place::Node, &[&[MTU_AGENT, "tune"], arguments].concat())?;
    let code = output.status.code().context("it was killed")?;
    Ok((code, String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

/// The same where it is to succeed.
pub(crate) fn tuned(lab: &DockerLab, arguments: &[&str]) -> Result<String> {
    let (code, stdout, stderr) = tune(lab, arguments)?;
    ensure!(code == 0 && stderr.is_empty(), "tune {arguments:?} ends with {code}: {stderr}{stdout}");
    Ok(stdout)
}

/// Links and tables of namespaces, by what the test calls them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) links: BTreeMap<(String, String), u64>,
    tables: BTreeMap<String, String>,
}

impl State {
    /// Of the node, the pod, the containers that dockerds run in, and `containers`.
    pub(crate) fn of(lab: &DockerLab, containers: &[&Container]) -> Result<Self> {
        let dind = [Level::Two, Level::Three].map(|level| lab.dockerd_container(level).ok());
        let mut places = vec![("node".to_owned(), Place::Node)];
        if lab.ip(&["netns", "list"])?.contains("pod") {
            places.push(("pod".to_owned(), Place::Pod));
        }
        let containers = containers.iter().copied().chain(dind.iter().flatten());
        places.extend(containers.map(|it| (format!("{} {}", it.level(), it.name()), it.into())));
        let mut state = Self { links: BTreeMap::new(), tables: BTreeMap::new() };
        for (name, place) in places {
            let links: Value = serde_json::from_str(&lab.check_in(place, &["ip", "-j", "link"])?)?;
            for link in links.as_array().context("a list of links")? {
                let (link, mtu) = (link["ifname"].as_str(), link["mtu"].as_u64());
                let key = (name.clone(), link.context("a name")?.to_owned());
                state.links.insert(key, mtu.context("an MTU")?);
            }
            // Without what counts packets.
            state.tables.insert(name, lab.check_in(place, &["nft", "--stateless", "list", "ruleset"])?);
        }
        Ok(state)
    }

    /// Links that differ, with what they have here and there.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> BTreeMap<&'a (String, String), (u64, u64)> {
        let differing = self.links.iter().filter(|(key, mtu)| other.links.get(key) != Some(mtu));
        differing.map(|(key, mtu)| (key, (*mtu, other.links.get(key).copied().unwrap_or_default()))).collect()
    }

    /// The places with the clamp.
    pub(crate) fn clamped(&self) -> Vec<&str> {
        let clamped = self.tables.iter().filter(|(_, tables)| tables.contains("table inet mtu_agent {"));
        clamped.map(|(place, _)| place.as_str()).collect()
    }
}

/// What is recorded as changed.
pub(crate) fn record(lab: &DockerLab) -> Result<Option<Value>> {
    let path = lab.path(RECORD);
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
}
