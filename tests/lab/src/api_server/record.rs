//! What is kept of each request.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use serde_json::Value;

use super::access::Permission;

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Counts requests, from 0.
    pub number: usize,
    /// `GET`, `PATCH`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Its query, decoded.
    pub query: BTreeMap<String, String>,
    /// `Content-Type`; empty if there is none.
    pub content_type: String,
    /// `Accept`; empty if there is none.
    pub accept: String,
    /// `User-Agent`; empty if there is none.
    pub user_agent: String,
    /// `Authorization`; empty if there is none.
    pub authorization: String,
    /// The body as JSON, also if it was YAML; null if there is none or it is neither.
    pub body: Value,
    /// What was needed to be allowed.
    pub permissions: Vec<Permission>,
    /// With what it was answered; `None` before.
    pub status: Option<u16>,
}

impl Recorded {
    pub(super) fn new(number: usize, parts: &Parts, body: &Bytes) -> Self {
        let header = |name| text(&parts.headers, name);
        let query =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self {
            number,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query,
            content_type: header(header::CONTENT_TYPE),
            accept: header(header::ACCEPT),
            user_agent: header(header::USER_AGENT),
            authorization: header(header::AUTHORIZATION),
            body: parse(body).unwrap_or(Value::Null),
            permissions: Vec::new(),
            status: None,
        }
    }

    /// A part of the query; empty if it is not there.
    pub fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Who writes.
    pub fn field_manager(&self) -> &str {
        self.parameter("fieldManager")
    }

    /// Whether this is a watch.
    pub fn is_watch(&self) -> bool {
        self.method == "GET" && matches!(self.parameter("watch"), "true" | "1")
    }

    /// Whether this is a server-side apply.
    pub fn is_apply(&self) -> bool {
        self.method == "PATCH" && self.content_type.starts_with("application/apply-patch")
    }

    /// Whether this is anything but a read.
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

/// JSON, or else YAML.
pub(super) fn parse(body: &Bytes) -> Option<Value> {
    let yaml = || serde_saphyr::from_slice(body).ok();
    (!body.is_empty()).then(|| serde_json::from_slice(body).ok().or_else(yaml)).flatten()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
