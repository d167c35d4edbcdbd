//! Tells when a file may have new content, without polling: inotify(7) on its directory.
//!
//! The directory, because a file is rarely written in place. Editors and package managers rename a new one over it,
//! and Kubernetes swaps the symbolic link `..data`, through which the files of a `ConfigMap` volume lead. A link to
//! another directory is not followed; nor is a `subPath` mount, which Kubernetes never updates.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::readiness::register;

/// What Kubernetes swaps (`AtomicWriter`, `pkg/volume/util/atomic_writer.go`).
const SWAPPED: &str = "..data";
/// Room for some events; the longest takes 16 bytes and a file name of 255.
const BUFFER_BYTES: usize = 4096;

/// A file that is not watched, or no more.
#[derive(Debug, thiserror::Error)]
pub enum FileWatchError {
    /// Its name does not end in a file's.
    #[error("watch {}: give the path of a file", path.display())]
    NoFile {
        /// The name.
        path: PathBuf,
    },
    /// No inotify instance.
    #[error("watch {} for changes: is fs.inotify.max_user_instances reached?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its directory cannot be watched: it must exist, the file need not.
    #[error("watch directory {} for changes of its files", directory.display())]
    Directory {
        /// Where the file is.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Reading failed.
    #[error("read changes of {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A file that is watched.
#[derive(Debug)]
pub struct FileWatch {
    inotify: AsyncFd<OwnedFd>,
    path: PathBuf,
    directory: PathBuf,
    name: OsString,
}

impl FileWatch {
    /// Watches `path` from now on: read the file after that. Panics outside of a tokio runtime.
    pub fn open(path: &Path) -> Result<Self, FileWatchError> {
        let path = path.to_owned();
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            return Err(FileWatchError::NoFile { path });
        };
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            Some(_) | None => PathBuf::from("."),
        };
        let opened = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(io::Error::from)
            .and_then(|fd| register(fd, Interest::READABLE));
        let inotify = match opened {
            Ok(inotify) => inotify,
            Err(source) => return Err(FileWatchError::Open { path, source }),
        };
        let watch = Self { inotify, path, directory, name };
        watch.add_directory()?;
        Ok(watch)
    }

    /// Waits until the file may have new content, be another one, or be gone; several changes at once are one.
    /// Nothing is lost when it is dropped while it waits.
    pub async fn next(&mut self) -> Result<(), FileWatchError> {
        loop {
            if self.drain()? {
                return Ok(());
            }
            let mut guard = self
                .inotify
                .readable()
                .await
                .map_err(|source| FileWatchError::Read { path: self.path.clone(), source })?;
            // Cleared before the reads that follow: what arrives from here on sets it again.
            guard.clear_ready();
        }
    }

    /// Takes all that is there, and tells whether any of it is about the file.
    fn drain(&self) -> Result<bool, FileWatchError> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        let mut changed = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(changed),
                Err(Errno::INTR) => continue,
                Err(errno) => {
                    return Err(FileWatchError::Read { path: self.path.clone(), source: errno.into() });
                }
            };
            let (what, name) =
                (event.events(), event.file_name().map(|name| OsStr::from_bytes(name.to_bytes())));
            if what.contains(ReadFlags::IGNORED) {
                // The directory was removed, or its file system unmounted; perhaps another one is there by now.
                self.add_directory()?;
                changed = true;
            } else if what.contains(ReadFlags::QUEUE_OVERFLOW) {
                changed = true;
            } else if let Some(name) = name {
                changed |= self.concerns(what, name);
            }
        }
    }

    fn concerns(&self, what: ReadFlags, name: &OsStr) -> bool {
        if name != self.name && name != SWAPPED {
            return false;
        }
        // A file that was just made is empty: the one who made it has yet to write, and to close it. A link is whole.
        !what.contains(ReadFlags::CREATE) || self.directory.join(name).is_symlink()
    }

    fn add_directory(&self) -> Result<(), FileWatchError> {
        let events = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let added = add_watch(self.inotify.get_ref(), &self.directory, events);
        added.map(drop).map_err(|errno| FileWatchError::Directory {
            directory: self.directory.clone(),
            source: errno.into(),
        })
    }
}

#[cfg(test)]
mod tests;
