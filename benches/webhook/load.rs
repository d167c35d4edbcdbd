//! The side that measures: API servers' connections, and the requests on them.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::client::Client;
use crate::now;
use crate::reviews;

const CONNECTIONS: u32 = 16;

/// The pod of a runner of GitHub's scale sets, with the managed fields and volumes that make it as large as such are.
pub(crate) fn review() -> Result<Bytes> {
    let mounts: Vec<_> =
        (0..8).map(|at| json!({"name": format!("v{at}"), "mountPath": format!("/v/{at}")})).collect();
    let volumes: Vec<_> = (0..8).map(|at| json!({"name": format!("v{at}"), "emptyDir": {}})).collect();
    let env: Vec<_> =
        (0..20).map(|at| json!({"name": format!("V{at}"), "value": "some value of an env"})).collect();
    let owned: Value = (0..100).map(|at| (format!("f:field-{at}"), json!({"f:name": {}, ".": {}}))).collect();
    let mut pod = reviews::pod(&json!([
        {"name": "runner", "image": "ghcr.io/actions/actions-runner:latest", "command": ["/home/runner/run.sh"],
         "env": env, "volumeMounts": mounts},
    ]));
    pod["spec"]["initContainers"] = json!([
        {"name": "init", "image": "ghcr.io/actions/actions-runner:latest", "command": ["cp"], "volumeMounts": mounts},
        {"name": "dind", "image": "docker:dind", "restartPolicy": "Always", "securityContext": {"privileged": true},
         "args": ["dockerd", "--host=unix:///var/run/docker.sock", "--group=$(DOCKER_GROUP_GID)"],
         "env": env, "volumeMounts": mounts},
    ]);
    pod["spec"]["volumes"] = json!(volumes);
    pod["metadata"]["managedFields"] =
        json!([{"manager": "controller", "operation": "Update", "fieldsV1": owned}]);
    Ok(serde_json::to_vec(&reviews::of_pod("a-uid", &pod))?.into())
}

/// As long as is read, and of what takes the most memory for its length: objects that hold an object each.
pub(crate) fn dense() -> Result<Bytes> {
    const MOST_BYTES: usize = 512 * 1024;
    const DEPTH: usize = 100;
    const FILL: &str = "fill";
    let mut pod = reviews::pod(&json!([{"name": "dind", "image": "docker:dind"}]));
    pod["metadata"]["managedFields"] = json!([{"manager": "m", "fieldsV1": {"f:x": FILL}}]);
    let review = serde_json::to_string(&reviews::of_pod("a-uid", &pod))?;
    let one = format!("{}0{}", r#"{"":"#.repeat(DEPTH), "}".repeat(DEPTH));
    let all = vec![one.as_str(); (MOST_BYTES - review.len()) / (one.len() + 1)].join(",");
    Ok(review.replace(&format!("{FILL:?}"), &format!("[{all}]")).into())
}

pub(crate) async fn connect(address: std::net::SocketAddr, key: &CertifiedKey) -> Result<Vec<Client>> {
    try_join_all((0..CONNECTIONS).map(|_| Client::connect(address, key))).await
}

/// How long each request took that came at this rate, whether the one before was answered or not.
pub(crate) async fn at_a_rate(
    clients: &mut [Client],
    review: &Bytes,
    per_second: u32,
    for_: Duration,
) -> Result<Vec<Duration>> {
    let pause = Duration::from_secs(1) / per_second * CONNECTIONS;
    let start = Instant::from_std(now()) + Duration::from_millis(10);
    let end = start + for_;
    let ones = (0..CONNECTIONS).zip(clients).map(async |(number, client)| {
        let mut times = Vec::new();
        let mut due = start + pause * number / CONNECTIONS;
        while due < end {
            let is_late = due < Instant::from_std(now());
            sleep_until(due).await;
            // A timer has steps of a millisecond. That is the client's affair, but not what it waited for an answer.
            let began = if is_late { due } else { Instant::from_std(now()) };
            send(client, review).await?;
            times.push(Instant::from_std(now()) - began);
            due += pause;
        }
        anyhow::Ok(times)
    });
    Ok(try_join_all(ones).await?.concat())
}

/// How many requests were answered in this time, each connection sending the next when it has the answer.
pub(crate) async fn at_most(clients: &mut [Client], review: &Bytes, for_: Duration) -> Result<u32> {
    let end = now() + for_;
    let ones = clients.iter_mut().map(async |client| {
        let mut answered = 0;
        while now() < end {
            send(client, review).await?;
            answered += 1;
        }
        anyhow::Ok(answered)
    });
    Ok(try_join_all(ones).await?.iter().sum())
}

async fn send(client: &mut Client, review: &Bytes) -> Result<()> {
    let (status, _) = client.send(Method::POST, "/mutate", review.clone()).await?;
    ensure!(status == StatusCode::OK, "{status}");
    Ok(())
}
