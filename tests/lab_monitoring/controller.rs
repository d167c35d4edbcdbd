//! The page of a controller that knows two pools, on a lab's node: its server, its metrics and its webhook, which is
//! asked again and again, without a cluster.

#[path = "../webhook/client.rs"]
mod client;
#[path = "../webhook/reviews.rs"]
mod reviews;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use mtu_agent::domain::fleet::{Pool, Values};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::http::Server;
use mtu_agent::publish::http::controller::ControllerStatus;
use mtu_agent::publish::metrics::controller::{ConfigMapWrite, ControllerMetrics, EventTold, WatchKind};
use mtu_agent::webhook::{Webhook, WebhookMetrics};
use mtu_lab::docker::{NetnsLab, Place};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::{oneshot, watch};
use tokio::time::interval;

use client::Client;

/// Between two times that the webhook is asked.
const PACE: Duration = Duration::from_millis(250);

/// Served until it is dropped.
pub(crate) struct Page {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Page {
    pub(crate) fn serve(lab: &NetnsLab) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = lab.enter(Place::Node, || runtime.block_on(Server::bind(([127, 0, 0, 1], 0).into())))?;
        let server = server.context("bind on the node")?;
        let address = server.address();
        let metrics = metrics()?;
        let of_webhook = WebhookMetrics::register(metrics.registry());
        #[expect(clippy::disallowed_methods, reason = "no loop is watched here")]
        let status = ControllerStatus::new(Arc::new(metrics), Instant::now() + Duration::from_hours(1));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = server.run_controller(Arc::new(status), async { drop(stopped.await) }) => {}
                    ended = ask(of_webhook) => panic!("the webhook is asked no more: {ended:?}"),
                }
            });
        });
        Ok(Self { address, stop: Some(stop), serving: Some(serving) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(serving) = self.serving.take() {
            drop(serving.join());
        }
    }
}

fn metrics() -> Result<ControllerMetrics> {
    let metrics = ControllerMetrics::new();
    let mtu = |bytes| LinkMtu::new(bytes).map(Some);
    let cloud = Pool { mtu: mtu(1450)?, largest: mtu(1450)?, nodes: 3, reporting: 3, old: 0 };
    let metal = Pool { mtu: mtu(1500)?, largest: mtu(1500)?, nodes: 2, reporting: 2, old: 0 };
    metrics.observe_pools(&[("cloud".to_owned(), cloud), ("metal".to_owned(), metal)].into(), 0);
    metrics.observe_leader(true);
    metrics.observe_foreign(1);
    metrics.config_map_written(ConfigMapWrite::Applied);
    metrics.event_told(EventTold::Created);
    metrics.watch_failed(WatchKind::Nodes);
    let end = Some(Timestamp::now() + Duration::from_hours(24 * 60));
    metrics.observe_expiry(end, end);
    Ok(metrics)
}

/// Has a webhook answer what an API server asks while pods of all sorts come and go.
async fn ask(metrics: WebhookMetrics) -> Result<()> {
    let mtu = LinkMtu::new(1450)?;
    let values = Values {
        nodes: [("n1".to_owned(), mtu)].into(),
        pools: [("cloud".to_owned(), mtu)].into(),
        ..Values::default()
    };
    let key = client::new_key()?;
    let (_values, values) = watch::channel(Arc::new(values));
    let (_keys, keys) = watch::channel(Some(Arc::clone(&key)));
    let webhook = Webhook::bind(([127, 0, 0, 1], 0).into(), values, keys, metrics).await?;
    let address = webhook.address();
    let asking = async {
        let mut client = Client::connect(address, &key).await?;
        let mut pace = interval(PACE);
        for review in reviews().iter().cycle() {
            pace.tick().await;
            client.review(review).await?;
        }
        Ok(())
    };
    tokio::select! {
        () = webhook.run(std::future::pending()) => Ok(()),
        ended = asking => ended,
    }
}

fn reviews() -> [Value; 5] {
    let pod = |container: Value| reviews::of_pod("1", &reviews::pod(&json!([container])));
    [
        pod(json!({"name": "dind", "image": "docker:dind"})),
        reviews::of_binding("2", "n1"),
        pod(json!({"name": "dind", "image": "docker:dind", "args": ["--mtu=1400"]})),
        pod(json!({"name": "dind", "image": "docker:dind"})),
        pod(json!({"name": "web", "image": "nginx"})),
    ]
}
