//! An API server that accepts a request and never answers is like one that is away.

use std::time::Duration;

use kube::Client;
use tokio::time::timeout;
use tower::BoxError;

/// The same connections; but an answer must begin within `patience`. A watch may then last.
pub(super) fn prompt(client: &Client, patience: Duration, namespace: &str) -> Client {
    let client = client.clone();
    let service = tower::service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, BoxError>(timeout(patience, client.send(request)).await??) }
    });
    Client::new(service, namespace)
}
