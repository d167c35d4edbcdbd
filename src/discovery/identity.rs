//! What people call a namespace: the pod, the container, the file that pins it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::docker::Container;
use super::inventory::FoundNetns;
use crate::domain::topology::{HOST, NetnsIx};

/// What is known of a namespace besides its links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Unique within one survey: `host`, `nsid:3`, `inode:4026532281`.
    pub id: String,
    /// Its inode, if a file or process tells.
    pub inode: Option<u64>,
    /// What tells it from those that get its inode later, if it could be entered and the kernel tells it.
    pub cookie: Option<u64>,
    /// Pod as `namespace/name`, container, or pinning file.
    pub name: Option<String>,
    /// Names of files that pin it.
    pub pinned: Vec<String>,
    /// Processes in it, by pid.
    pub pids: Vec<u32>,
    /// Container of its processes.
    pub container_id: Option<String>,
    /// Pod of its processes; unknown where none tells it, and where they disagree.
    pub pod_uid: Option<String>,
    /// Addresses that others know it by, where they were wanted.
    pub addresses: Vec<IpAddr>,
}

/// With so many processes more than any other a pod is told: a pod has two, its sandbox's and its own.
const CLEAR_LEAD: usize = 2;

/// Names by which namespaces may be known, gathered outside of the kernel.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `namespace/name` of pods by uid.
    pub pods: BTreeMap<String, String>,
    /// Docker's containers by id.
    pub containers: BTreeMap<String, Container>,
}

/// The identity of a namespace whose processes are in `cgroups`.
pub fn identify(
    ix: NetnsIx,
    netns: &FoundNetns,
    cgroups: impl IntoIterator<Item = String>,
    names: &Names,
) -> Identity {
    let id = match (ix, netns.nsid, netns.inode) {
        (HOST, ..) => "host".to_owned(),
        (_, Some(nsid), _) => format!("nsid:{}", nsid.get()),
        (_, None, Some(inode)) => format!("inode:{inode}"),
        (NetnsIx(position), None, None) => format!("unnamed:{position}"),
    };
    let (pinned, pids) = (netns.pinned.clone(), netns.pids.clone());
    let (inode, cookie) = (netns.inode, netns.cookie);
    let mut identity = Identity { id, inode, cookie, pinned, pids, ..Identity::default() };
    if ix == HOST {
        return identity;
    }
    let cgroup = telling(cgroups);
    let pinned_by_docker = || {
        let mut containers = names.containers.iter();
        containers
            .find(|(_, container)| container.sandbox.as_ref().is_some_and(|it| netns.pinned.contains(it)))
    };
    identity.container_id =
        container_id(&cgroup).or_else(|| pinned_by_docker().map(|(id, _)| id.as_str())).map(str::to_owned);
    identity.pod_uid = pod_uid(&cgroup);
    let pod = identity.pod_uid.as_ref().and_then(|uid| names.pods.get(uid)).cloned();
    let container = identity.container_id.as_ref().and_then(|id| names.containers.get(id));
    identity.name = pod
        .or_else(|| container.map(|container| container.name.clone()))
        .or_else(|| netns.pinned.first().cloned());
    identity
}

/// The cgroup that tells whose a namespace is, of those of its processes by pid; empty if none does. Any of them may have
/// ended meanwhile, and any may be a guest: a daemon that sets the network up, itself in a pod perhaps. So the pod is
/// that of most of them, and of two as many neither. None is read that can change nothing.
fn telling(cgroups: impl IntoIterator<Item = String>) -> String {
    let mut of_container = None;
    let mut of_pods: Vec<(String, String, usize)> = Vec::new();
    for cgroup in cgroups {
        let Some(uid) = pod_uid(&cgroup) else {
            of_container = of_container.or_else(|| container_id(&cgroup).is_some().then_some(cgroup));
            continue;
        };
        match of_pods.iter_mut().find(|(pod, ..)| *pod == uid) {
            Some((_, _, processes)) => *processes += 1,
            None => of_pods.push((uid, cgroup, 1)),
        }
        if lead(&mut of_pods) >= CLEAR_LEAD {
            break;
        }
    }
    if of_pods.is_empty() {
        return of_container.unwrap_or_default();
    }
    let is_told = lead(&mut of_pods) > 0;
    of_pods.into_iter().next().filter(|_| is_told).map(|(_, cgroup, _)| cgroup).unwrap_or_default()
}

/// By how many processes the first pod leads, which has most of them then.
fn lead(of_pods: &mut [(String, String, usize)]) -> usize {
    of_pods.sort_by_key(|(.., processes)| Reverse(*processes));
    let processes = |place: usize| of_pods.get(place).map_or(0, |(.., processes)| *processes);
    processes(0) - processes(1)
}

/// Id of the innermost container that a cgroup path names, for every runtime that names cgroups by container id:
/// `/docker/ID`, `docker-ID.scope`, `cri-containerd-ID.scope`, `crio-ID.scope`, `/kubepods/…/ID`.
pub fn container_id<'a>(cgroup: &'a str) -> Option<&'a str> {
    let innermost = |line: &'a str| {
        line.rsplit('/').find_map(|component| {
            let component = component.strip_suffix(".scope").unwrap_or(component);
            let id = component.rsplit(['-', ':']).next().unwrap_or(component);
            let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_id.then_some((line.split('/').count(), id))
        })
    };
    // In v1 some hierarchies may be left at a container further out: the deepest path knows best.
    cgroup.lines().filter_map(innermost).max_by_key(|(depth, _)| *depth).map(|(_, id)| id)
}

/// Uid of the pod that a cgroup path names: `/kubepods/burstable/podUID/…`, and, by systemd,
/// `kubepods-burstable-podUID.slice` with underscores.
pub fn pod_uid(cgroup: &str) -> Option<String> {
    cgroup.split(['/', '\n']).find_map(|component| {
        let component = component.strip_suffix(".slice").unwrap_or(component);
        let uid = match component.rsplit_once("-pod") {
            Some((slice, uid)) if slice.starts_with("kubepods") => uid.replace('_', "-"),
            Some(_) | None => component.strip_prefix("pod")?.to_owned(),
        };
        let is_uuid = uid.len() == 36 && uid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        // Static pods have the hash of their manifest.
        let is_hash = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_uuid || is_hash).then_some(uid)
    })
}

#[cfg(test)]
mod tests;
