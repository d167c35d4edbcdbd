//! One full look at a host, and what follows from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::addresses;
use super::advice::{Finding, explain};
use super::cni::{self, Cni};
use super::docker;
use super::expected::{self, ExpectedMtu};
use super::identity::{Identity, Names, identify};
use super::inventory::{self, Inventory, InventoryError};
use super::nested::NestedPath;
use super::nesting;
use super::path::Path as ProbedPath;
use super::surroundings;
use super::unseen::{Unseen, count};
use crate::domain::mtu::{IpFamily, LinkMtu};
use crate::domain::safe::{Bounds, MeasuredPath, SMALLEST_USEFUL, SafeMtu};
use crate::domain::topology::{NetnsIx, Place, Topology};
use crate::kernel::capability::Capability;
use crate::kernel::{host, procfs};

/// So many processes of a namespace are asked at most whose it is.
const WITNESSES: usize = 16;

/// Where files are looked for that give names.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Kubelet's directory of pod logs: its entries are `NAMESPACE_NAME_UID`.
    pub pod_logs: PathBuf,
    /// Directory of CNI configurations.
    pub cni_config: PathBuf,
    /// What Calico computed for its pods.
    pub calico_mtu: PathBuf,
    /// Whether pods are looked for by their addresses, where no process tells whose a namespace is.
    pub addresses: bool,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            pod_logs: "/var/log/pods".into(),
            cni_config: cni::CONFIG_DIRECTORY.into(),
            calico_mtu: expected::CALICO_MTU.into(),
            addresses: false,
        }
    }
}

/// What is there, before any probe.
#[derive(Debug)]
pub struct Look {
    /// What the machine calls itself.
    pub host_name: String,
    /// Release of its kernel.
    pub kernel_release: String,
    /// Capabilities at hand.
    pub privileges: Vec<Capability>,
    /// The CNI, if one could be guessed.
    pub cni: Option<Cni>,
    /// What the next pod will get, if a file of the CNI says so.
    pub expected: Option<ExpectedMtu>,
    /// Namespaces and links.
    pub topology: Topology,
    /// Who they are, in the order of the topology's namespaces.
    pub identities: Vec<Identity>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
}

#[cfg(test)]
impl Look {
    /// One at a host of which nothing else is known.
    pub(crate) fn sample(topology: Topology, identities: Vec<Identity>) -> Self {
        Self {
            host_name: String::new(),
            kernel_release: String::new(),
            privileges: Vec::new(),
            cni: None,
            expected: None,
            topology,
            identities,
            unseen: Vec::new(),
        }
    }
}

/// Reads all that can be read of this host.
pub fn look(sources: &Sources) -> Result<Look, InventoryError> {
    let inventory = inventory::take()?;
    let topology = nesting::topology(&inventory);
    let cni = cni::guess(&topology, &sources.cni_config);
    let mut identities = identities(&inventory, &sources.pod_logs);
    if sources.addresses {
        addresses::read(&topology, &inventory, &mut identities);
    }
    let mut unseen = inventory.unseen;
    unseen.extend(unread_routes(&topology));
    unseen.extend(surroundings::opaque(&topology, cni.as_ref(), &identities));
    let privileges = inventory.privileges;
    let (host_name, kernel_release) = (host::host_name(), host::kernel_release());
    let expected = expected::read(&sources.calico_mtu, &sources.cni_config);
    Ok(Look { host_name, kernel_release, privileges, cni, expected, topology, identities, unseen })
}

fn identities(inventory: &Inventory, pod_logs: &Path) -> Vec<Identity> {
    let pids = inventory.namespaces.iter().flat_map(|netns| &netns.pids).copied();
    let dockerds: Vec<_> = pids.filter(|pid| procfs::command_name(*pid) == "dockerd").collect();
    let names = Names { pods: pods(pod_logs), containers: docker::containers(&dockerds) };
    let identity = |(position, netns): (usize, &inventory::FoundNetns)| {
        let cgroups = netns.pids.iter().take(WITNESSES).map(|pid| procfs::cgroup(*pid));
        identify(NetnsIx(position), netns, cgroups, &names)
    };
    inventory.namespaces.iter().enumerate().map(identity).collect()
}

/// Pods that this node runs or ran, from the directories that kubelet keeps for their logs.
fn pods(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let pod = |name: &str| {
        let mut parts = name.splitn(3, '_');
        let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
        Some((uid.to_owned(), format!("{namespace}/{name}")))
    };
    entries.filter_map(|entry| pod(entry.file_name().to_str()?)).collect()
}

fn unread_routes(topology: &Topology) -> Option<Unseen> {
    let nested = topology.iter().filter(|(_, netns)| matches!(netns.place, Place::Nested { .. }));
    let unread = nested.filter(|(_, netns)| netns.routes.is_none()).count();
    (unread > 0).then(|| {
        Unseen::needing(
            format!("routes of {}", count(unread, "namespace")),
            "their way out is taken to be the link that leads outward, and an MTU on a route there is not seen",
            "CAP_SYS_ADMIN, and CAP_SYS_PTRACE with the host's pids or the files in /run/netns",
        )
    })
}

/// A look, its probes, and what follows from both.
#[derive(Debug)]
pub struct Survey {
    /// When it was concluded.
    pub observed_at: Timestamp,
    /// What is there.
    pub look: Arc<Look>,
    /// What probes found, in the order of the targets.
    pub paths: Vec<ProbedPath>,
    /// Measured path MTUs that may cap, each with its position in `paths`.
    pub measured: Vec<(usize, MeasuredPath)>,
    /// The safe dind MTU of each family with a default route.
    pub safe: BTreeMap<IpFamily, SafeMtu>,
    /// Links that let in packets which cannot get out.
    pub findings: Vec<Finding>,
    /// What bounds a safe MTU besides the walks outward.
    pub bounds: Bounds,
    /// Whether what was tuned carries full-size packets.
    pub nested_paths: Vec<NestedPath>,
}

impl Survey {
    /// Draws the conclusions; `maximum` caps the safe MTU.
    pub fn conclude(
        look: impl Into<Arc<Look>>,
        paths: Vec<ProbedPath>,
        maximum: LinkMtu,
        observed_at: Timestamp,
    ) -> Self {
        let look = look.into();
        let measured: Vec<_> = paths
            .iter()
            .enumerate()
            .filter_map(|(position, path)| Some((position, path.measured()?)))
            .collect();
        let bounds = Bounds {
            maximum,
            overlays: cni::overlays(&look.topology),
            expected: look.expected.as_ref().map(|expected| expected.mtu),
            measured: measured.iter().map(|(_, path)| *path).collect(),
        };
        let safe = |family| Some((family, look.topology.safe_dind_mtu(family, &bounds)?));
        let safe = IpFamily::ALL.into_iter().filter_map(safe).collect();
        let mismatches = look.topology.mismatches().into_iter();
        let findings =
            mismatches.map(|mismatch| explain(&look.topology, &look.identities, mismatch)).collect();
        let nested_paths = Vec::new();
        Self { observed_at, look, paths, measured, safe, findings, bounds, nested_paths }
    }

    /// With what was found from inside of nested namespaces.
    #[must_use]
    pub fn with_nested_paths(self, nested_paths: Vec<NestedPath>) -> Self {
        Self { nested_paths, ..self }
    }

    /// The value to publish: the smallest over the families; `None` if there is none, or if it is of no use.
    pub fn safe_dind_mtu(&self) -> Option<SafeMtu> {
        self.smallest().filter(|safe| safe.mtu.get() >= SMALLEST_USEFUL)
    }

    /// What may be used inside of one namespace, whatever the host's others can do; `None` as above.
    pub fn safe_mtu_inside(&self, netns: NetnsIx) -> Option<SafeMtu> {
        self.safe_mtu_under(netns, self.bounds.maximum)
    }

    /// The same with another maximum.
    pub fn safe_mtu_under(&self, netns: NetnsIx, maximum: LinkMtu) -> Option<SafeMtu> {
        let bounds = Bounds { maximum, ..self.bounds.clone() };
        let inside = |family| self.look.topology.safe_mtu_inside(netns, family, &bounds);
        let least = IpFamily::ALL.into_iter().filter_map(inside).min_by_key(|safe| safe.mtu);
        least.filter(|safe| safe.mtu.get() >= SMALLEST_USEFUL)
    }

    /// What must be said about the value, if anything.
    pub fn remark(&self) -> Option<String> {
        let mtu = self.smallest().map(|safe| safe.mtu);
        let Some(mtu) = mtu else {
            return Some(
                "nothing here has a default route, so no packet leaves and no MTU is known to be safe".into(),
            );
        };
        let minimum = IpFamily::V6.minimum_mtu().as_link_mtu();
        if mtu.get() < SMALLEST_USEFUL {
            Some(format!(
                "{mtu} is too small to publish: under {SMALLEST_USEFUL}, IPv4 itself is not sure to work"
            ))
        } else if mtu < minimum {
            Some(format!(
                "{mtu} is under {minimum}, the least that IPv6 needs: nested networks will have IPv4 only"
            ))
        } else {
            None
        }
    }

    /// The largest packet that gets from the namespace out.
    pub fn effective_mtu(&self, netns: NetnsIx) -> Option<LinkMtu> {
        let measured: Vec<_> = self.measured.iter().map(|(_, path)| *path).collect();
        self.look.topology.effective_mtu(netns, &measured)
    }

    /// The file that says what the next pod will get; empty if there is none.
    pub fn expected_from(&self) -> String {
        self.look.expected.as_ref().map(|expected| expected.from.display().to_string()).unwrap_or_default()
    }

    /// Whether large packets vanish on a probed path.
    pub fn has_black_hole(&self) -> bool {
        self.paths.iter().any(ProbedPath::is_black_hole)
    }

    fn smallest(&self) -> Option<SafeMtu> {
        self.safe.values().min_by_key(|safe| safe.mtu).copied()
    }
}
