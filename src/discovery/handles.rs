//! Namespaces that a file or a process holds: those can be entered, named, and found where no veth leads.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use tracing::{debug, warn};

use crate::kernel::RouteSocket;
use crate::kernel::netns::{self, NetnsFile};
use crate::kernel::nsid::Nsid;
use crate::kernel::procfs::{self, ProcessTable};

/// One namespace, held open. It gets an id before anything can be read of it.
pub(super) struct Handle {
    pub(super) netns: NetnsFile,
    pinned: Vec<String>,
    pids: Vec<u32>,
}

/// One namespace that is held open and has an id in the reader's own, so that its changes are heard: what changes
/// before it is read is seen, and what changes after is heard.
pub(super) struct Identified {
    /// `None` where the kernel gives none: what happens there is not heard, whenever it is read.
    pub(super) nsid: Option<Nsid>,
    pub(super) netns: NetnsFile,
    /// Names of files that pin it.
    pub(super) pinned: Vec<String>,
    /// Processes in it, by pid.
    pub(super) pids: Vec<u32>,
}

/// All that were found.
#[derive(Default)]
pub(super) struct Handles {
    /// All but the reader's own.
    pub(super) others: Vec<Handle>,
    /// Processes in the reader's own.
    pub(super) own_pids: Vec<u32>,
    /// Files that pin a namespace but could not be opened.
    pub(super) unopened_files: usize,
    /// Processes that did not say where they are, or whose namespace could not be opened. All of them are one, if none
    /// is told.
    pub(super) refused_processes: usize,
    /// Namespaces of which the processes that were seen had left before they could be opened: others may be in them.
    pub(super) left: BTreeSet<u64>,
}

impl Handles {
    pub(super) fn collect(own_inode: u64) -> Self {
        let mut all = Self::default();
        let mut by_inode: BTreeMap<u64, Handle> = BTreeMap::new();
        for pinned in netns::pinned() {
            let Ok(netns) = pinned.netns else {
                all.unopened_files += 1;
                continue;
            };
            let handle = by_inode.entry(netns.inode()).or_insert_with(|| Handle::new(netns));
            handle.pinned.push(pinned.name.to_string_lossy().into_owned());
        }
        let table = procfs::processes().unwrap_or_else(|error| {
            warn!(%error, "no process tells where it is: /proc cannot be read");
            ProcessTable { refused: 1, ..ProcessTable::default() }
        });
        all.refused_processes = table.refused;
        for (pid, inode) in table.processes {
            if inode == own_inode {
                all.own_pids.push(pid);
                continue;
            }
            match by_inode.entry(inode) {
                Entry::Occupied(mut handle) => handle.get_mut().pids.push(pid),
                Entry::Vacant(place) => {
                    // The process may have ended, or have moved on, since the table was read.
                    match NetnsFile::open(&procfs::netns_path(pid)) {
                        Ok(netns) if netns.inode() == inode => {
                            place.insert(Handle::new(netns)).pids.push(pid);
                        }
                        Ok(_moved_on) => drop(all.left.insert(inode)),
                        Err(ended) if ended.is_gone() => drop(all.left.insert(inode)),
                        Err(error) => {
                            debug!(pid, %error, "the namespace of a process is not opened");
                            all.refused_processes += 1;
                        }
                    }
                }
            }
        }
        all.left.retain(|inode| !by_inode.contains_key(inode));
        by_inode.remove(&own_inode);
        all.others = by_inode.into_values().collect();
        all
    }
}

impl Handle {
    pub(super) fn new(netns: NetnsFile) -> Self {
        Self { netns, pinned: Vec::new(), pids: Vec::new() }
    }

    /// Gives it an id in the socket's namespace, unless it has one.
    pub(super) fn identify(self, socket: &mut RouteSocket) -> Identified {
        let Self { netns, pinned, pids } = self;
        let assigned = match socket.assign_nsid(netns.as_fd()) {
            Err(refused) if refused.is_permission() => socket.nsid_of(netns.as_fd()),
            answer => answer,
        };
        let nsid = assigned.inspect_err(|error| debug!(inode = netns.inode(), %error, "no nsid"));
        Identified { nsid: nsid.ok().flatten(), netns, pinned, pids }
    }
}
