//! The webhook as an API server sees it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use hyper::{Method, StatusCode};
use mtu_agent::domain::fleet::Values;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::webhook::{Webhook, WebhookMetrics};
use prometheus::{Registry, TextEncoder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::sign::CertifiedKey;

#[path = "webhook/client.rs"]
mod client;
#[path = "webhook/reviews.rs"]
mod reviews;
#[path = "webhook/runners.rs"]
mod runners;

use client::Client;

/// A webhook that runs, and all that it is given.
struct Running {
    address: std::net::SocketAddr,
    values: watch::Sender<Arc<Values>>,
    keys: watch::Sender<Option<Arc<CertifiedKey>>>,
    key: Arc<CertifiedKey>,
    registry: Registry,
    leave: oneshot::Sender<()>,
    shutdown: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Running {
    async fn start() -> Result<Self> {
        let key = client::new_key()?;
        let (values, told) = watch::channel(Arc::new(of_pool(1450)?));
        let (keys, latest) = watch::channel(Some(Arc::clone(&key)));
        let registry = Registry::new();
        let metrics = WebhookMetrics::register(&registry);
        let webhook = Webhook::bind(([127, 0, 0, 1], 0).into(), told, latest, metrics).await?;
        let address = webhook.address();
        let (leave, leaving) = oneshot::channel();
        let (shutdown, its_end) = oneshot::channel();
        let ended = tokio::spawn(webhook.run(async { drop(leaving.await) }, async { drop(its_end.await) }));
        Ok(Self { address, values, keys, key, registry, leave, shutdown, ended })
    }

    async fn client(&self) -> Result<Client> {
        Client::connect(self.address, &self.key).await
    }

    fn metrics(&self) -> Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

fn of_pool(mtu: u32) -> Result<Values> {
    Ok(Values {
        nodes: [("n1".to_owned(), LinkMtu::new(1400)?)].into(),
        pools: [("p".to_owned(), LinkMtu::new(mtu)?)].into(),
        ..Values::default()
    })
}

fn dind() -> Value {
    reviews::pod(&json!([{"name": "dind", "image": "docker:dind"}]))
}

/// What the patch of a response says, as text.
fn patch(response: &Value) -> Result<String> {
    let bytes: Vec<u8> = serde_json::from_value(response["patch"].clone())?;
    Ok(String::from_utf8(bytes)?)
}

#[tokio::test]
async fn one_connection_carries_many_reviews_of_pods_and_bindings() -> Result<()> {
    let webhook = Running::start().await?;
    let mut client = webhook.client().await?;
    let made = client.review(&reviews::of_pod("1", &dind())).await?;
    assert_eq!((&made["uid"], &made["allowed"]), (&json!("1"), &json!(true)));
    assert_eq!(made["patchType"], "JSONPatch");
    assert!(patch(&made)?.contains(r#""mtu-agent.dev/dind-mtu":"1450""#));
    let bound = client.review(&reviews::of_binding("2", "n1")).await?;
    assert_eq!(
        patch(&bound)?,
        r#"[{"op":"add","path":"/metadata/annotations","value":{"mtu-agent.dev/bound-dind-mtu":"1400","mtu-agent.dev/dind-mtu":"1400"}}]"#
    );
    let elsewhere = client.review(&reviews::of_binding("3", "n2")).await?;
    assert_eq!(elsewhere, json!({"uid": "3", "allowed": true, "status": {}}));

    let metrics = webhook.metrics()?;
    for line in [
        r#"mtu_agent_webhook_requests_total{resource="pods",result="injected"} 1"#,
        r#"mtu_agent_webhook_requests_total{resource="bindings",result="annotated"} 1"#,
        r#"mtu_agent_webhook_requests_total{resource="bindings",result="fallback"} 1"#,
        r#"mtu_agent_injections_total{outcome="told",shape="plain"} 1"#,
        "mtu_agent_webhook_request_duration_seconds_count 3",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line}\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn reviews_are_answered_with_the_values_of_the_moment() -> Result<()> {
    let webhook = Running::start().await?;
    let mut client = webhook.client().await?;
    for (values, expected) in [
        (of_pool(1450)?, r#""mtu-agent.dev/dind-mtu":"1450""#),
        (of_pool(1360)?, r#""mtu-agent.dev/dind-mtu":"1360""#),
        (Values::default(), r#""mtu-agent.dev/dind-mtu":"1280""#),
    ] {
        webhook.values.send_replace(Arc::new(values));
        let response = client.review(&reviews::of_pod("u", &dind())).await?;
        assert!(patch(&response)?.contains(expected), "{response}");
    }
    Ok(())
}

#[tokio::test]
async fn many_clients_at_once_get_each_its_own_answer() -> Result<()> {
    let webhook = Running::start().await?;
    let one = async |number: usize| {
        let mut client = webhook.client().await?;
        for round in 0..5 {
            let uid = format!("{number}-{round}");
            let response = client.review(&reviews::of_pod(&uid, &dind())).await?;
            anyhow::ensure!(response["uid"] == uid && response["allowed"] == true, "{response}");
        }
        anyhow::Ok(())
    };
    try_join_all((0..50).map(one)).await?;
    let counted = r#"mtu_agent_webhook_requests_total{resource="pods",result="injected"} 250"#;
    assert!(webhook.metrics()?.contains(counted));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_gets_the_same_answer_and_is_no_injection() -> Result<()> {
    let webhook = Running::start().await?;
    let mut client = webhook.client().await?;
    let mut review = reviews::of_pod("u", &dind());
    review["request"]["dryRun"] = true.into();
    let dry = client.review(&review).await?;
    let counted =
        |times: u8| format!("mtu_agent_injections_total{{outcome=\"told\",shape=\"plain\"}} {times}\n");
    assert!(webhook.metrics()?.contains(&counted(0)));
    review["request"]["dryRun"] = false.into();
    assert_eq!(client.review(&review).await?, dry);
    assert!(webhook.metrics()?.contains(&counted(1)));
    Ok(())
}

#[tokio::test]
async fn whatever_is_no_review_is_refused_and_the_connection_goes_on() -> Result<()> {
    let webhook = Running::start().await?;
    let mut client = webhook.client().await?;
    for (method, path, expected) in [
        (Method::POST, "/", StatusCode::NOT_FOUND),
        (Method::POST, "/mutate/x", StatusCode::NOT_FOUND),
        (Method::GET, "/mutate", StatusCode::NOT_FOUND),
        (Method::GET, "/metrics", StatusCode::NOT_FOUND),
        (Method::POST, "/mutate", StatusCode::BAD_REQUEST),
    ] {
        let (status, _) = client.send(method.clone(), path, "{\"password\": 1}".into()).await?;
        assert_eq!(status, expected, "{method} {path}");
    }
    assert_eq!(client.review(&reviews::of_pod("u", &dind())).await?["allowed"], true);
    assert!(webhook.metrics()?.contains(r#"{resource="other",result="malformed"} 1"#));
    Ok(())
}

#[tokio::test]
async fn a_review_of_half_a_mebibyte_is_answered_and_a_larger_body_is_not_read() -> Result<()> {
    let webhook = Running::start().await?;
    let mut large = dind();
    large["metadata"]["annotations"] = json!({"large": "x".repeat(511 * 1024)});
    let response = webhook.client().await?.review(&reviews::of_pod("u", &large)).await?;
    assert!(patch(&response)?.contains("1450"));
    large["metadata"]["annotations"]["large"] = "x".repeat(512 * 1024).into();
    let body = serde_json::to_vec(&reviews::of_pod("u", &large))?;
    let mut client = webhook.client().await?;
    // The server does not wait for what it will not read: the client may see the answer, or a connection that ends.
    if let Ok((status, _)) = client.send(Method::POST, "/mutate", body.into()).await {
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert!(webhook.metrics()?.contains(r#"{resource="other",result="malformed"} 1"#));
    assert_eq!(webhook.client().await?.review(&reviews::of_pod("u", &dind())).await?["allowed"], true);
    Ok(())
}

#[tokio::test]
async fn a_body_without_a_length_ends_at_the_limit() -> Result<()> {
    let webhook = Running::start().await?;
    let mut stream = client::connect(webhook.address, &webhook.key).await?;
    stream.write_all(b"POST /mutate HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 0x10_0000], b"\r\n"].concat();
    // Until the server has enough and closes.
    while stream.write_all(&chunk).await.is_ok() {}
    assert!(webhook.metrics()?.contains(r#"{resource="other",result="malformed"} 1"#));
    Ok(())
}

#[tokio::test]
async fn a_client_that_stops_in_a_request_is_let_go_and_the_others_are_served() -> Result<()> {
    let webhook = Running::start().await?;
    for sent in ["", "POST /mut", "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"] {
        let mut slow = client::connect(webhook.address, &webhook.key).await?;
        slow.write_all(sent.as_bytes()).await?;
        slow.flush().await?;
        assert_eq!(webhook.client().await?.review(&reviews::of_pod("u", &dind())).await?["allowed"], true);
        tokio::time::pause();
        let mut rest = Vec::new();
        // It ends, one way or another; the test would not.
        drop(slow.read_to_end(&mut rest).await);
        tokio::time::resume();
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"), "{sent:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_is_kept_for_longer_than_an_api_server_keeps_it() -> Result<()> {
    const OF_THE_API_SERVER: Duration = Duration::from_secs(90);
    let webhook = Running::start().await?;
    let mut client = webhook.client().await?;
    for _ in 0..3 {
        client.review(&reviews::of_pod("u", &dind())).await?;
        tokio::time::pause();
        tokio::time::advance(OF_THE_API_SERVER).await;
        tokio::time::resume();
    }
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_served_at_once_and_open_connections_go_on() -> Result<()> {
    let webhook = Running::start().await?;
    let mut before = webhook.client().await?;
    before.review(&reviews::of_pod("u", &dind())).await?;

    webhook.keys.send_replace(None);
    assert!(webhook.client().await.is_err(), "there is nothing to serve with");
    let next = client::new_key()?;
    webhook.keys.send_replace(Some(Arc::clone(&next)));
    assert!(webhook.client().await.is_err(), "the old one is not served any more");
    let mut after = Client::connect(webhook.address, &next).await?;
    after.review(&reviews::of_pod("u", &dind())).await?;
    before.review(&reviews::of_pod("u", &dind())).await?;
    Ok(())
}

#[tokio::test]
async fn while_it_leaves_it_answers_everybody_and_each_connection_for_the_last_time() -> Result<()> {
    let webhook = Running::start().await?;
    let mut before = webhook.client().await?;
    before.review(&reviews::of_pod("u", &dind())).await?;
    webhook.leave.send(()).expect("it runs");
    // Once it is known there, an answer ends its connection.
    while before.review(&reviews::of_pod("u", &dind())).await.is_ok() {}
    for _ in 0..3 {
        let mut client = Client::connect(webhook.address, &webhook.key).await?;
        assert_eq!(client.review(&reviews::of_pod("u", &dind())).await?["allowed"], true);
        assert!(client.review(&reviews::of_pod("u", &dind())).await.is_err(), "the next one asks elsewhere");
    }
    webhook.shutdown.send(()).expect("it runs");
    webhook.ended.await?;
    assert!(Client::connect(webhook.address, &webhook.key).await.is_err());
    Ok(())
}

#[tokio::test]
async fn at_its_end_it_answers_what_has_begun_and_closes_what_is_idle() -> Result<()> {
    let webhook = Running::start().await?;
    let mut idle = webhook.client().await?;
    idle.review(&reviews::of_pod("u", &dind())).await?;
    let review = serde_json::to_string(&reviews::of_pod("late", &dind()))?;
    let (first, rest) = review.split_at(10);
    let mut begun = client::connect(webhook.address, &webhook.key).await?;
    let head = format!("POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{first}", review.len());
    begun.write_all(head.as_bytes()).await?;
    // Another answer shows that the server had its turn at what was sent before.
    webhook.client().await?.review(&reviews::of_pod("u", &dind())).await?;

    webhook.shutdown.send(()).expect("it runs");
    begun.write_all(rest.as_bytes()).await?;
    let mut answer = String::new();
    drop(begun.read_to_string(&mut answer).await);
    assert!(answer.contains("200 OK") && answer.contains(r#""uid":"late""#), "{answer}");
    webhook.ended.await?;
    assert!(idle.review(&reviews::of_pod("u", &dind())).await.is_err());
    Ok(())
}
