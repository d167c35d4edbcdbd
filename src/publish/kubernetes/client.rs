//! How the API server is reached: as kubectl does. One that accepts a request and never answers is like one that is
//! away.

use std::time::Duration;

use axum::body::Body;
use futures_util::{StreamExt as _, stream};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use kube::config::InferConfigError;
use kube::{Client, Config};
use tokio::time::timeout;
use tower::BoxError;

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

/// The same connections; but an answer must begin within `patience`, and each part of it follow as soon. A watch may
/// then last: kube ends one of which nothing comes when the API server should have.
#[must_use]
pub fn prompt(client: &Client, patience: Duration) -> Client {
    let inner = client.clone();
    let service = tower::service_fn(move |request: Request<kube::client::Body>| {
        let client = inner.clone();
        let is_watch = request.uri().query().is_some_and(|it| it.split('&').any(|it| it == "watch=true"));
        async move {
            let answer = timeout(patience, client.send(request)).await??.map(Body::new);
            Ok::<Response<Body>, BoxError>(if is_watch {
                answer
            } else {
                answer.map(|it| hastened(it, patience))
            })
        }
    });
    Client::new(service, client.default_namespace())
}

/// It fails when there is nothing more of it within `patience`.
fn hastened(body: Body, patience: Duration) -> Body {
    Body::from_stream(stream::try_unfold(body.into_data_stream(), move |mut parts| async move {
        let part = timeout(patience, parts.next()).await?.transpose()?;
        Ok::<_, BoxError>(part.map(|part| (part, parts)))
    }))
}
