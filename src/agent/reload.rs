//! When to read the configuration again: SIGHUP, or its file changed.

use std::future::pending;
use std::io;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use crate::kernel::file_watch::{FileWatch, FileWatchError};

/// Cannot be told when the configuration changes.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// SIGHUP is not to be had.
    #[error("listen for SIGHUP")]
    Signal(#[source] io::Error),
    /// The file's directory cannot be watched.
    #[error("watch the configuration file")]
    File(#[from] FileWatchError),
}

/// Both ways in which a change may be told.
pub(super) struct Reload {
    hangup: Signal,
    file: Option<FileWatch>,
}

impl Reload {
    /// From now on: read the file after that.
    pub(super) fn open(file: Option<&Path>) -> Result<Self, ReloadError> {
        let hangup = signal(SignalKind::hangup()).map_err(ReloadError::Signal)?;
        Ok(Self { hangup, file: file.map(FileWatch::open).transpose()? })
    }

    /// Waits for either. A file that cannot be watched any more is left to SIGHUP.
    pub(super) async fn next(&mut self) {
        let changed = async {
            match &mut self.file {
                Some(file) => file.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.hangup.recv() => {}
            result = changed => if let Err(error) = result {
                warn!(%error, "the configuration file is not watched any more; send SIGHUP after a change");
                self.file = None;
            },
        }
    }
}
