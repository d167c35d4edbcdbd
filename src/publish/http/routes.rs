//! The pages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::events::{Followed, events};
use super::status::Status;
use crate::kernel::counters::PacketCounters;
use crate::kernel::host;
use crate::publish::metrics::TEXT_FORMAT;
use crate::publish::page::{policy, waiting};

/// Which pages are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// All of them: for loopback.
    All,
    /// Only `/metrics`: for an address that others reach.
    Metrics,
}

/// Serves `pages` of `status`.
pub(super) fn router(status: Arc<Status>, pages: Pages) -> Router {
    let router = Router::new().route("/metrics", get(metrics));
    let router = match pages {
        Pages::All => {
            let followed = Followed::new(Arc::clone(&status));
            let policy: Arc<str> = policy().into();
            router
                .route(
                    "/",
                    get(async move |State(status): State<Arc<Status>>, headers: HeaderMap| {
                        page(&status, &headers, &policy)
                    }),
                )
                .route("/healthz", get(healthz))
                .route("/readyz", get(readyz))
                .route("/v1/survey", get(survey))
                .route("/v1/events", get(events).with_state(followed))
        }
        Pages::Metrics => router,
    };
    router.fallback(nothing).with_state(status)
}

async fn metrics(State(status): State<Arc<Status>>) -> impl IntoResponse {
    status.metrics.observe_passive(&PacketCounters::read());
    ([(CONTENT_TYPE, TEXT_FORMAT)], status.metrics.render())
}

async fn healthz(State(status): State<Arc<Status>>) -> (StatusCode, String) {
    let overdue = status.overdue(now());
    health(overdue, "agent")
}

/// What `/healthz` says of a loop that should have turned so long ago.
pub(super) fn health(overdue: Option<Duration>, whose: &str) -> (StatusCode, String) {
    match overdue {
        None => (StatusCode::OK, "ok\n".into()),
        Some(overdue) => {
            let seconds = overdue.as_secs_f64();
            let why = format!("the {whose}'s loop should have turned {seconds:.1} s ago\n");
            (StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a request comes now, and nobody else tells it")]
pub(super) fn now() -> Instant {
    Instant::now()
}

async fn readyz(State(status): State<Arc<Status>>) -> (StatusCode, &'static str) {
    if status.survey().is_some() { (StatusCode::OK, "ok\n") } else { NOT_YET }
}

const NOT_YET: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "no survey is done yet\n");

async fn survey(State(status): State<Arc<Status>>, headers: HeaderMap) -> Response {
    let Some(document) = status.survey() else { return NOT_YET.into_response() };
    let tag = quoted(&document.tag);
    let head = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache")];
    if is_known(&headers, &tag) {
        return (StatusCode::NOT_MODIFIED, head).into_response();
    }
    (head, [(CONTENT_TYPE, "application/json")], document.body.clone()).into_response()
}

/// The status page.
fn page(status: &Status, headers: &HeaderMap, policy: &str) -> Response {
    let head = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    let Some(document) = status.survey() else {
        return (StatusCode::SERVICE_UNAVAILABLE, head, waiting(&host::host_name())).into_response();
    };
    let overdue = status.overdue(now());
    let tag = quoted(&document.version(overdue));
    let tag = [(ETAG, tag.as_str())];
    if is_known(headers, tag[0].1) {
        return (StatusCode::NOT_MODIFIED, tag, head).into_response();
    }
    (tag, head, document.page(overdue)).into_response()
}

/// As the header has it.
fn quoted(tag: &str) -> String {
    format!("\"{tag}\"")
}

/// Whether the client has what `tag` names (RFC 9110 §13.1.2: compared weakly).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = tags.flat_map(|tags| tags.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

pub(super) async fn nothing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "nothing is here\n")
}
