//! Every network namespace that can be reached, read from the kernel.
//!
//! From the host's links inward: a veth names its peer's namespace by an nsid, and that id is enough to read the
//! links there, which name further ones. Files and processes add namespaces that no veth leads to, and the means to
//! enter one, which reading its routes takes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::thread::{self, Scope};

use tracing::debug;

use super::handles::{Handles, Identified};
use super::unseen::{Unseen, count};
use crate::domain::link::Link;
use crate::domain::topology::Routes;
use crate::kernel::capability::Capability;
use crate::kernel::links::Linked;
use crate::kernel::netns::{self, NetnsError, NetnsFile, Visits, cookie};
use crate::kernel::nsid::Nsid;
use crate::kernel::{NetlinkError, RouteSocket};

/// What the kernel told, before it is understood.
#[derive(Debug)]
pub struct Inventory {
    /// All namespaces, the host first.
    pub namespaces: Vec<FoundNetns>,
    /// Id by which the host knows itself, if it has one: inner links name it so.
    pub own_nsid: Option<Nsid>,
    /// Namespaces behind the host's own uplink.
    pub outside: BTreeSet<Nsid>,
    /// Capabilities at hand.
    pub privileges: Vec<Capability>,
    /// What could not be read.
    pub unseen: Vec<Unseen>,
}

/// One namespace as the kernel told it.
#[derive(Debug, Default)]
pub struct FoundNetns {
    /// Its id in the host, if it has one.
    pub nsid: Option<Nsid>,
    /// Its inode, where a file or process tells.
    pub inode: Option<u64>,
    /// What tells it from those that get its inode later, if it could be entered and the kernel tells it.
    pub cookie: Option<u64>,
    /// Names of files that pin it.
    pub pinned: Vec<String>,
    /// Processes in it, by pid.
    pub pids: Vec<u32>,
    /// Its links.
    pub links: Vec<Link<Linked>>,
    /// Its routes, if it could be entered.
    pub routes: Option<Routes>,
}

/// The host itself could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Its links or routes.
    #[error("read this host's own links and routes")]
    Host(#[from] NetlinkError),
    /// Its namespace file.
    #[error("identify this host's own network namespace")]
    OwnNetns(#[from] NetnsError),
}

/// Reads everything that can be read.
pub fn take() -> Result<Inventory, InventoryError> {
    let own = NetnsFile::own()?;
    let handles = Handles::collect(own.inode());
    take_of(&own, handles, || RouteSocket::open()?.routes())
}

/// `read_routes` is called in each namespace that is held, and reads those of that one.
fn take_of(
    own: &NetnsFile,
    handles: Handles,
    read_routes: impl Fn() -> Result<Routes, NetlinkError> + Send,
) -> Result<Inventory, InventoryError> {
    let mut socket = RouteSocket::open()?;
    let privileges = Capability::held();
    let mut unseen = unseen_handles(&handles, &privileges);
    let held: Vec<_> = handles.others.into_iter().map(|handle| handle.identify(&mut socket)).collect();

    let links = socket.links(None)?;
    let routes = socket.routes()?;
    let outside = behind_uplinks(&links, &routes);
    let mut walk =
        Walk { socket, own, own_nsid: None, outside, found: BTreeMap::new(), refused: BTreeSet::new() };
    let visited = thread::scope(|scope| {
        // Takes as long as the walk, and needs nothing that the walk finds out.
        let may_enter = privileges.contains(&Capability::CapSysAdmin);
        let visits = may_enter.then(|| visit(scope, &held, read_routes)).flatten();
        walk.follow(&links);
        walk.add(&held);
        visits.map(|visits| finish(visits, &held)).unwrap_or_default()
    });
    if !walk.refused.is_empty() {
        unseen.push(Unseen::needing(
            format!("links of {}", count(walk.refused.len(), "other network namespace")),
            "nested networks, their mismatches and their safe MTU are not known",
            "CAP_NET_ADMIN",
        ));
    }
    let Walk { own_nsid, outside, found, .. } = walk;

    let pids = handles.own_pids;
    let host =
        FoundNetns { inode: Some(own.inode()), pids, links, routes: Some(routes), ..FoundNetns::default() };
    let mut namespaces = vec![host];
    let mut positions = BTreeMap::new();
    for (nsid, links) in found {
        positions.insert(nsid, namespaces.len());
        namespaces.push(FoundNetns { nsid: Some(nsid), links, ..FoundNetns::default() });
    }
    let mut visited = visited.into_iter();
    for Identified { nsid, netns: file, pinned, pids } in held {
        let position = nsid.and_then(|nsid| positions.get(&nsid).copied()).unwrap_or_else(|| {
            namespaces.push(FoundNetns { nsid, ..FoundNetns::default() });
            namespaces.len() - 1
        });
        let netns = &mut namespaces[position];
        netns.inode = Some(file.inode());
        netns.pinned = pinned;
        netns.pids = pids;
        (netns.cookie, netns.routes) = visited.next().unwrap_or_default();
    }
    Ok(Inventory { namespaces, own_nsid, outside, privileges, unseen })
}

fn unseen_handles(handles: &Handles, privileges: &[Capability]) -> Vec<Unseen> {
    let mut unseen = Vec::new();
    if handles.unopened_files > 0 {
        unseen.push(Unseen::needing(
            count(handles.unopened_files, "pinned network namespace"),
            "not listed unless a veth leads there, and not named",
            "read access to /run/netns and /run/docker/netns",
        ));
    }
    if handles.refused_processes > 0 {
        unseen.push(Unseen::needing(
            format!("the namespace of {}", count(handles.refused_processes, "process")),
            "namespaces cannot be named by them, nor by their container or pod",
            if privileges.contains(&Capability::CapSysPtrace) {
                "privileges over their owner, a user namespace of its own"
            } else {
                "CAP_SYS_PTRACE"
            },
        ));
    }
    unseen
}

/// Ids of namespaces on the far side of the links that the host's default routes leave by.
fn behind_uplinks(links: &[Link<Linked>], routes: &Routes) -> BTreeSet<Nsid> {
    let mut outside = BTreeSet::new();
    for route in routes.defaults.iter().chain(&routes.spares) {
        let mut at = Some(route.ifindex);
        // A VLAN on a veth, say: follow the lower links of our own namespace.
        for _ in 0..links.len() {
            let Some(link) = links.iter().find(|link| Some(link.ifindex) == at) else { break };
            let Some(linked) = link.linked else { break };
            outside.extend(linked.netns);
            at = (linked.netns.is_none() && link.kind.is_stacked()).then_some(linked.ifindex);
        }
    }
    outside
}

struct Walk<'a> {
    socket: RouteSocket,
    own: &'a NetnsFile,
    own_nsid: Option<Nsid>,
    outside: BTreeSet<Nsid>,
    found: BTreeMap<Nsid, Vec<Link<Linked>>>,
    refused: BTreeSet<Nsid>,
}

impl Walk<'_> {
    /// Reads every namespace that `links` lead to, and those that their links lead to.
    fn follow(&mut self, links: &[Link<Linked>]) {
        let mut queue: VecDeque<Nsid> = neighbours(links).collect();
        while let Some(nsid) = queue.pop_front() {
            if self.found.contains_key(&nsid) || self.outside.contains(&nsid) || self.is_own(nsid) {
                continue;
            }
            if let Some(links) = self.links(nsid) {
                queue.extend(neighbours(&links));
                self.found.insert(nsid, links);
            }
        }
    }

    /// Reads the held namespaces that the walk did not reach, and walks on from those that turn out to be connected
    /// after all: a macvlan names its lower link, which does not name it.
    fn add(&mut self, held: &[Identified]) {
        let mut apart = BTreeMap::new();
        for nsid in held.iter().filter_map(|held| held.nsid) {
            if !self.found.contains_key(&nsid) && !self.outside.contains(&nsid) {
                apart.extend(self.links(nsid).map(|links| (nsid, links)));
            }
        }
        while let Some(nsid) = self.connected_one(&apart) {
            if let Some(links) = apart.remove(&nsid) {
                self.follow(&links);
                self.found.insert(nsid, links);
            }
        }
        self.found.append(&mut apart);
    }

    fn connected_one(&mut self, apart: &BTreeMap<Nsid, Vec<Link<Linked>>>) -> Option<Nsid> {
        let leads_here = |walk: &mut Self, nsid| walk.found.contains_key(&nsid) || walk.is_own(nsid);
        apart
            .iter()
            .find(|(_, links)| neighbours(links).any(|nsid| leads_here(self, nsid)))
            .map(|(nsid, _)| *nsid)
    }

    /// None left of a namespace that vanished; of one that refuses it is at least known that it is there.
    fn links(&mut self, nsid: Nsid) -> Option<Vec<Link<Linked>>> {
        match self.socket.links(Some(nsid)) {
            Ok(links) => Some(links),
            Err(refused) if refused.is_permission() => {
                self.refused.insert(nsid);
                Some(Vec::new())
            }
            Err(vanished) => {
                debug!(nsid = nsid.get(), error = %vanished, "namespace vanished while it was surveyed");
                None
            }
        }
    }

    /// The host itself has an id too, once a link of another namespace names it.
    fn is_own(&mut self, nsid: Nsid) -> bool {
        if self.own_nsid.is_none() {
            self.own_nsid = self.socket.nsid_of(self.own.as_fd()).ok().flatten();
        }
        self.own_nsid == Some(nsid)
    }
}

fn neighbours(links: &[Link<Linked>]) -> impl Iterator<Item = Nsid> {
    links.iter().filter_map(|link| link.linked.and_then(|linked| linked.netns))
}

type InnerVisits<'scope> = Visits<'scope, (io::Result<Option<u64>>, Result<Routes, NetlinkError>)>;

/// Begins to enter each namespace that is held: there is no other way to its routes, nor to its cookie.
fn visit<'scope>(
    scope: &'scope Scope<'scope, '_>,
    held: &'scope [Identified],
    read_routes: impl Fn() -> Result<Routes, NetlinkError> + Send + 'scope,
) -> Option<InnerVisits<'scope>> {
    let read = move || (cookie::own(), read_routes());
    let visits = netns::visit(scope, held.iter().map(|held| &held.netns), read);
    visits.inspect_err(|error| debug!(%error, "no routes read")).ok()
}

/// The cookie and the routes of each, if it could be entered.
fn finish(visits: InnerVisits<'_>, held: &[Identified]) -> Vec<(Option<u64>, Option<Routes>)> {
    let read = visits.finish().into_iter().zip(held);
    read.map(|(read, held)| match read {
        Ok((cookie, routes)) => {
            let routes = routes.map_or_else(|error| unread(&held.netns, &error), Some);
            (cookie.ok().flatten(), routes)
        }
        Err(error) => (None, unread(&held.netns, &error)),
    })
    .collect()
}

fn unread(netns: &NetnsFile, error: &impl std::error::Error) -> Option<Routes> {
    debug!(inode = netns.inode(), %error, "routes not read");
    None
}

#[cfg(test)]
mod tests;
