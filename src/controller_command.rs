//! `mtu-agent controller`.

use anyhow::Context;
use mtu_agent::controller::Controller;
use mtu_agent::controller::config::{self, Config, Knobs};
use mtu_agent::publish::kubernetes::client::connect;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Certificates, ControllerArgs};
use crate::{FINE, USAGE, terminal};

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
    let values = watch::Sender::default();
    let controller = Controller::bind(config, client, values).await.context("serve HTTP")?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    controller.run(stop).await;
    Ok(())
}
