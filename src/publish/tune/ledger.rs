//! The record as a file under `/run/mtu-agent`, and the right to write links.
//!
//! Who writes links holds the lock from before they are recorded until after they are written, so that nobody takes
//! back what is about to be written. Parts of one process hold it together: an answer does not wait for a plan.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::Step;
use super::record::{NetnsId, Record, RecordError, RecordedLink, SCHEMA};
use crate::domain::link::Ifindex;
use crate::kernel::{host, procfs};
use crate::publish::host_file::HostFiles;

/// Name of the record.
pub const TUNE_JSON: &str = "tune.json";
/// Whoever writes links holds this.
const LOCK: &str = "tune.lock";
/// An agent that tunes holds this as long as it runs.
const CLAIM: &str = "tuner.lock";
/// Whoever may open a lock, if only to read it, may hold it.
const LOCK_MODE: u32 = 0o600;
/// Another process is done with all links of a machine by then.
const PATIENCE: Duration = Duration::from_secs(10);
/// So often it is tried until then.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// What is recorded in one directory. Each part of a process that writes links has the same one.
#[derive(Debug)]
pub struct Ledger {
    files: HostFiles,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lock: Weak<File>,
    /// Another process did not come to an end, nobody waits for it again before it has.
    is_busy: bool,
    /// Links that were answered, and recorded for that, under this lock.
    answered: BTreeSet<(NetnsId, Ifindex)>,
    /// The record, as long as its file is this one.
    known: Option<(Option<Stamp>, Record)>,
}

/// A file that is replaced has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
}

/// The only one that keeps links right, as long as it is there.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "closed, it is unlocked")] File);

/// The right to write links, as long as it is there.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    ledger: &'a Ledger,
    _lock: Arc<File>,
}

impl Ledger {
    /// The one in `directory`, which is made when something is written.
    pub fn new(directory: &Path) -> Self {
        Self { files: HostFiles::beside_others(directory), patience: PATIENCE, state: Mutex::default() }
    }

    /// The right to write links. Waits for other processes to finish what they write: so long that one which does not
    /// is waited for once, and refused at once from then on.
    pub fn session(&self) -> Result<Session<'_>, RecordError> {
        let mut tries = self.patience.as_millis() / TRY_EVERY.as_millis();
        loop {
            let mut state = self.state();
            if let Some(lock) = state.lock.upgrade() {
                return Ok(Session { ledger: self, _lock: lock });
            }
            self.files.make_directory()?;
            let (lock, path) = self.open(LOCK)?;
            match lock.try_lock() {
                Ok(()) => {
                    let lock = Arc::new(lock);
                    state.lock = Arc::downgrade(&lock);
                    state.is_busy = false;
                    state.answered.clear();
                    return Ok(Session { ledger: self, _lock: lock });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(RecordError::File { attempt: "lock", path, source });
                }
                Err(TryLockError::WouldBlock) if tries == 0 || state.is_busy => {
                    state.is_busy = true;
                    return Err(RecordError::Busy { path });
                }
                Err(TryLockError::WouldBlock) => {}
            }
            drop(state);
            tries -= 1;
            pause();
        }
    }

    /// Becomes the one that keeps links right. Refused while another is.
    pub fn claim(&self) -> Result<Claim, RecordError> {
        self.files.make_directory()?;
        let (lock, path) = self.open(CLAIM)?;
        match lock.try_lock() {
            Ok(()) => Ok(Claim(lock)),
            Err(TryLockError::Error(source)) => Err(RecordError::File { attempt: "lock", path, source }),
            Err(TryLockError::WouldBlock) => Err(RecordError::Claimed { path }),
        }
    }

    /// The same, but waits for the other's end, however long that takes.
    pub fn claim_when_free(&self) -> Result<Claim, RecordError> {
        self.files.make_directory()?;
        let (lock, path) = self.open(CLAIM)?;
        lock.lock().map_err(|source| RecordError::File { attempt: "lock", path, source })?;
        Ok(Claim(lock))
    }

    fn open(&self, name: &str) -> Result<(File, PathBuf), RecordError> {
        let path = self.files.directory().join(name);
        let mut options = File::options();
        let opened = options.create(true).truncate(false).write(true).mode(LOCK_MODE).open(&path);
        // One that was there may have been made by an earlier version, for everybody.
        let private = |file: File| file.set_permissions(Permissions::from_mode(LOCK_MODE)).map(|()| file);
        match opened.and_then(private) {
            Ok(file) => Ok((file, path)),
            Err(source) => Err(RecordError::File { attempt: "open", path, source }),
        }
    }

    fn load(&self, state: &mut State) -> Result<Record, RecordError> {
        let path = self.path();
        let failed = |source| RecordError::File { attempt: "read", path: path.clone(), source };
        let found = match fs::symlink_metadata(&path) {
            Err(none) if none.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.map_err(failed)?),
        };
        let stamp = found.as_ref().map(Stamp::of);
        if let Some((_, known)) = state.known.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(known.clone());
        }
        let Some(found) = found else { return Ok(Record::new()) };
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

    fn update(&self, state: &mut State, change: impl FnOnce(&mut Record)) -> Result<(), RecordError> {
        let known = self.load(state)?;
        let mut record = known.clone();
        change(&mut record);
        if record == known { Ok(()) } else { self.store(state, record) }
    }

    /// Replaces it as a whole, on the disk when this returns. An empty one is removed.
    fn store(&self, state: &mut State, record: Record) -> Result<(), RecordError> {
        state.known = None;
        if record.is_empty() {
            return self.remove();
        }
        let mut content =
            serde_json::to_vec_pretty(&record).expect("it has no map with keys that are no strings");
        content.push(b'\n');
        self.files.write(TUNE_JSON, &content)?;
        let stamp = fs::symlink_metadata(self.path()).ok().as_ref().map(Stamp::of);
        state.known = stamp.map(|stamp| (Some(stamp), record));
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session<'_> {
    /// What was recorded since this kernel booted.
    pub fn load(&self) -> Result<Record, RecordError> {
        self.ledger.load(&mut self.ledger.state())
    }

    /// Records links that are about to be answered. When this returns, that is on the disk.
    pub fn add_links(&self, links: impl IntoIterator<Item = RecordedLink>) -> Result<(), RecordError> {
        let links: Vec<_> = links.into_iter().collect();
        self.ledger.state().answered.extend(links.iter().map(|link| (link.netns, link.ifindex)));
        self.add(|record| links.into_iter().for_each(|link| record.add_link(link)))
    }

    /// Records what is about to be written. When this returns, that is on the disk.
    pub(super) fn add(&self, add: impl FnOnce(&mut Record)) -> Result<(), RecordError> {
        self.update(|record| {
            record.seen_from(procfs::pid_namespace());
            add(record);
        })
    }

    /// What was `known` of what the steps are about, if they have written nothing: but what was answered since is written.
    pub(super) fn restore(&self, known: &Record, steps: &[Step]) -> Result<(), RecordError> {
        let mut state = self.ledger.state();
        let is_answered = |step: &Step| {
            let (netns, link) = step.at();
            link.is_some_and(|link| state.answered.contains(&(netns, link)))
        };
        let unwritten: Vec<_> = steps.iter().filter(|step| !is_answered(step)).collect();
        self.ledger.update(&mut state, |record| record.restore(known, &unwritten))
    }

    /// Changes the record. When this returns, that is on the disk.
    pub(super) fn update(&self, change: impl FnOnce(&mut Record)) -> Result<(), RecordError> {
        self.ledger.update(&mut self.ledger.state(), change)
    }
}

/// Until a lock is tried again: the kernel tells its end only to those who wait in it, for however long.
#[expect(
    clippy::disallowed_methods,
    reason = "nobody can be told of the end of a lock and wait no longer than so long"
)]
fn pause() {
    thread::sleep(TRY_EVERY);
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self { inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()) }
    }
}

#[cfg(test)]
mod tests;
