//! What was there before, such that another process finds it again.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Step;
use crate::discovery::doors::Doors;
use crate::domain::link::{Ifindex, Link};
use crate::domain::mtu::LinkMtu;
use crate::kernel::host;
use crate::kernel::links::Linked;
use crate::kernel::netns::NetnsFile;
use crate::publish::host_file::HostFileError;

/// Changes only add.
pub(super) const SCHEMA: &str = "mtu-agent.dev/tune-record/v1";

/// The record could not be read or written. Without it nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be written.
    #[error("record what is to be changed, before it is")]
    Write(#[from] HostFileError),
    /// It could not be read or removed.
    #[error("{attempt} {}", path.display())]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no record.
    #[error(
        "{} is no record of what was changed: somebody wrote to it; look at the links that it names, then remove it",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It has another schema.
    #[error("{} has the schema {schema:?}: another version of mtu-agent wrote it; use that one to --revert", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it has.
        schema: String,
    },
    /// Others could have written it.
    #[error(
        "{} could have been written by others (uid {uid}, mode {mode:o}): it is not believed; look at it, then chown \
         or remove it",
        path.display()
    )]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permissions.
        mode: u32,
    },
    /// An agent is at it, and would undo what is undone.
    #[error(
        "an agent is tuning this host (it holds {}): it would write all of it again at once; stop it first, or let it \
         take back by itself what is not opted in any more",
        path.display()
    )]
    Claimed {
        /// The lock.
        path: PathBuf,
    },
    /// Another process is at it.
    #[error("another mtu-agent writes links on this host and does not come to an end (it holds {}): end it", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
}

/// Identifies a network namespace as long as this kernel runs and the namespace is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetnsId {
    /// Device of its file.
    pub device: u64,
    /// Inode of its file: `net:[INODE]`.
    pub inode: u64,
}

impl NetnsId {
    /// That of a namespace which is held open.
    pub fn of(netns: &NetnsFile) -> Self {
        Self { device: netns.device(), inode: netns.inode() }
    }

    /// The way into it, if it is still there.
    pub fn door(self, doors: &Doors) -> Option<&NetnsFile> {
        doors.get(self.inode).filter(|netns| Self::of(netns) == self)
    }
}

/// A link that was, or is about to be, written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLink {
    /// Its namespace.
    pub netns: NetnsId,
    /// What people called the namespace.
    pub called: String,
    /// Its index.
    pub ifindex: Ifindex,
    /// Its name.
    pub name: String,
    /// What drives it.
    pub kind: String,
    /// Index of the other end of a pair, or of the lower link.
    pub linked: Option<Ifindex>,
    /// Its MTU before anything was written.
    pub was: LinkMtu,
    /// What we gave it. Anything else is somebody's later will.
    pub written: Vec<LinkMtu>,
    /// Both ends of the pair were in this namespace: either may have moved since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_whole_pair: bool,
    /// An agent did it by itself, and takes it back when it may not any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_live: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl RecordedLink {
    /// Whether a link of the same namespace is this one, and not another that got its index.
    pub(super) fn is(&self, link: &Link<Linked>) -> bool {
        // The other end of a pair gets another index where it moves to a namespace that has a link with that one.
        let has_parted = self.is_whole_pair && link.linked.is_some_and(|linked| linked.netns.is_some());
        self.ifindex == link.ifindex
            && self.name == link.name
            && self.kind == link.kind.name()
            && (has_parted || self.linked == link.linked.map(|linked| linked.ifindex))
    }

    fn is_same(&self, other: &Self) -> bool {
        let identity = |it: &Self| (it.netns, it.ifindex, it.name.clone(), it.kind.clone(), it.linked);
        identity(self) == identity(other)
    }
}

/// A namespace that was, or is about to be, clamped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedClamp {
    /// The namespace.
    pub netns: NetnsId,
    /// What people called it.
    pub called: String,
    /// An agent did it by itself, and takes it back when it may not any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_live: bool,
}

/// All that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) schema: String,
    /// Inodes and indices mean nothing after the next boot.
    pub(super) boot: String,
    /// Links in the order in which they were written.
    pub links: Vec<RecordedLink>,
    /// Namespaces with the table.
    pub clamps: Vec<RecordedClamp>,
}

impl Record {
    pub(super) fn new() -> Self {
        Self { schema: SCHEMA.to_owned(), boot: host::boot_id(), links: Vec::new(), clamps: Vec::new() }
    }

    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.clamps.is_empty()
    }

    /// Adds what is about to be written.
    pub(super) fn add(&mut self, step: &Step) {
        match step {
            Step::Link { link, .. } => self.add_link(link.clone()),
            Step::Clamp(clamp) => self.add_clamp(clamp.clone()),
        }
    }

    /// What was `known` before the steps were added, of what they are about; others may have added more.
    pub(super) fn restore(&mut self, known: &Self, steps: &[Step]) {
        let is_about = |link: &RecordedLink| {
            steps.iter().any(|step| matches!(step, Step::Link { link: it, .. } if it.is_same(link)))
        };
        let clamps =
            |netns| steps.iter().any(|step| matches!(step, Step::Clamp(clamp) if clamp.netns == netns));
        let mut links = known.links.clone();
        let added = |link: &RecordedLink| !is_about(link) && !known.links.iter().any(|it| it.is_same(link));
        links.retain(|link| is_about(link) || self.links.iter().any(|it| it.is_same(link)));
        links.extend(self.links.iter().filter(|link| added(link)).cloned());
        self.links = links;
        self.clamps
            .retain(|clamp| !clamps(clamp.netns) || known.clamps.iter().any(|it| it.netns == clamp.netns));
    }

    /// Forgets these.
    pub(super) fn forget(&mut self, links: &[RecordedLink], clamps: &[RecordedClamp]) {
        self.links.retain(|link| !links.contains(link));
        self.clamps.retain(|clamp| !clamps.contains(clamp));
    }

    /// Adds a link; of one that is there, what it was at first stays.
    pub(super) fn add_link(&mut self, link: RecordedLink) {
        match self.links.iter().position(|it| it.is_same(&link)) {
            Some(position) => {
                let mut known = self.links.remove(position);
                known.written.extend(link.written);
                known.written.sort_unstable();
                known.written.dedup();
                known.is_live &= link.is_live;
                self.links.push(known);
            }
            None => self.links.push(link),
        }
    }

    /// Adds a clamp, unless it is there.
    pub(super) fn add_clamp(&mut self, clamp: RecordedClamp) {
        if !self.clamps.iter().any(|it| it.netns == clamp.netns) {
            self.clamps.push(clamp);
        }
    }
}

#[cfg(test)]
mod tests;
