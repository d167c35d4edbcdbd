//! The agent and the controller as processes on this host.

use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cluster::Cluster,
    objects::{CONTROLLER, agent_token, token},
};

/// A process; dropped, it is killed.
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    fn start(cluster: &Cluster, name: &str, token: &str, arguments: &[&str]) -> Result<Self> {
        let log = cluster.path(&format!("{name}-{:08x}.log", fastrand::u32(..)));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let child = Command::new(env!("CARGO_BIN_EXE_mtu-agent"))
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig_of(name, token)?)
            .env("MTU_AGENT_LOG", "debug")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// It is there, and does nothing: what is sent to it waits.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("send {signal:?} to {}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the agent of a node whose safe value is no larger than given.
pub(crate) async fn agent(cluster: &Cluster, node: &str, max_dind_mtu: u32) -> Result<Process> {
    let token = agent_token(cluster, node).await?;
    let directory = cluster.path(&format!("host-files-of-{node}"));
    let directory = directory.to_str().context("a temporary directory has a plain name")?;
    let most = max_dind_mtu.to_string();
    let arguments = [
        "agent",
        "--node-name",
        node,
        "--max-dind-mtu",
        &most,
        "--listen",
        "127.0.0.1:0",
        "--directory",
        directory,
    ];
    Process::start(cluster, node, &token, &arguments)
}

/// Starts a controller, which serves the webhook where the API server looks for it.
pub(crate) async fn controller(cluster: &Cluster) -> Result<Process> {
    let token = token(cluster, CONTROLLER, None).await?;
    let webhook = format!("127.0.0.1:{}", cluster.webhook_port);
    let arguments = [
        "controller",
        "--listen",
        "127.0.0.1:0",
        "--webhook-listen",
        &webhook,
        "--webhook-host",
        "127.0.0.1",
        "--identity",
        &cluster.unique,
        "--debounce",
        "1s",
    ];
    Process::start(cluster, "controller", &token, &arguments)
}
