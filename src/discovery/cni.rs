//! Which CNI made the pods' links: a guess, with its reason.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::domain::link::{Ifindex, Link, LinkKind};
use crate::domain::topology::{HOST, NetnsIx, Topology};

/// A guess at the CNI.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cni {
    /// Its usual name.
    pub name: String,
    /// What it is guessed from.
    pub why: String,
}

/// Where kubelet's container runtime looks for CNI configurations.
pub const CONFIG_DIRECTORY: &str = "/etc/cni/net.d";

/// Names of links that only one CNI makes, the surest first. A trailing `*` stands for the rest of a pod's name.
const SIGNS: [(&str, &str); 13] = [
    ("cilium_host", "Cilium"),
    ("ovn0", "Kube-OVN"),
    ("ovn-k8s-mp0", "OVN-Kubernetes"),
    ("antrea-gw0", "Antrea"),
    ("vxlan.calico", "Calico"),
    ("cali*", "Calico"),
    ("flannel.*", "Flannel"),
    ("flannel-wg", "Flannel"),
    ("weave", "Weave Net"),
    ("kube-bridge", "kube-router"),
    ("eni*", "AWS VPC CNI"),
    ("gke*", "GKE"),
    ("azv*", "Azure CNI"),
];

/// From the host's links, else from the first configuration in `config_directory`.
pub fn guess(topology: &Topology, config_directory: &Path) -> Option<Cni> {
    by_links(topology).or_else(|| by_config(config_directory))
}

fn by_links(topology: &Topology) -> Option<Cni> {
    let links = &topology.netns(HOST).links;
    SIGNS.iter().find_map(|(sign, name)| {
        let link = links.values().find(|link| matches(sign, link))?;
        Some(Cni { name: (*name).to_owned(), why: format!("link {} on the host", link.name) })
    })
}

/// A pod's end must be a pair with a far end in another namespace: a network card may be named eni0 as well.
fn matches(sign: &str, link: &Link<NetnsIx>) -> bool {
    match sign.strip_suffix('*') {
        Some(prefix) if sign.contains('.') => link.name.starts_with(prefix),
        Some(prefix) => {
            let leads_to_a_pod =
                link.kind.is_pair() && link.linked.is_some_and(|linked| linked.netns != HOST);
            leads_to_a_pod && link.name.starts_with(prefix)
        }
        None => link.name == sign,
    }
}

#[derive(Deserialize)]
struct Config {
    name: Option<String>,
    #[serde(rename = "type")]
    plugin: Option<String>,
    #[serde(default)]
    plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
struct Plugin {
    #[serde(rename = "type")]
    plugin: String,
}

fn by_config(directory: &Path) -> Option<Cni> {
    let mut files: Vec<_> = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().find_map(|path| {
        let extension = path.extension()?.to_str()?;
        if !["conf", "conflist", "json"].contains(&extension) {
            return None;
        }
        let config: Config = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let plugin = config.plugin.or_else(|| config.plugins.into_iter().next().map(|it| it.plugin));
        Some(Cni { name: config.name.or(plugin)?, why: path.display().to_string() })
    })
}

/// Links of the host that carry pods' packets to other hosts inside of other packets, or know how large those may
/// be: what they carry bounds a registry in the cluster. A WireGuard link counts only if a CNI made it: it may be
/// anybody's VPN.
pub fn overlays(topology: &Topology) -> Vec<Ifindex> {
    let made_by_cni = |name: &str| {
        ["cilium_wg0", "wireguard.cali", "wg-v6.cali", "flannel-wg", "flannel-wg-v6"].contains(&name)
    };
    let is_overlay = |link: &&Link<NetnsIx>| match link.kind {
        LinkKind::Vxlan | LinkKind::Geneve | LinkKind::Gre | LinkKind::Ipip | LinkKind::Xfrm => true,
        LinkKind::Wireguard => made_by_cni(&link.name),
        LinkKind::Veth => link.name == "cilium_host",
        LinkKind::Loopback | LinkKind::Device | LinkKind::Bridge | LinkKind::Netkit | LinkKind::Vlan => false,
        LinkKind::Macvlan | LinkKind::Ipvlan | LinkKind::Bond | LinkKind::Tun => false,
        LinkKind::Openvswitch | LinkKind::Other(_) => false,
    };
    topology.netns(HOST).links.values().filter(is_overlay).map(|link| link.ifindex).collect()
}

#[cfg(test)]
mod tests;
