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

use super::routes::{health, nothing, now};
use super::{Pulse, Server};
use crate::publish::metrics::TEXT_FORMAT;
use crate::publish::metrics::controller::ControllerMetrics;

/// What the controller is and has found.
#[derive(Debug)]
pub struct ControllerStatus {
    metrics: Arc<ControllerMetrics>,
    pulse: Pulse,
    is_ready: AtomicBool,
}

impl ControllerStatus {
    /// Not ready yet; the controller's loop is to turn before `due`.
    pub fn new(metrics: Arc<ControllerMetrics>, due: Instant) -> Self {
        Self { metrics, pulse: Pulse::new(due), is_ready: AtomicBool::new(false) }
    }

    /// The controller's loop turned, and is to turn again before `due`.
    pub fn turned(&self, due: Instant) {
        self.pulse.turned(due);
    }

    /// All that is followed was listed once. It stays ready when the API server is away: the webhook serves on.
    pub fn ready(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
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
    health(status.pulse.overdue(now()), "controller")
}

async fn readyz(State(status): State<Arc<ControllerStatus>>) -> (StatusCode, &'static str) {
    if status.is_ready.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not all nodes, namespaces and reports are listed yet\n")
    }
}
