//! `/v1/events`: server-sent events, one for each survey that was concluded.
//!
//! Nothing is queued: who is slow gets the last survey, and none of those before it. A stream ends after a while, as
//! every connection does, and its client, which then comes again with the id that it saw last, misses nothing.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep};

use super::routes::now;
use super::status::{Document, Status};
use crate::domain::mtu::LinkMtu;
use crate::publish::page::State as Standing;

/// Streams at once; the connections that are left are for scrapes.
pub(super) const MOST_FOLLOWERS: usize = 8;
/// How long a stream lasts: less than any connection may.
pub(super) const LASTS: Duration = Duration::from_secs(25);
/// How soon a client comes again.
const RETRY: Duration = Duration::from_secs(1);
/// What clients send that were here before.
const LAST_EVENT_ID: &str = "last-event-id";

const TOO_MANY: (StatusCode, &str) = (
    StatusCode::SERVICE_UNAVAILABLE,
    "8 clients follow the surveys already: end one of them, or ask for /v1/survey now and then\n",
);

/// What follows a survey.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) status: Arc<Status>,
    pub(super) slots: Arc<Semaphore>,
}

impl Followed {
    pub(super) fn new(status: Arc<Status>) -> Self {
        Self { status, slots: Arc::new(Semaphore::new(MOST_FOLLOWERS)) }
    }
}

/// What an event tells; whoever wants more asks for the survey.
#[derive(Serialize)]
struct Told {
    observed_at: String,
    state: &'static str,
    safe_dind_mtu: Option<LinkMtu>,
    mismatches: usize,
}

pub(super) async fn events(State(followed): State<Followed>, headers: HeaderMap) -> Response {
    let Ok(slot) = followed.slots.try_acquire_owned() else { return TOO_MANY.into_response() };
    let seen = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    let one = Follower::new(followed.status, seen, slot);
    let events = stream::unfold(one, |mut one| async move {
        let event = one.next().await?;
        Some((Ok::<_, Infallible>(event), one))
    });
    ([(CACHE_CONTROL, "no-cache")], Sse::new(events)).into_response()
}

struct Follower {
    status: Arc<Status>,
    surveys: watch::Receiver<Option<Arc<Document>>>,
    stops: watch::Receiver<bool>,
    ends: Pin<Box<Sleep>>,
    /// Whether the client was told how soon to come again.
    is_greeted: bool,
    /// What the client has.
    seen: Option<String>,
    _slot: OwnedSemaphorePermit,
}

impl Follower {
    fn new(status: Arc<Status>, seen: Option<String>, slot: OwnedSemaphorePermit) -> Self {
        let (surveys, stops) = (status.follow(), status.stops());
        Self { status, surveys, stops, ends: Box::pin(sleep(LASTS)), is_greeted: false, seen, _slot: slot }
    }

    /// Waits for something that the client has not seen; `None` ends the stream.
    async fn next(&mut self) -> Option<Event> {
        if !self.is_greeted {
            self.is_greeted = true;
            return Some(Event::default().retry(RETRY));
        }
        loop {
            let document = self.surveys.borrow_and_update().clone();
            if let Some(document) = document {
                let version = document.version(self.status.overdue(now()));
                if self.seen.as_ref() != Some(&version) {
                    self.seen = Some(version.clone());
                    return Some(event(&document, version));
                }
            }
            tokio::select! {
                changed = self.surveys.changed() => changed.ok()?,
                _ = self.stops.wait_for(|stops| *stops) => return None,
                () = &mut self.ends => return None,
            }
        }
    }
}

fn event(document: &Document, version: String) -> Event {
    let survey = &document.survey;
    let told = Told {
        observed_at: survey.observed_at.to_string(),
        state: Standing::of(survey).name(),
        safe_dind_mtu: survey.safe_dind_mtu().map(|safe| safe.mtu),
        mismatches: survey.findings.len(),
    };
    let event = Event::default().event("survey").id(version);
    event.json_data(told).expect("it has no map with keys that are no strings")
}

#[cfg(test)]
mod tests;
