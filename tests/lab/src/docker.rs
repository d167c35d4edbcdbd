//! The seed problem, real: server, node, pod, and dockerds at level 2 and 3.
//!
//! ```text
//! server ── 1500 ── node eth0 ── 1450 ── pod eth0 │ docker0 1500 ── eth0 │ docker0 1500 ── eth0
//! ```
//!
//! [`DockerLab::builder`] makes that; [`DockerLab::vm`] a virtual machine with a dockerd on it:
//!
//! ```text
//! server ── 1500 ── router ── 1460 ── node eth0 │ docker0 1500 ── eth0
//! ```
//!
//! and [`NetnsLab`] only the namespaces, to build other links in. Each lab is a pid, mount and network namespace
//! whose process 1 ends when the test does, however that dies. The kernel then ends everything in it, and all
//! that it wrote was on a tmpfs of its own. A process outside of it removes its control groups.
//!
//! ```no_run
//! use mtu_lab::docker::{Container, DockerLab, Dockerd, Download, Level, Ptb};
//!
//! # fn main() -> anyhow::Result<()> {
//! let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
//! let inner = lab.start_container(Level::Three, &Container::on_network("bridge"))?;
//! assert_eq!(lab.download(&inner)?, Download::Hung);
//! # Ok(())
//! # }
//! ```

mod builder;
mod client;
mod container;
mod dockerd;
mod download;
mod error;
mod first_act;
mod http;
mod link_events;
mod machine;
pub(crate) mod needs;
mod netns_lab;
mod pod;
mod process;
mod release;
mod topology;

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use anyhow::{Context as _, Result};

pub use builder::Builder;
pub use container::{Container, ContainerSpec};
pub use dockerd::{Dockerd, Level};
pub use download::{Download, Family};
pub use error::LabError;
pub use first_act::{FirstAct, Sent};
pub use http::FILE_BYTES;
pub use link_events::{Happened, LinkEvent, LinkEvents};
pub use netns_lab::{NetnsLab, Place};
pub use process::{Exit, Process};
pub use release::{Iptables, Release};
pub use rustix::process::Signal;
pub use topology::{HOST_END, NODE, NODE6, POD, POD_UID, POD6, Ptb, SERVER, SERVER6, UPLINK};

use client::Client;
use dockerd::{Daemon, Host};
use http::HttpServer;
use pod::Pod;

/// A node with real dockerds, and a server to download from. All that a [`NetnsLab`] does, it does too.
#[derive(Debug)]
pub struct DockerLab {
    // Dropped first: a socket that waits for an acknowledgement would keep the server's network namespace.
    _http: HttpServer,
    daemons: Mutex<BTreeMap<Level, Daemon>>,
    ipv6: bool,
    /// How many networks with IPv6 were made, and one more: those of 0 are the daemons' own.
    networks: AtomicU16,
    pod: bool,
    /// Of a pod that is known by its uid.
    pause: Option<Pod>,
    netns: NetnsLab,
}

impl DockerLab {
    /// A pod of 1450 under an uplink of 1500, and a dockerd without configuration in it; no IPv6.
    pub fn builder() -> Builder {
        Builder::pod()
    }

    /// A virtual machine with an uplink of 1460 behind a router, and a dockerd without configuration on it.
    pub fn vm() -> Builder {
        Builder::vm()
    }

    /// Drops, or lets through, the "packet too big" of the hops before a narrow link, from now on.
    pub fn set_ptb(&self, ptb: Ptb) -> Result<()> {
        topology::set_ptb(&self.netns, Place::Node, ptb)?;
        if self.pod { Ok(()) } else { topology::set_ptb(&self.netns, Place::Router, ptb) }
    }

    /// Starts the dockerd of a level, and returns when it is ready. Its images are those it had before.
    pub fn start_dockerd(&self, level: Level, dockerd: &Dockerd) -> Result<()> {
        let mut daemons = self.daemons();
        anyhow::ensure!(!daemons.contains_key(&level), "dockerd of level {level} runs already");
        let host = match (level.outward(), self.pod) {
            (None, true) => anyhow::bail!("a lab with a pod has no dockerd of level {level}"),
            (None, false) => Host::Node,
            (Some(Level::One), true) if self.pause.is_some() => Host::PodsSidecar,
            (Some(Level::One), true) => Host::Sidecar(Place::Pod),
            (Some(outward), _) => Host::Container(outward),
        };
        let outer = level.outward().and_then(|outward| container_pid(&daemons, outward));
        let daemon = Daemon::start(&self.netns, level, &host, outer, dockerd, self.ipv6)?;
        daemons.insert(level, daemon);
        Ok(())
    }

    /// Stops the dockerd of a level, and first those inside of it.
    pub fn stop_dockerd(&self, level: Level) -> Result<()> {
        let mut daemons = self.daemons();
        anyhow::ensure!(daemons.contains_key(&level), "no dockerd of level {level} runs");
        for (level, daemon) in daemons.split_off(&level).into_iter().rev() {
            daemon.stop(&self.netns, level)?;
        }
        Ok(())
    }

    /// What the dockerd of a level has written to its log.
    pub fn dockerd_log(&self, level: Level) -> Result<String> {
        dockerd::log(&self.netns, level)
    }

    /// The pid of the dockerd of a level, as processes in the lab see it (but not those in a container).
    pub fn dockerd_pid(&self, level: Level) -> Result<u32> {
        let daemons = self.daemons();
        daemons.get(&level).with_context(|| format!("no dockerd of level {level} runs"))?.pid()
    }

    /// The container of the level outward that the dockerd of this level runs in.
    pub fn dockerd_container(&self, level: Level) -> Result<Container> {
        let outward = level.outward().context("a dockerd of level 1 runs on the node")?;
        let daemons = self.daemons();
        let daemon = daemons.get(&level).with_context(|| format!("no dockerd of level {level} runs"))?;
        let container =
            daemon.container().with_context(|| format!("dockerd of level {level} is a sidecar"))?;
        Container::find(self.client(outward), container_pid(&daemons, outward), container.id())
    }

    /// Runs `docker` with these words as a client of the dockerd of a level, and returns what it says.
    pub fn docker(&self, level: Level, words: &[&str]) -> Result<String> {
        self.client(level).run(words)
    }

    /// Starts a container, and returns when it runs.
    pub fn start_container(&self, level: Level, spec: &ContainerSpec) -> Result<Container> {
        let daemon = container_pid(&self.daemons(), level);
        Container::start(self.client(level), daemon, spec)
    }

    /// Starts a container that nobody removes, and returns when it runs.
    pub fn start_detached(&self, level: Level, spec: &ContainerSpec) -> Result<()> {
        self.client(level).run(&[&["run", "-d"], spec.run_words().as_slice()].concat()).map(drop)
    }

    /// Starts a container that sends at once, and tells what came of it: its packets of `fits` bytes are to pass.
    pub fn first_act(
        &self,
        level: Level,
        spec: ContainerSpec,
        family: Family,
        fits: u16,
    ) -> Result<FirstAct> {
        first_act::run(&self.client(level), spec, family, fits)
    }

    /// Makes a bridge network that users define, with this MTU or docker's.
    pub fn create_network(&self, level: Level, name: &str, mtu: Option<u16>) -> Result<()> {
        let mtu = mtu.map(|mtu| format!("--opt=com.docker.network.driver.mtu={mtu}"));
        let mut words = vec!["network", "create"];
        words.extend(mtu.as_deref());
        // Docker 20.10 allocates no IPv6 subnet by itself, and two networks must not have the same.
        let subnet = self.ipv6.then(|| self.unused_subnet(level));
        if let Some(subnet) = &subnet {
            words.extend(["--ipv6", "--subnet", subnet]);
        }
        words.push(name);
        self.docker(level, &words).map(drop)
    }

    /// Runs `docker` as [`Self::docker`] does, with this stdin: `build -` reads a Dockerfile there.
    pub fn docker_with_input(&self, level: Level, words: &[&str], input: &str) -> Result<String> {
        self.client(level).run_with_input(words, input)
    }

    /// Downloads the server's file over IPv4, from a new process in `place`.
    pub fn download<'a>(&self, place: impl Into<Place<'a>>) -> Result<Download> {
        self.download_over(Family::V4, place)
    }

    /// Downloads the server's file from a new process in `place`.
    pub fn download_over<'a>(&self, family: Family, place: impl Into<Place<'a>>) -> Result<Download> {
        download::download(&self.netns, place.into(), family)
    }

    /// Downloads the server's file over IPv4 in a `docker build`, with these arguments (`--network=…`).
    pub fn download_in_build(&self, level: Level, arguments: &[&str]) -> Result<Download> {
        download::download_in_build(&self.client(level), arguments)
    }

    /// Where the server's file of [`FILE_BYTES`] is.
    pub fn url(&self, family: Family) -> String {
        download::url(family)
    }

    fn unused_subnet(&self, level: Level) -> String {
        format!("fd00:{level}:{:x}::/64", self.networks.fetch_add(1, Ordering::Relaxed))
    }

    fn client(&self, level: Level) -> Client {
        Client::new(self.netns.machine(), level)
    }

    fn daemons(&self) -> MutexGuard<'_, BTreeMap<Level, Daemon>> {
        self.daemons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for DockerLab {
    type Target = NetnsLab;

    fn deref(&self) -> &NetnsLab {
        &self.netns
    }
}

/// The pid of the container that the dockerd of a level runs in.
fn container_pid(daemons: &BTreeMap<Level, Daemon>, level: Level) -> Option<u32> {
    daemons.get(&level).and_then(Daemon::container).map(Container::pid)
}
