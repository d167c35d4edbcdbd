//! The pages of the controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::sync::watch;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::routes::{health, nothing, now};
use super::{Pulse, Server};
use crate::publish::metrics::TEXT_FORMAT;
use crate::publish::metrics::controller::ControllerMetrics;

/// What the controller is and has found.
#[derive(Debug)]
pub struct ControllerStatus {
    metrics: Arc<ControllerMetrics>,
    pulse: Pulse,
    /// What the webhook is served with; without one every handshake is refused.
    key: Option<watch::Receiver<Option<Arc<CertifiedKey>>>>,
    is_listed: AtomicBool,
    is_leaving: AtomicBool,
}

impl ControllerStatus {
    /// Not ready yet; the controller's loop is to turn before `due`.
    pub fn new(metrics: Arc<ControllerMetrics>, due: Instant) -> Self {
        let (is_listed, is_leaving) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { metrics, pulse: Pulse::new(due), key: None, is_listed, is_leaving }
    }

    /// Not ready either as long as there is no `key` to serve the webhook with.
    #[must_use]
    pub fn with_key(self, key: watch::Receiver<Option<Arc<CertifiedKey>>>) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The controller's loop turned, and is to turn again before `due`.
    pub fn turned(&self, due: Instant) {
        self.pulse.turned(due);
    }

    /// All that is followed was listed once. It stays so when the API server is away: the webhook serves on.
    pub fn listed(&self) {
        self.is_listed.store(true, Ordering::Relaxed);
    }

    /// The loop turns no more: nobody is to be sent here any longer.
    pub fn leaves(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    fn unready(&self) -> Option<&'static str> {
        if self.is_leaving.load(Ordering::Relaxed) {
            Some("it was told to stop\n")
        } else if !self.is_listed.load(Ordering::Relaxed) {
            Some("not all nodes, namespaces and reports are listed yet\n")
        } else if self.key.as_ref().is_some_and(|key| key.borrow().is_none()) {
            Some("there is no certificate to serve the webhook with yet\n")
        } else {
            None
        }
    }
}

impl Server {
    /// Serves the controller's pages until `shutdown`; then no longer than a second, for the answers that are under
    /// way.
    pub async fn run_controller(self, status: Arc<ControllerStatus>, shutdown: impl Future<Output = ()>) {
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .fallback(nothing)
            .with_state(status);
        self.serve(router, shutdown).await;
    }
}

async fn metrics(State(status): State<Arc<ControllerStatus>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, TEXT_FORMAT)], status.metrics.render())
}

async fn healthz(State(status): State<Arc<ControllerStatus>>) -> (StatusCode, String) {
    let is_leaving = status.is_leaving.load(Ordering::Relaxed);
    health(status.pulse.overdue(now()).filter(|_| !is_leaving), "controller")
}

async fn readyz(State(status): State<Arc<ControllerStatus>>) -> (StatusCode, &'static str) {
    status.unready().map_or((StatusCode::OK, "ok\n"), |why| (StatusCode::SERVICE_UNAVAILABLE, why))
}
