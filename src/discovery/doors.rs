//! Ways into network namespaces: the files and processes that hold them. Writing in one takes entering it.

use std::collections::{BTreeMap, BTreeSet};

use tracing::debug;

use super::handles::Handles;
use super::identity::Identity;
use crate::kernel::netns::{NetnsError, NetnsFile};
use crate::kernel::procfs::{INITIAL_PID_NAMESPACE, pid_namespace};

/// Every namespace that can be entered, held open.
#[derive(Debug)]
pub struct Doors {
    by_inode: BTreeMap<u64, NetnsFile>,
    /// Whether every process and file that is seen told which namespace it holds: what of it has no door is gone then.
    pub are_all: bool,
    left: BTreeSet<u64>,
    pid_namespace: Option<u64>,
}

impl Doors {
    /// Those that there are now, the own namespace with them.
    pub fn open() -> Result<Self, NetnsError> {
        let own = NetnsFile::own()?;
        let handles = Handles::collect(own.inode());
        let are_all = handles.refused_processes == 0 && handles.unopened_files == 0;
        let all = handles.others.into_iter().map(|handle| handle.netns).chain([own]);
        let by_inode = all.map(|netns| (netns.inode(), netns)).collect();
        Ok(Self { by_inode, are_all, left: handles.left, pid_namespace: pid_namespace() })
    }

    /// Whether they are all of those that could be seen from a pid namespace, too. The first one of this kernel shows
    /// the processes of all others.
    pub fn are_all_seen_from(&self, pid_namespace: Option<u64>) -> bool {
        let shows_all = |own| own == INITIAL_PID_NAMESPACE || pid_namespace == Some(own);
        self.are_all && self.pid_namespace.is_some_and(shows_all)
    }

    /// Whether somebody was in the namespace with this inode a moment ago: that it has no door tells nothing.
    pub fn was_just_left(&self, inode: u64) -> bool {
        self.left.contains(&inode)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &NetnsFile> {
        self.by_inode.values()
    }

    /// The way into a namespace that was looked at, and into none that has got its inode since.
    pub fn to(&self, looked_at: &Identity) -> Option<&NetnsFile> {
        let door = self.get(looked_at.inode?)?;
        let is_it = |cookie| match door.cookie() {
            Ok(now) => now.is_none_or(|now| now == cookie),
            Err(error) => {
                debug!(inode = door.inode(), %error, "it may be another namespace");
                false
            }
        };
        looked_at.cookie.is_none_or(is_it).then_some(door)
    }

    /// The same for somebody who keeps it open: it lives as long as that.
    pub fn take(&mut self, looked_at: &Identity) -> Option<NetnsFile> {
        let inode = self.to(looked_at)?.inode();
        self.by_inode.remove(&inode)
    }

    /// Whether a namespace that was looked at may be there, where nothing is seen to lead into it.
    pub fn may_hide(&self, looked_at: &Identity) -> bool {
        looked_at.inode.is_none_or(|inode| !self.are_all && self.get(inode).is_none())
    }

    /// The way into the namespace that has this inode now.
    pub fn get(&self, inode: u64) -> Option<&NetnsFile> {
        self.by_inode.get(&inode)
    }
}
