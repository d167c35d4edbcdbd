//! The agent and the controller as processes on this host.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
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
    fn start(cluster: &Cluster, name: &str, token: &str, command: &str, arguments: &[&str]) -> Result<Self> {
        let log = cluster.path(&format!("{name}-{:08x}.log", fastrand::u32(..)));
        let file = File::create(&log).with_context(|| format!("make {}", log.display()))?;
        let child = Command::new(env!("CARGO_BIN_EXE_mtu-agent"))
            .arg(command)
            .args(arguments)
            .env("KUBECONFIG", cluster.kubeconfig_of(name, token)?)
            .env("MTU_AGENT_LOG", "mtu_agent=debug")
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

/// An agent, and its configuration.
pub(crate) struct Agent {
    configuration: PathBuf,
    _process: Process,
}

impl Agent {
    /// Starts that of a node; its safe value is no larger than given.
    pub(crate) async fn start(cluster: &Cluster, node: &str, max_dind_mtu: u32) -> Result<Self> {
        let token = agent_token(cluster, node).await?;
        let configuration = cluster.path(&format!("{node}.toml"));
        configure(&configuration, max_dind_mtu)?;
        let directory = cluster.path(&format!("host-files-of-{node}"));
        let plain = "a temporary directory has a plain name";
        let (file, directory) = (configuration.to_str().context(plain)?, directory.to_str().context(plain)?);
        let arguments =
            ["--node-name", node, "--config", file, "--listen", "127.0.0.1:0", "--directory", directory];
        let process = Process::start(cluster, node, &token, "agent", &arguments)?;
        Ok(Self { configuration, _process: process })
    }

    /// Has its safe value be no larger than this.
    pub(crate) fn set_max_dind_mtu(&self, max_dind_mtu: u32) -> Result<()> {
        configure(&self.configuration, max_dind_mtu)
    }
}

/// At once: an agent that looks sees the whole of it.
fn configure(path: &Path, max_dind_mtu: u32) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, format!("max_dind_mtu = {max_dind_mtu}\n"))?;
    fs::rename(&new, path).with_context(|| format!("write {}", path.display()))
}

/// Starts a controller, which serves the webhook where the API server looks for it.
pub(crate) async fn controller(cluster: &Cluster) -> Result<Process> {
    let token = token(cluster, CONTROLLER, None).await?;
    let everywhere = cluster.addresses.len() > 1;
    let listen = if everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let listen = SocketAddr::from((listen, cluster.webhook_port)).to_string();
    let hosts: Vec<_> = cluster.addresses.iter().map(ToString::to_string).collect();
    let mut arguments = vec!["--listen", "127.0.0.1:0", "--webhook-listen", &listen];
    arguments.extend(hosts.iter().flat_map(|host| ["--webhook-host", host]));
    arguments.extend(["--identity", &cluster.unique, "--debounce", "1s"]);
    Process::start(cluster, "controller", &token, "controller", &arguments)
}
