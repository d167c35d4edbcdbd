//! Keeps the NodeMtu as the last report and the node's pods have it. The latest wins; what came before it and was not
//! written never is.

use std::future::pending;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::clock;
use super::pace::{Change, Pace, REFRESH};
use super::pods::KnownPods;
use super::writer::{WriteError, Writer};
use crate::domain::error::with_sources;
use crate::publish::kubernetes::node_mtu::NodeMtuStatus;
use crate::publish::kubernetes::node_mtu::report::{NodeReport, is_same};
use crate::publish::kubernetes::outcome::PublishResult;
use crate::publish::metrics::Metrics;

/// Writes one node's NodeMtu.
pub(super) struct Publisher {
    writer: Writer,
    pace: Pace,
    metrics: Arc<Metrics>,
    /// Dates what is told; nothing waits for it.
    wall: fn() -> Timestamp,
    /// As it should be.
    status: Option<NodeMtuStatus>,
    /// As it is known to be written.
    written: Option<NodeMtuStatus>,
    /// Until when the object is taken to be there, with its owner: somebody may take either away.
    there_until: Option<Instant>,
    /// What came of the last attempt, if that is no success: it is logged once.
    failing: Option<PublishResult>,
}

impl Publisher {
    pub(super) fn new(
        writer: Writer,
        node_name: &str,
        metrics: Arc<Metrics>,
        wall: fn() -> Timestamp,
    ) -> Self {
        let pace = Pace::new(node_name, clock());
        let (status, written) = (None, None);
        Self { writer, pace, metrics, wall, status, written, there_until: None, failing: None }
    }

    /// Runs until nobody reports any more.
    pub(super) async fn run(
        mut self,
        mut reports: watch::Receiver<Option<Arc<NodeReport>>>,
        mut pods: watch::Receiver<KnownPods>,
    ) {
        loop {
            if let Some(report) = reports.borrow_and_update().as_deref() {
                let pods = pods.borrow_and_update();
                self.status = Some(report.status(&pods.all, self.status.as_ref(), (self.wall)()));
            }
            let change = self.change();
            let due = async {
                match change.and_then(|change| self.pace.due(change)) {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                reported = reports.changed() => if reported.is_err() { return },
                Ok(()) = pods.changed() => {}
                () = due => self.write().await,
            }
        }
    }

    /// What there is to write; `None` before the first report.
    fn change(&self) -> Option<Change> {
        let status = self.status.as_ref()?;
        let Some(written) = &self.written else { return Some(Change::Value) };
        let value = |it: &NodeMtuStatus| (it.dind_mtu, it.evidence, it.lost_since.is_some());
        Some(if is_same(status, written) {
            Change::Nothing
        } else if value(status) == value(written) {
            Change::Details
        } else {
            Change::Value
        })
    }

    async fn write(&mut self) {
        let Some(status) = self.status.clone() else { return };
        let at = (self.wall)();
        let status = NodeMtuStatus { report_time: Some(Time(at)), ..status };
        let done = self.apply(&status).await;
        let result = done.as_ref().map_or_else(WriteError::result, |()| PublishResult::Success);
        self.metrics.observe_publish(result, at);
        match done {
            Ok(()) => {
                self.pace.succeeded(clock());
                debug!(mtu = status.dind_mtu, "NodeMtu written");
                if self.failing.take().is_some() || self.written.is_none() {
                    info!(mtu = status.dind_mtu, "the NodeMtu is up to date");
                }
                self.written = Some(status);
            }
            Err(error) => {
                self.pace.failed(clock(), error.retry_after());
                self.there_until = self.there_until.filter(|_| !error.is_absence());
                // It may have been done all the same: only the answer is known to be missing.
                self.written = None;
                if self.failing.replace(result) != Some(result) {
                    let error = with_sources(&error);
                    warn!(result = result.name(), %error, "the NodeMtu is not up to date; it is tried again");
                }
            }
        }
    }

    async fn apply(&mut self, status: &NodeMtuStatus) -> Result<(), WriteError> {
        if self.there_until.is_none_or(|until| until <= clock()) {
            self.writer.apply_object().await?;
            self.there_until = Some(clock() + REFRESH);
        }
        self.writer.apply_status(status).await
    }
}
