//! `mtu-agent controller`.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mtu_agent::controller::Controller;
use mtu_agent::controller::config::{self, Config, Knobs};
use mtu_agent::publish::kubernetes::client::connect;
use mtu_agent::webhook::{Webhook, WebhookMetrics};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::cli::{Certificates, ControllerArgs};
use crate::{FINE, USAGE, terminal};

/// For the Lease to be let go of, and for reviews that are under way to be answered.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Runs until it is told to stop.
pub(crate) fn run(args: ControllerArgs) -> anyhow::Result<u8> {
    let config = match Config::try_from(knobs(args)) {
        Ok(config) => config,
        Err(refused) => {
            terminal::complain(&refused.to_string());
            return Ok(USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let done = runtime.block_on(control(config));
    // A thread that waits for a resolver is not waited for: that may take as long as the resolver's own time limit.
    runtime.shutdown_background();
    done.map(|()| FINE)
}

fn knobs(args: ControllerArgs) -> Knobs {
    let ControllerArgs { listen, webhook_listen, webhook_hosts, namespace, identity, pool_label, .. } = args;
    let ControllerArgs { raise_after, debounce, certificates, .. } = args;
    let certificates = match certificates {
        Certificates::SelfSigned => config::Certificates::SelfSigned,
        Certificates::CertManager => config::Certificates::CertManager,
    };
    Knobs {
        listen,
        webhook_listen,
        webhook_hosts,
        namespace,
        identity,
        pool_label,
        raise_after,
        debounce,
        certificates,
    }
}

async fn control(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let client = connect().await?;
    let webhook_listen = config.webhook_listen;
    let (values, known) = watch::channel(Arc::default());
    let controller = Controller::bind(config, client, values).await.context("serve metrics and health")?;
    let metrics = WebhookMetrics::register(controller.metrics().registry());
    let (keys, key) = watch::channel(None);
    let webhook = Webhook::bind(webhook_listen, known, key, metrics).await.context("serve the webhook")?;
    info!(listen = %webhook.address(), "webhook started");

    let stop = watch::Sender::new(false);
    let until_stopped = || {
        let mut stopped = stop.subscribe();
        async move {
            let _closed_is_stopped_too = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let certified = controller.certify(keys);
    let mut work =
        pin!(async { tokio::join!(controller.run(until_stopped()), webhook.run(until_stopped())) });
    tokio::select! {
        _ = &mut work => {}
        () = certified => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.send_replace(true);
    if timeout(STOP_PATIENCE, work).await.is_err() {
        warn!("not all that was under way ended in time");
    }
    Ok(())
}
