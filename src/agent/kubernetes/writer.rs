//! The two requests by which a NodeMtu is written, each by server-side apply.
//!
//! They are sent without kube's own retries: those would go on with a value that is old by then.

use std::time::Duration;

use axum::http::Request as Message;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::owner::Owner;
use crate::publish::kubernetes::names::AGENT_MANAGER;
use crate::publish::kubernetes::node_mtu::{NodeMtu, NodeMtuStatus};
use crate::publish::kubernetes::outcome::PublishResult;

/// A request that has no answer by then has none.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer that is no Kubernetes status so much is told.
const TOLD_CHARACTERS: usize = 200;

/// A request that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// It could not be made.
    #[error("make the request to {request}")]
    Unmade { request: &'static str, source: kube::core::request::Error },
    /// It could not be sent, or the answer not be read.
    #[error("{request}")]
    Unsent { request: &'static str, source: kube::Error },
    /// Nobody answered.
    #[error("{request}: no answer within {PATIENCE:?}")]
    Unanswered { request: &'static str },
    /// The answer is no.
    #[error("{request}: the API server answered {status}: {message}")]
    Answered { request: &'static str, status: u16, message: String, retry_after: Option<Duration> },
}

impl WriteError {
    pub(super) fn result(&self) -> PublishResult {
        match self {
            Self::Unmade { .. } => PublishResult::Error,
            Self::Unsent { .. } | Self::Unanswered { .. } => PublishResult::Unreachable,
            Self::Answered { status, .. } => PublishResult::of_status(*status),
        }
    }

    /// When the server wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answered { retry_after, .. } => *retry_after,
            Self::Unmade { .. } | Self::Unsent { .. } | Self::Unanswered { .. } => None,
        }
    }

    /// Whether there is no such object.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Answered { status: 404, .. })
    }
}

/// Writes the NodeMtu of one node.
pub(super) struct Writer {
    client: Client,
    node_mtus: Request,
    owner: Owner,
}

impl Writer {
    pub(super) fn new(client: Client, owner: Owner) -> Self {
        let node_mtus = Request::new(Api::<NodeMtu>::all(client.clone()).resource_url());
        Self { client, node_mtus, owner }
    }

    /// Makes the object, or has it as it should be. It is named and owned by its node: what an apply does not repeat
    /// is taken away.
    pub(super) async fn apply_object(&mut self) -> Result<(), WriteError> {
        let mut object = self.object();
        object["spec"] = json!({});
        if let Some(owner) = self.owner.now() {
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        let request = "apply the NodeMtu";
        let made = self.node_mtus.patch(self.owner.node_name(), &params(), &Patch::Apply(object));
        self.send(request, made.map_err(|source| WriteError::Unmade { request, source })?).await
    }

    /// Has its status as it should be.
    pub(super) async fn apply_status(&self, status: &NodeMtuStatus) -> Result<(), WriteError> {
        let mut object = self.object();
        object["status"] = json!(status);
        let request = "apply the status of the NodeMtu";
        let patch = Patch::Apply(object);
        let made = self.node_mtus.patch_subresource("status", self.owner.node_name(), &params(), &patch);
        self.send(request, made.map_err(|source| WriteError::Unmade { request, source })?).await
    }

    fn object(&self) -> Value {
        let (api_version, kind) = (NodeMtu::api_version(&()), NodeMtu::kind(&()));
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": self.owner.node_name()}})
    }

    /// Sends it and reads the whole answer, so that the connection can be used again.
    async fn send(&self, request: &'static str, message: Message<Vec<u8>>) -> Result<(), WriteError> {
        let exchange = async {
            let answer = self.client.send(message.map(Body::from)).await?;
            let status = answer.status().as_u16();
            let retry_after =
                answer.headers().get("retry-after").and_then(|it| it.to_str().ok()?.parse().ok());
            Ok((status, retry_after, answer.into_body().collect_bytes().await?))
        };
        let Ok(answered) = timeout(PATIENCE, exchange).await else {
            return Err(WriteError::Unanswered { request });
        };
        let (status, retry_after, body) =
            answered.map_err(|source| WriteError::Unsent { request, source })?;
        if PublishResult::of_status(status) == PublishResult::Success {
            return Ok(());
        }
        let retry_after = retry_after.map(Duration::from_secs);
        Err(WriteError::Answered { request, status, message: message_of(&body), retry_after })
    }
}

fn params() -> PatchParams {
    PatchParams::apply(AGENT_MANAGER).force()
}

/// What a refusal says: a Kubernetes status, or what a proxy made up.
fn message_of(body: &[u8]) -> String {
    let status = serde_json::from_slice::<Status>(body).ok().filter(|status| !status.message.is_empty());
    let message = status.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |status| status.message);
    message.trim().chars().take(TOLD_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let status = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"no","reason":"Forbidden","code":403}"#;
        assert_eq!(message_of(status.as_bytes()), "no");
        assert_eq!(
            message_of(b"Too many requests, please try again later.\n"),
            "Too many requests, please try again later."
        );
        assert_eq!(message_of("ä".repeat(1000).as_bytes()).chars().count(), TOLD_CHARACTERS);
        assert_eq!(message_of(&[0xff]), "\u{fffd}");
    }
}
