//! What is answered instead: a `Status`, in the words of the real server.

use serde_json::{Value, json};

use super::kind::Kind;

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) retry_after: Option<u32>,
    /// A text that is no `Status`.
    pub(super) text: Option<&'static str>,
    reason: String,
    message: String,
    details: Value,
}

impl Failure {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            405 => "MethodNotAllowed",
            409 => "Conflict",
            410 => "Expired",
            413 => "RequestEntityTooLarge",
            415 => "UnsupportedMediaType",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        let message = message.into();
        Self { code, retry_after: None, text: None, reason: reason.to_owned(), message, details: json!({}) }
    }

    /// Nothing is there, and a group that is not served at all has nobody who would answer with a `Status`.
    pub(super) fn no_such_path(is_served: bool) -> Self {
        let failure = Self::new(404, "the server could not find the requested resource");
        Self { text: (!is_served).then_some("404 page not found\n"), ..failure }
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, format!("{} \"{name}\" not found", kind.qualified())).about(kind, name)
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        let failure = Self::new(409, format!("{} \"{name}\" already exists", kind.qualified()));
        Self { reason: "AlreadyExists".to_owned(), ..failure }.about(kind, name)
    }

    pub(super) fn modified(kind: &Kind, name: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": the object has been modified; please apply your changes \
             to the latest version and try again",
            kind.qualified()
        );
        Self::new(409, message).about(kind, name)
    }

    /// Of a precondition of a write or a deletion.
    pub(super) fn precondition(kind: &Kind, name: &str, what: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": Precondition failed: {what}",
            kind.qualified()
        );
        Self::new(409, message).about(kind, name)
    }

    pub(super) fn invalid(kind: &Kind, name: &str, errors: &[String]) -> Self {
        let errors = if let [error] = errors { error.clone() } else { format!("[{}]", errors.join(", ")) };
        Self::new(422, format!("{} \"{name}\" is invalid: {errors}", kind.name)).about(kind, name)
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
        self
    }

    pub(super) fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after = seconds;
        if let Some(seconds) = seconds {
            self.details["retryAfterSeconds"] = seconds.into();
        }
        self
    }

    pub(super) fn with_details(mut self, key: &str, value: Value) -> Self {
        self.details[key] = value;
        self
    }

    pub(super) fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code,
        })
    }
}
