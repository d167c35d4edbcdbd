//! How the API server is reached: as kubectl does.

use hyper::header::{HeaderValue, USER_AGENT};
use kube::config::InferConfigError;
use kube::{Client, Config};

/// What every request calls itself.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("mtu-agent/", env!("CARGO_PKG_VERSION")));

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account is here.
    #[error(
        "find the API server: give a kubeconfig by KUBECONFIG, or run in a pod with a service account's token"
    )]
    Unknown(#[source] InferConfigError),
    /// What is there cannot be used.
    #[error("use the kubeconfig or the service account to reach the API server")]
    Unusable(#[source] kube::Error),
}

/// Finds the API server by `KUBECONFIG`, `~/.kube/config`, or the pod's service account. Nothing is sent yet.
pub async fn connect() -> Result<Client, ConnectError> {
    let config = Config::infer().await.map_err(ConnectError::Unknown)?;
    Client::try_from(named(config)).map_err(ConnectError::Unusable)
}

/// Has every request say what it comes from.
#[must_use]
pub fn named(mut config: Config) -> Config {
    config.headers.push((USER_AGENT, AGENT));
    config
}
