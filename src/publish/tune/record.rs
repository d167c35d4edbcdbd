//! What was there before: a file under `/run/mtu-agent`, so that another process can take everything back.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::discovery::doors::Doors;
use crate::domain::link::{Ifindex, Link};
use crate::domain::mtu::LinkMtu;
use crate::kernel::host;
use crate::kernel::links::Linked;
use crate::kernel::netns::NetnsFile;
use crate::publish::host_file::{HostFileError, HostFiles};

/// Name of the file.
pub const TUNE_JSON: &str = "tune.json";
/// Whoever writes links holds this.
const LOCK: &str = "tune.lock";
/// Changes only add.
const SCHEMA: &str = "mtu-agent.dev/tune-record/v1";

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
    /// Another process is at it.
    #[error("another mtu-agent is tuning this host (it holds {}): wait for its end", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
}

/// Identifies a network namespace as long as this kernel runs and the namespace is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl RecordedLink {
    /// Whether a link of the same namespace is this one, and not another that got its index.
    pub(super) fn is(&self, link: &Link<Linked>) -> bool {
        self.ifindex == link.ifindex
            && self.name == link.name
            && self.kind == link.kind.name()
            && self.linked == link.linked.map(|linked| linked.ifindex)
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
}

/// All that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    schema: String,
    /// Inodes and indices mean nothing after the next boot.
    boot: String,
    /// Links in the order in which they were written.
    pub links: Vec<RecordedLink>,
    /// Namespaces with the table.
    pub clamps: Vec<RecordedClamp>,
}

impl Record {
    fn new() -> Self {
        Self { schema: SCHEMA.to_owned(), boot: host::boot_id(), links: Vec::new(), clamps: Vec::new() }
    }

    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.clamps.is_empty()
    }

    /// Adds a link; of one that is there, what it was at first stays.
    pub(super) fn add_link(&mut self, link: RecordedLink) {
        match self.links.iter().position(|it| it.is_same(&link)) {
            Some(position) => {
                let mut known = self.links.remove(position);
                known.written.extend(link.written);
                known.written.sort_unstable();
                known.written.dedup();
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

    /// Forgets what is gone with its namespace, unless namespaces may be there that cannot be seen.
    pub(super) fn forget_namespaces(&mut self, doors: &Doors) {
        if doors.are_all {
            self.links.retain(|link| link.netns.door(doors).is_some());
            self.clamps.retain(|clamp| clamp.netns.door(doors).is_some());
        }
    }
}

/// The file, and the right to write links while this is held.
#[derive(Debug)]
pub struct RecordFile {
    files: HostFiles,
    _lock: File,
}

impl RecordFile {
    /// Takes the lock in `directory`, which is made if it is not there.
    pub fn lock(directory: &Path) -> Result<Self, RecordError> {
        let files = HostFiles::beside_others(directory);
        files.make_directory()?;
        let path = directory.join(LOCK);
        let failed = |source| RecordError::File { attempt: "lock", path: path.clone(), source };
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { files, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RecordError::Busy { path }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// What was recorded since this kernel booted.
    pub fn load(&self) -> Result<Record, RecordError> {
        let path = self.path();
        let failed = |source| RecordError::File { attempt: "read", path: path.clone(), source };
        let found = match fs::symlink_metadata(&path) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => return Ok(Record::new()),
            found => found.map_err(failed)?,
        };
        let own = fs::metadata("/proc/self").map_err(failed)?.uid();
        if !found.is_file() || found.mode() & 0o022 != 0 || ![0, own].contains(&found.uid()) {
            return Err(RecordError::Untrusted { path, uid: found.uid(), mode: found.mode() & 0o7777 });
        }
        let content = fs::read(&path).map_err(failed)?;
        let record: Record = match serde_json::from_slice(&content) {
            Ok(record) => record,
            Err(source) => return Err(RecordError::Unreadable { path, source }),
        };
        if record.schema != SCHEMA {
            return Err(RecordError::Schema { path, schema: record.schema });
        }
        Ok(if record.boot == host::boot_id() { record } else { Record::new() })
    }

    /// Replaces it as a whole, on the disk when this returns. An empty one is removed.
    pub fn store(&self, record: &Record) -> Result<(), RecordError> {
        if record.is_empty() {
            return self.remove();
        }
        let mut content =
            serde_json::to_vec_pretty(record).expect("it has no map with keys that are no strings");
        content.push(b'\n');
        self.files.write(TUNE_JSON, &content)?;
        Ok(())
    }

    fn remove(&self) -> Result<(), RecordError> {
        let path = self.path();
        match fs::remove_file(&path).and_then(|()| File::open(self.files.directory())?.sync_all()) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| RecordError::File { attempt: "remove", path, source }),
        }
    }

    fn path(&self) -> PathBuf {
        self.files.directory().join(TUNE_JSON)
    }
}

#[cfg(test)]
mod tests;
