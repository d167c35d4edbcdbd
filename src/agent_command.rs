//! `mtu-agent agent`.

use anyhow::Context;
use mtu_agent::agent::config::Knobs;
use mtu_agent::agent::{self, AgentError, Told};
use tokio::task::LocalSet;

use crate::cli::AgentArgs;
use crate::{FINE, USAGE, terminal};

/// Runs until it is told to stop.
pub(crate) fn run(args: AgentArgs) -> anyhow::Result<u8> {
    let AgentArgs { standalone, node_name, config, targets, max_dind_mtu, raise_after, .. } = args;
    let AgentArgs { probe_interval, resync_interval, listen, metrics_listen, directory, .. } = args;
    let AgentArgs { tune, all_docker, .. } = args;
    if !standalone && node_name.is_none() {
        terminal::complain(
            "give --node-name NAME, the Kubernetes node that this runs on, to publish to Kubernetes; or --standalone \
             to publish to this host only",
        );
        return Ok(USAGE);
    }
    let node_name = node_name.filter(|_| !standalone);
    let flags = Knobs {
        targets,
        max_dind_mtu,
        raise_after,
        probe_interval,
        resync_interval,
        listen,
        metrics_listen,
        directory,
        tune,
        all_docker,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let done = LocalSet::new().block_on(&runtime, agent::run(Told { flags, file: config, node_name }));
    // A thread that waits for a resolver is not waited for: that may take as long as the resolver's own time limit.
    runtime.shutdown_background();
    match done {
        Ok(()) => Ok(FINE),
        Err(refused @ AgentError::Config(_)) => {
            terminal::complain(&format!("{:#}", anyhow::Error::from(refused)));
            Ok(USAGE)
        }
        Err(error) => Err(error.into()),
    }
}
