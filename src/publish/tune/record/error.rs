//! Why there is no record.

use std::io;
use std::path::PathBuf;

use crate::kernel::netns::NetnsError;
use crate::publish::host_file::HostFileError;

/// The record could not be read or written. Without it nothing is changed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be written.
    #[error("record what is to be changed, before it is")]
    Write(#[from] HostFileError),
    /// It could not be told of which namespace it would be.
    #[error("identify the namespace of what is to be changed, before it is")]
    Identify(#[from] NetnsError),
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
