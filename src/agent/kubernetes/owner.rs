//! The Node that owns the NodeMtu, by what the agent's own token says: it takes no permission to read nodes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::config::AuthInfo;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tracing::warn;

use crate::domain::error::with_sources;

/// Why no owner is known. The NodeMtu is then published without, and outlives its node.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoOwner {
    /// There is none.
    #[error("the agent has no token of its own to read its node's uid from")]
    NoToken,
    /// It cannot be read.
    #[error("read the token {path}")]
    Unreadable { path: String, source: std::io::Error },
    /// It is no JSON web token, or says nothing of a node (Kubernetes before 1.30).
    #[error("the agent's token names no node: it is not bound to a pod by Kubernetes 1.30 or later")]
    NoClaim,
    /// It is another node's.
    #[error("the agent's token is of the node {claimed}, and --node-name is another")]
    OtherNode { claimed: String },
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Deserialize)]
struct Kubernetes {
    node: Node,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    uid: String,
}

/// The owner of this node's NodeMtu, as the token of the moment has it: the kubelet renews that long before it ends, and
/// a Node that was deleted and came back has another uid.
pub(super) struct Owner {
    auth: AuthInfo,
    node_name: String,
    last: Option<OwnerReference>,
    is_unknown: bool,
}

impl Owner {
    pub(super) fn new(auth: AuthInfo, node_name: &str) -> Self {
        Self { auth, node_name: node_name.to_owned(), last: None, is_unknown: false }
    }

    pub(super) fn node_name(&self) -> &str {
        &self.node_name
    }

    /// Where it cannot be told, the last one; that is said once.
    pub(super) fn now(&mut self) -> Option<&OwnerReference> {
        match owner(&self.auth, &self.node_name) {
            Ok(owner) => {
                self.last = Some(owner);
                self.is_unknown = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_unknown, true) {
                    let error = with_sources(&error);
                    if self.last.is_some() {
                        warn!(error, "which Node owns the NodeMtu cannot be told; it stays as it was");
                    } else {
                        warn!(error, "the NodeMtu has no owner, and stays when its node goes");
                    }
                }
            }
        }
        self.last.as_ref()
    }
}

fn owner(auth: &AuthInfo, node_name: &str) -> Result<OwnerReference, NoOwner> {
    let token = match (&auth.token, &auth.token_file) {
        (Some(token), _) => token.expose_secret().to_owned(),
        (None, Some(path)) => {
            let unreadable = |source| NoOwner::Unreadable { path: path.clone(), source };
            std::fs::read_to_string(path).map_err(unreadable)?
        }
        (None, None) => return Err(NoOwner::NoToken),
    };
    let Node { name, uid } = claimed(&token).ok_or(NoOwner::NoClaim)?;
    if name != node_name {
        return Err(NoOwner::OtherNode { claimed: name });
    }
    Ok(OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name,
        uid,
        ..OwnerReference::default()
    })
}

/// What the second part of the token says (RFC 7519 §3). The API server checks the third part, not we.
fn claimed(token: &str) -> Option<Node> {
    let payload = URL_SAFE_NO_PAD.decode(token.trim().split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(claims.kubernetes.node).filter(|node| !node.uid.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: &str =
        r#"{"iss":"k","kubernetes.io":{"namespace":"mtu-agent","node":{"name":"node-1","uid":"u-1"}}}"#;

    fn token(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    fn auth(token: &str) -> AuthInfo {
        AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() }
    }

    #[test]
    fn it_is_the_node_that_the_token_is_bound_to() {
        let owner = owner(&auth(&token(BOUND)), "node-1").unwrap();
        let told = serde_json::to_value(owner).unwrap();
        let expected =
            serde_json::json!({"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "u-1"});
        assert_eq!(told, expected, "and nothing that blocks its deletion");
    }

    #[test]
    fn it_is_read_from_a_file_as_a_pod_has_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), token(BOUND) + "\n").unwrap();
        let path = Some(file.path().display().to_string());
        let auth = AuthInfo { token_file: path, ..AuthInfo::default() };
        assert_eq!(owner(&auth, "node-1").unwrap().uid, "u-1");
    }

    #[test]
    fn it_is_read_anew_each_time_and_the_last_one_stays_when_it_cannot_be() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = Some(file.path().display().to_string());
        let mut owner = Owner::new(AuthInfo { token_file: path, ..AuthInfo::default() }, "node-1");
        let mut uid = |says: &str| {
            std::fs::write(file.path(), says).unwrap();
            owner.now().map(|owner| owner.uid.clone())
        };
        assert_eq!(uid(""), None);
        assert_eq!(uid(&token(BOUND)).as_deref(), Some("u-1"));
        assert_eq!(uid(&token(&BOUND.replace("u-1", "u-2"))).as_deref(), Some("u-2"));
        assert_eq!(uid("").as_deref(), Some("u-2"));
    }

    #[test]
    fn without_a_claim_there_is_none() {
        for said in ["", "a.b", "e30.e30.e30", &token("{}"), &token(r#"{"kubernetes.io":{"pod":{}}}"#), "…"]
        {
            assert!(matches!(owner(&auth(said), "node-1"), Err(NoOwner::NoClaim)), "{said}");
        }
        assert!(matches!(owner(&AuthInfo::default(), "node-1"), Err(NoOwner::NoToken)));
        let gone = AuthInfo { token_file: Some("/nonexistent/token".into()), ..AuthInfo::default() };
        assert!(matches!(owner(&gone, "node-1"), Err(NoOwner::Unreadable { .. })));
    }

    #[test]
    fn another_nodes_token_owns_nothing() {
        let refused = owner(&auth(&token(BOUND)), "node-2");
        assert!(matches!(refused, Err(NoOwner::OtherNode { claimed }) if claimed == "node-1"));
    }
}
