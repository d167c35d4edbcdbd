//! What the server tells: the agent updates it, requests read it.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::watch;

use super::pulse::Pulse;
use crate::discovery::survey::Survey;
use crate::publish::metrics::Metrics;
use crate::publish::page::{Since, View, render};

/// What the agent is and has found.
#[derive(Debug)]
pub struct Status {
    pub(super) metrics: Arc<Metrics>,
    pulse: Pulse,
    /// Who follows it sees the last one, however many there were: nothing is kept for those who are slow.
    survey: watch::Sender<Option<Arc<Document>>>,
    stops: watch::Sender<bool>,
}

/// A survey as it goes out.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Bytes,
    /// Tells it from any other.
    pub(super) tag: String,
    pub(super) survey: Arc<Survey>,
    since: Since,
    /// Made when somebody asks.
    page: OnceLock<Bytes>,
}

impl Status {
    /// Nothing is found yet; the agent's loop is to turn before `due`.
    pub fn new(metrics: Arc<Metrics>, due: Instant) -> Self {
        let (survey, stops) = (watch::Sender::new(None), watch::Sender::new(false));
        Self { metrics, pulse: Pulse::new(due), survey, stops }
    }

    /// The agent's loop turned, and is to turn again before `due`.
    pub fn turned(&self, due: Instant) {
        self.pulse.turned(due);
    }

    /// A survey is done; `json` is what programs get of it.
    pub fn surveyed(&self, json: String, survey: Arc<Survey>) {
        let mut hasher = DefaultHasher::new();
        hasher.write(json.as_bytes());
        let tag = format!("{:016x}", hasher.finish());
        let since = Since::of(&survey, self.survey().as_deref().map(|earlier| &earlier.since));
        let document = Document { body: json.into(), tag, survey, since, page: OnceLock::new() };
        self.survey.send_replace(Some(Arc::new(document)));
    }

    /// How long ago the loop should have turned, if it did not.
    pub(super) fn overdue(&self, now: Instant) -> Option<Duration> {
        self.pulse.overdue(now)
    }

    /// The last survey.
    pub(super) fn survey(&self) -> Option<Arc<Document>> {
        self.survey.borrow().clone()
    }

    /// Every survey from now on, or the last where they come faster than they are taken.
    pub(super) fn follow(&self) -> watch::Receiver<Option<Arc<Document>>> {
        self.survey.subscribe()
    }

    /// Whoever follows is let go of.
    pub(super) fn stop(&self) {
        self.stops.send_replace(true);
    }

    /// Is true once there is nothing more to follow.
    pub(super) fn stops(&self) -> watch::Receiver<bool> {
        self.stops.subscribe()
    }
}

impl Document {
    /// Tells one page from another: whether the agent hangs is on it too.
    pub(super) fn version(&self, overdue: Option<Duration>) -> String {
        let late = if overdue.is_some() { "-late" } else { "" };
        format!("{}{late}", self.tag)
    }

    /// The status page.
    pub(super) fn page(&self, overdue: Option<Duration>) -> Bytes {
        let version = self.version(overdue);
        let make = || {
            let view = View { survey: &self.survey, since: &self.since, version: &version, overdue };
            Bytes::from(render(&view))
        };
        match overdue {
            // How long changes with each request.
            Some(_) => make(),
            None => self.page.get_or_init(make).clone(),
        }
    }
}
