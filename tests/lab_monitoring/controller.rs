//! The page of a controller that knows two pools, on a lab's node: its server and its metrics without a cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use mtu_agent::domain::fleet::Pool;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::http::Server;
use mtu_agent::publish::http::controller::ControllerStatus;
use mtu_agent::publish::metrics::controller::{ConfigMapWrite, ControllerMetrics, EventTold, WatchKind};
use mtu_agent::webhook::WebhookMetrics;
use mtu_lab::docker::{NetnsLab, Place};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

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
        #[expect(clippy::disallowed_methods, reason = "no loop is watched here")]
        let status = ControllerStatus::new(Arc::new(metrics()?), Instant::now() + Duration::from_hours(1));
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = thread::spawn(move || {
            runtime.block_on(server.run_controller(Arc::new(status), async { drop(stopped.await) }));
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
    WebhookMetrics::register(metrics.registry());
    let mtu = |bytes| LinkMtu::new(bytes).map(Some);
    let cloud = Pool { mtu: mtu(1450)?, largest: mtu(1450)?, nodes: 3, reporting: 3, old: 0 };
    let metal = Pool { mtu: mtu(1500)?, largest: mtu(1500)?, nodes: 2, reporting: 2, old: 0 };
    metrics.observe_pools(&[("cloud".to_owned(), cloud), ("metal".to_owned(), metal)].into(), 0);
    metrics.observe_leader(true);
    metrics.observe_foreign(1);
    metrics.config_map_written(ConfigMapWrite::Applied);
    metrics.event_told(EventTold::Created);
    metrics.watch_failed(WatchKind::Nodes);
    let end = Some(Timestamp::MAX);
    metrics.observe_expiry(end, end);
    Ok(metrics)
}
