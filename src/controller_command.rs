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
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::cli::{Certificates, ControllerArgs};
use crate::{FINE, USAGE, terminal};

/// At the very end, for the Lease to be let go of, and for reviews that are under way to be answered.
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
    let ControllerArgs { node_selector, raise_after, debounce, drain, certificates, .. } = args;
    let certificates = match certificates {
        Certificates::SelfSigned => config::Certificates::SelfSigned,
        Certificates::CertManager => config::Certificates::CertManager,
        Certificates::Nobody => config::Certificates::Nobody,
    };
    Knobs {
        listen,
        webhook_listen,
        webhook_hosts,
        namespace,
        identity,
        pool_label,
        node_selector,
        raise_after,
        debounce,
        drain,
        certificates,
    }
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Works,
    /// Nothing is written any more; whoever is still sent here is answered.
    Leaves,
    /// Nobody new is answered.
    Ends,
}

async fn control(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let client = connect().await?;
    let (webhook_listen, drain) = (config.webhook_listen, config.drain);
    let (values, known) = watch::channel(Arc::default());
    let controller = Controller::bind(config, client, values).await.context("serve metrics and health")?;
    let metrics = WebhookMetrics::register(controller.metrics().registry());
    let webhook = match controller.key() {
        Some(key) => {
            let webhook = Webhook::bind(webhook_listen, known, key, metrics).await;
            Some(webhook.context("serve the webhook")?)
        }
        None => None,
    };

    let stage = watch::Sender::new(Stage::Works);
    let until = |awaited| {
        let mut stage = stage.subscribe();
        async move {
            let _closed_is_the_end_too = stage.wait_for(|stage| *stage >= awaited).await;
        }
    };
    // Nobody is sent here for what is not served.
    let drain = if webhook.is_some() { drain } else { Duration::ZERO };
    let certified = controller.certify();
    let serving = async {
        if let Some(webhook) = webhook {
            info!(listen = %webhook.address(), "webhook started");
            webhook.run(until(Stage::Leaves), until(Stage::Ends)).await;
        }
    };
    let mut work =
        pin!(async { tokio::join!(controller.run(until(Stage::Leaves), until(Stage::Ends)), serving) });
    let drain = tokio::select! {
        _ = &mut work => return Ok(()),
        () = certified => Duration::ZERO,
        _ = terminate.recv() => drain,
        // Somebody at a terminal, who wants it to end.
        _ = interrupt.recv() => Duration::ZERO,
    };
    let told_again = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    if !drain.is_zero() {
        info!(?drain, "told to stop; the webhook answers on, for whoever is still sent here");
    }
    stage.send_replace(Stage::Leaves);
    tokio::select! {
        _ = &mut work => return Ok(()),
        () = sleep(drain) => {}
        () = told_again => {}
    }
    stage.send_replace(Stage::Ends);
    if timeout(STOP_PATIENCE, work).await.is_err() {
        warn!("not all that was under way ended in time");
    }
    Ok(())
}
