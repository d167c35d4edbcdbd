//! The host files, written by a task of its own: a disk that is slow, or hangs, keeps neither the loop nor HTTP.
//!
//! Only what is wanted last counts. What is overtaken while the disk is busy is never written.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use tracing::warn;

use crate::domain::error::with_sources;
use crate::domain::mtu::LinkMtu;
use crate::publish::host_file::{HostFileError, HostFiles, Written};
use crate::publish::metrics::Metrics;

/// A disk that takes longer is worth a line in the log.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the last values to be written when the agent stops.
const LAST: Duration = Duration::from_secs(1);

/// What the files are to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The survey.
    pub(super) document: String,
    /// The published value; without one, what is there stays.
    pub(super) mtu: Option<LinkMtu>,
}

/// What came of each file.
type Outcomes = Vec<Result<Written, HostFileError>>;

/// The task that writes them.
pub(super) struct Files {
    wanted: watch::Sender<Arc<Wanted>>,
    writer: JoinHandle<()>,
}

impl Files {
    /// Writes whatever is wanted from now on. Takes a runtime.
    pub(super) fn keep(files: HostFiles, metrics: Arc<Metrics>) -> Self {
        Self::keep_by(move |wanted| write(&files, wanted), metrics)
    }

    fn keep_by(write: impl Fn(&Wanted) -> Outcomes + Send + Sync + 'static, metrics: Arc<Metrics>) -> Self {
        let (wanted, receiver) = watch::channel(Arc::default());
        Self { wanted, writer: tokio::spawn(follow(receiver, Arc::new(write), metrics)) }
    }

    /// From now on the files are to say this.
    pub(super) fn want(&self, wanted: Wanted) {
        self.wanted.send(Arc::new(wanted)).expect("the writer listens until this is dropped");
    }

    /// Ends when they say it, or after a second if the disk hangs.
    pub(super) async fn finish(self) {
        drop(self.wanted);
        if timeout(LAST, self.writer).await.is_err() {
            warn!("the disk did not take the last host files before the agent stopped; the old ones stay");
        }
    }
}

async fn follow(
    mut wanted: watch::Receiver<Arc<Wanted>>,
    write: Arc<impl Fn(&Wanted) -> Outcomes + Send + Sync + 'static>,
    metrics: Arc<Metrics>,
) {
    // `None` after a failure.
    let mut told: Option<Arc<Wanted>> = None;
    // What was wanted before the sender was dropped is still told.
    while wanted.changed().await.is_ok() {
        let wanted = Arc::clone(&wanted.borrow_and_update());
        // Another date alone is no reason to write. A file that somebody removed or altered is: it says again what it
        // said.
        let wanted = told.filter(|told| told.is_but_for_dates(&wanted)).unwrap_or(wanted);
        let (write, given) = (Arc::clone(&write), Arc::clone(&wanted));
        let outcomes = patiently(spawn_blocking(move || write(&given))).await;
        told = outcomes.iter().all(Result::is_ok).then_some(wanted);
        for outcome in outcomes {
            metrics.observe_host_file(&outcome);
            if let Err(error) = outcome {
                warn!(error = %with_sources(&error), "a host file is not up to date; the old one stays");
            }
        }
    }
}

async fn patiently(mut writing: JoinHandle<Outcomes>) -> Outcomes {
    let done = match timeout(PATIENCE, &mut writing).await {
        Ok(done) => done,
        Err(_elapsed) => {
            warn!("the disk is slow or hangs: the host files are not up to date");
            writing.await
        }
    };
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn write(files: &HostFiles, wanted: &Wanted) -> Outcomes {
    let survey = files.write_survey(wanted.document.as_bytes());
    let mtu = wanted.mtu.map(|mtu| files.write_mtu(mtu));
    [Some(survey), mtu].into_iter().flatten().collect()
}

impl Wanted {
    fn is_but_for_dates(&self, other: &Self) -> bool {
        self.mtu == other.mtu && undated(&self.document).eq(undated(&other.document))
    }
}

fn undated(document: &str) -> impl Iterator<Item = &str> {
    document.lines().filter(|line| !line.trim_start().starts_with("\"observed_at\""))
}

#[cfg(test)]
mod tests;
