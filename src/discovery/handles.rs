//! Namespaces that a file or a process holds: those can be entered, named, and found where no veth leads.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::kernel::netns::{self, NetnsFile};
use crate::kernel::procfs;

/// One namespace, held open.
pub(super) struct Handle {
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
    /// Processes that would not say where they are.
    pub(super) refused_processes: usize,
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
        let table = procfs::processes().unwrap_or_default();
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
                    let opened = NetnsFile::open(&procfs::netns_path(pid)).ok();
                    if let Some(netns) = opened.filter(|netns| netns.inode() == inode) {
                        place.insert(Handle::new(netns)).pids.push(pid);
                    }
                }
            }
        }
        by_inode.remove(&own_inode);
        all.others = by_inode.into_values().collect();
        all
    }
}

impl Handle {
    fn new(netns: NetnsFile) -> Self {
        Self { netns, pinned: Vec::new(), pids: Vec::new() }
    }
}
