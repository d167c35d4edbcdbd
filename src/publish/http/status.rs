//! What the server tells: the agent updates it, requests read it.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::pulse::Pulse;
use crate::publish::metrics::Metrics;

/// What the agent is and has found.
#[derive(Debug)]
pub struct Status {
    pub(super) metrics: Arc<Metrics>,
    pulse: Pulse,
    survey: RwLock<Option<Arc<Document>>>,
}

/// A survey as it goes out.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Bytes,
    /// In quotes, as the header has it.
    pub(super) tag: String,
}

impl Status {
    /// Nothing is found yet; the agent's loop is to turn before `due`.
    pub fn new(metrics: Arc<Metrics>, due: Instant) -> Self {
        Self { metrics, pulse: Pulse::new(due), survey: RwLock::default() }
    }

    /// The agent's loop turned, and is to turn again before `due`.
    pub fn turned(&self, due: Instant) {
        self.pulse.turned(due);
    }

    /// A survey is done; this is its JSON.
    pub fn surveyed(&self, json: String) {
        let mut hasher = DefaultHasher::new();
        hasher.write(json.as_bytes());
        let tag = format!("\"{:016x}\"", hasher.finish());
        let document = Arc::new(Document { body: json.into(), tag });
        *self.survey.write().unwrap_or_else(PoisonError::into_inner) = Some(document);
    }

    /// How long ago the loop should have turned, if it did not.
    pub(super) fn overdue(&self, now: Instant) -> Option<Duration> {
        self.pulse.overdue(now)
    }

    /// The last survey.
    pub(super) fn survey(&self) -> Option<Arc<Document>> {
        self.survey.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
