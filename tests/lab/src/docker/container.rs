//! Containers of the lab's dockerds.

use std::{
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};

use super::{Level, client::Client, machine::Machine, process::nspids};

/// What a container is to be started with. See [`Container::on_network`].
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    network: String,
    name: Option<String>,
    arguments: Vec<String>,
    command: Vec<String>,
}

impl ContainerSpec {
    /// Names it; without, docker does.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Adds an argument of `docker run`.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// What it runs; without, it sleeps until it is removed.
    #[must_use]
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// The words after `docker run` and how.
    pub(super) fn run_words(&self) -> Vec<&str> {
        // A sleep that is process 1 ignores SIGTERM: a daemon that stops would wait for it.
        let mut words = vec!["--network", &self.network, "--stop-signal", "SIGKILL"];
        words.extend(super::dockerd::USERLAND);
        words.extend(self.name.iter().flat_map(|name| ["--name", name]));
        words.extend(self.arguments.iter().map(String::as_str));
        words.push(super::dockerd::IMAGE);
        words.extend(self.command.iter().map(String::as_str));
        words
    }
}

/// A running container. Dropped, it is removed.
///
/// It has the machine's `/usr`, so the machine's programs run in it.
#[derive(Debug)]
pub struct Container {
    client: Client,
    id: String,
    name: String,
    pid: u32,
    netns: OwnedFd,
    removed_on_drop: bool,
}

impl Container {
    /// A container that sleeps, on a network of its dockerd: `bridge` is the default one.
    pub fn on_network(network: &str) -> ContainerSpec {
        ContainerSpec {
            network: network.to_owned(),
            name: None,
            arguments: Vec::new(),
            command: vec!["sleep".to_owned(), "infinity".to_owned()],
        }
    }

    pub(super) fn start(client: Client, daemon: Option<u32>, spec: &ContainerSpec) -> Result<Self> {
        let id = client.run(&[&["run", "-d"], spec.run_words().as_slice()].concat())?;
        let mut container = Self::find(client, daemon, id.trim())?;
        container.removed_on_drop = true;
        Ok(container)
    }

    /// One that runs already, by name or id. `daemon` is the pid of the container that its dockerd runs in.
    pub(super) fn find(client: Client, daemon: Option<u32>, name: &str) -> Result<Self> {
        let said = client.run(&["inspect", "--format", "{{.Id}} {{.Name}} {{.State.Pid}}", name])?;
        let mut words = said.split_whitespace();
        let (Some(id), Some(name), Some(pid)) = (words.next(), words.next(), words.next()) else {
            anyhow::bail!("`docker inspect {name}` says {said:?}");
        };
        let pid = pid.parse().with_context(|| format!("parse the pid in {said:?}"))?;
        let pid = match daemon {
            None => pid,
            Some(daemon) => lab_pid(client.machine(), daemon, pid)?,
        };
        let netns = client.machine().open_netns(&format!("/proc/{pid}/ns/net"))?;
        Ok(Self {
            id: id.to_owned(),
            name: name.trim_start_matches('/').to_owned(),
            pid,
            netns,
            removed_on_drop: false,
            client,
        })
    }

    /// The full id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name, without docker's slash.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pid of its process 1, as processes in the lab see it (but not those in a container).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The level that it is at.
    pub fn level(&self) -> Level {
        self.client.level()
    }

    /// Runs a command inside of it, as `docker exec` does.
    pub fn exec(&self, words: &[&str]) -> Result<String> {
        self.client.run(&[&["exec", &self.id], words].concat())
    }

    pub(super) fn netns(&self) -> &OwnedFd {
        &self.netns
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.removed_on_drop {
            // It fails if the daemon was stopped, and then there is nothing to remove.
            drop(self.client.run(&["rm", "--force", "--volumes", &self.id]));
        }
    }
}

/// What the lab calls the process that is `pid` in the container whose process 1 is `daemon`.
fn lab_pid(machine: &Arc<Machine>, daemon: u32, pid: u32) -> Result<u32> {
    let proc = machine.path("/proc");
    let wanted = identity(&proc.join(format!("{daemon}/root/proc/{pid}/ns/pid")))?;
    for entry in fs::read_dir(&proc).context("list the processes of the lab")? {
        let Ok(candidate) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        let directory = proc.join(candidate.to_string());
        let Ok(status) = fs::read_to_string(directory.join("status")) else { continue };
        // Process 1 of the pid namespace in question; others of it have other numbers there.
        if nspids(&status).last() == Some(&1)
            && identity(&directory.join("ns/pid")).is_ok_and(|id| id == wanted)
        {
            return Ok(candidate);
        }
    }
    anyhow::bail!("no process of the lab is {pid} in the container of process {daemon}")
}

fn identity(namespace: &Path) -> Result<PathBuf> {
    fs::read_link(namespace).with_context(|| format!("read {}", namespace.display()))
}
