//! What docker's own files tell: names of containers, and which namespace file is whose.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::kernel::procfs;

/// Where a dockerd keeps its state unless told otherwise.
const DATA_ROOT: &str = "/var/lib/docker";

/// A container, as far as it is of interest here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Its name, without docker's leading slash.
    pub name: String,
    /// Name of the file in `/run/docker/netns` that pins its namespace.
    pub sandbox: Option<String>,
}

/// Part of `config.v2.json`, the same since Docker 1.10.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigV2 {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    network_settings: Option<NetworkSettings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    sandbox_key: Option<String>,
}

/// Containers of this host's dockerd and of each dockerd among `dockerds`, as far as their files can be read.
pub fn containers(dockerds: &[u32]) -> BTreeMap<String, Container> {
    let nested = dockerds.iter().map(|pid| data_root_of(&procfs::root(*pid), &procfs::arguments(*pid)));
    let roots = nested.chain([PathBuf::from(DATA_ROOT)]);
    roots.flat_map(|root| containers_in(&root.join("containers"))).collect()
}

/// The data root that a dockerd was told, as a path outside of its own file tree.
fn data_root_of(root: &Path, arguments: &[String]) -> PathBuf {
    let told = arguments.iter().enumerate().find_map(|(position, argument)| match argument.split_once('=') {
        Some(("--data-root" | "--graph" | "-g", path)) => Some(path.to_owned()),
        Some(_) => None,
        None if ["--data-root", "--graph", "-g"].contains(&argument.as_str()) => {
            arguments.get(position + 1).cloned()
        }
        None => None,
    });
    let path = told.unwrap_or_else(|| DATA_ROOT.to_owned());
    root.join(path.trim_start_matches('/'))
}

fn containers_in(directory: &Path) -> Vec<(String, Container)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| container(&fs::read(entry.path().join("config.v2.json")).ok()?)).collect()
}

fn container(config: &[u8]) -> Option<(String, Container)> {
    let config: ConfigV2 = serde_json::from_slice(config).ok()?;
    let key = config.network_settings.and_then(|settings| settings.sandbox_key);
    let sandbox = key.as_deref().and_then(|key| key.rsplit('/').next()).filter(|name| !name.is_empty());
    let name = config.name.trim_start_matches('/').to_owned();
    Some((config.id, Container { name, sandbox: sandbox.map(str::to_owned) }))
}

#[cfg(test)]
mod tests;
