//! What a CNI says that its next pod will get, whatever those have that are there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domain::mtu::LinkMtu;

/// Where Calico's node agent leaves the MTU that it computed for pods.
pub const CALICO_MTU: &str = "/var/lib/calico/mtu";

/// The MTU that the next pod will get, by a file of its CNI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedMtu {
    /// The value.
    pub mtu: LinkMtu,
    /// The file that says so.
    pub from: PathBuf,
}

/// From Calico's file, else from the first CNI configuration that names an MTU; the latter's order is kubelet's.
pub fn read(calico: &Path, config_directory: &Path) -> Option<ExpectedMtu> {
    by_calico(calico).or_else(|| by_config(config_directory))
}

fn by_calico(path: &Path) -> Option<ExpectedMtu> {
    let mtu = usable(fs::read_to_string(path).ok()?.trim().parse().ok()?)?;
    Some(ExpectedMtu { mtu, from: path.to_owned() })
}

fn by_config(directory: &Path) -> Option<ExpectedMtu> {
    let mut files: Vec<_> = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let is_config = |path: &Path| {
        path.extension()
            .is_some_and(|extension| ["conf", "conflist", "json"].iter().any(|it| extension == *it))
    };
    // A runtime takes the first file, whatever it says.
    let from = files.into_iter().find(|path| is_config(path))?;
    let config: Value = serde_json::from_slice(&fs::read(&from).ok()?).ok()?;
    let plugins = config["plugins"].as_array().into_iter().flatten();
    let mtu = std::iter::once(&config).chain(plugins).find_map(mtu_of)?;
    Some(ExpectedMtu { mtu, from })
}

/// A number, or a number as text; Calico's template leaves `__CNI_MTU__`, and 0 means that the plugin decides.
fn mtu_of(plugin: &Value) -> Option<LinkMtu> {
    let mtu = &plugin["mtu"];
    usable(mtu.as_u64().or_else(|| mtu.as_str()?.parse().ok())?)
}

fn usable(mtu: u64) -> Option<LinkMtu> {
    let mtu = u32::try_from(mtu).ok().filter(|mtu| (68..=65_535).contains(mtu))?;
    LinkMtu::new(mtu).ok()
}

#[cfg(test)]
mod tests;
