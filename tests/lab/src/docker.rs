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

mod container;
mod dockerd;
mod download;
mod error;
mod http;
mod machine;
mod needs;
mod netns_lab;
mod process;
mod topology;

use std::{
    collections::BTreeMap,
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};

pub use container::{Container, ContainerSpec};
pub use dockerd::{Dockerd, Level};
pub use download::{Download, Family};
pub use error::LabError;
pub use http::FILE_BYTES;
pub use netns_lab::{NetnsLab, Place};
pub use process::{Exit, Process};
pub use rustix::process::Signal;
pub use topology::{HOST_END, NODE, NODE6, POD, POD6, Ptb, SERVER, SERVER6, UPLINK};

use dockerd::{Client, Daemon, Host};
use http::HttpServer;
use topology::Topology;

/// A lab that is to be built.
#[derive(Clone, Debug)]
pub struct Builder {
    ptb: Ptb,
    uplink_mtu: u16,
    pod_mtu: Option<u16>,
    ipv6: bool,
    dockerds: BTreeMap<Level, Dockerd>,
}

impl Builder {
    /// What becomes of the "packet too big" that the hop before the narrow link owes to the server.
    #[must_use]
    pub fn ptb(mut self, ptb: Ptb) -> Self {
        self.ptb = ptb;
        self
    }

    /// The MTU of the node's uplink.
    #[must_use]
    pub fn uplink_mtu(mut self, mtu: u16) -> Self {
        self.uplink_mtu = mtu;
        self
    }

    /// The MTU of both ends of the pod's veth. A virtual machine has no pod, and this has no effect.
    #[must_use]
    pub fn pod_mtu(mut self, mtu: u16) -> Self {
        self.pod_mtu = self.pod_mtu.map(|_| mtu);
        self
    }

    /// Whether there is IPv6 beside IPv4, at all levels.
    #[must_use]
    pub fn ipv6(mut self, ipv6: bool) -> Self {
        self.ipv6 = ipv6;
        self
    }

    /// The dockerd of a virtual machine.
    #[must_use]
    pub fn level1(self, dockerd: impl Into<Option<Dockerd>>) -> Self {
        self.dockerd(Level::One, dockerd.into())
    }

    /// The dockerd of the pod, or the one in a container of a virtual machine.
    #[must_use]
    pub fn level2(self, dockerd: impl Into<Option<Dockerd>>) -> Self {
        self.dockerd(Level::Two, dockerd.into())
    }

    /// The dockerd in a container of level 2.
    #[must_use]
    pub fn level3(self, dockerd: impl Into<Option<Dockerd>>) -> Self {
        self.dockerd(Level::Three, dockerd.into())
    }

    /// Builds it, and returns when all its dockerds are ready.
    pub fn build(self) -> Result<DockerLab> {
        needs::check(needs::DOCKER)?;
        let netns = NetnsLab::new()?;
        let topology = Topology { lab: &netns, ipv6: self.ipv6 };
        if let Some(mtu) = self.pod_mtu {
            topology.server_and_node(self.uplink_mtu).context("build the server and the node")?;
            topology.pod(mtu).context("build the pod")?;
        } else {
            topology.server_router_and_node(self.uplink_mtu).context("build the virtual machine")?;
        }
        let listening = netns.enter(Place::Server, || HttpServer::listen(download::PORT, self.ipv6))?;
        let http = HttpServer::serve(listening.context("listen at the server")?).context("serve HTTP")?;
        let lab = DockerLab {
            _http: http,
            daemons: Mutex::default(),
            ipv6: self.ipv6,
            pod: self.pod_mtu.is_some(),
            netns,
        };
        lab.set_ptb(self.ptb)?;
        lab.check_in(Place::Node, &["sh", "-c", include_str!("docker/image.sh")])
            .context("make the image")?;
        for (level, dockerd) in &self.dockerds {
            lab.start_dockerd(*level, dockerd)?;
        }
        Ok(lab)
    }

    fn dockerd(mut self, level: Level, dockerd: Option<Dockerd>) -> Self {
        match dockerd {
            Some(dockerd) => self.dockerds.insert(level, dockerd),
            None => self.dockerds.remove(&level),
        };
        self
    }
}

/// A node with real dockerds, and a server to download from. All that a [`NetnsLab`] does, it does too.
#[derive(Debug)]
pub struct DockerLab {
    // Dropped first: a socket that waits for an acknowledgement would keep the server's network namespace.
    _http: HttpServer,
    daemons: Mutex<BTreeMap<Level, Daemon>>,
    ipv6: bool,
    pod: bool,
    netns: NetnsLab,
}

impl DockerLab {
    /// A pod of 1450 under an uplink of 1500, and a dockerd without configuration in it; no IPv6.
    pub fn builder() -> Builder {
        Builder {
            ptb: Ptb::Allowed,
            uplink_mtu: 1500,
            pod_mtu: Some(1450),
            ipv6: false,
            dockerds: BTreeMap::from([(Level::Two, Dockerd::new())]),
        }
    }

    /// A virtual machine with an uplink of 1460 behind a router, and a dockerd without configuration on it.
    pub fn vm() -> Builder {
        Builder {
            ptb: Ptb::Allowed,
            uplink_mtu: 1460,
            pod_mtu: None,
            ipv6: false,
            dockerds: BTreeMap::from([(Level::One, Dockerd::new())]),
        }
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
            (Some(Level::One), true) => Host::Sidecar(Place::Pod),
            (Some(outward), _) => Host::Container(outward),
        };
        let outer = level.outward().and_then(|outward| daemons.get(&outward)).and_then(Daemon::container);
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

    /// The container of the level outward that the dockerd of this level runs in.
    pub fn dockerd_container(&self, level: Level) -> Result<Container> {
        let outward = level.outward().context("a dockerd of level 1 runs on the node")?;
        let daemons = self.daemons();
        let daemon = daemons.get(&level).with_context(|| format!("no dockerd of level {level} runs"))?;
        let container =
            daemon.container().with_context(|| format!("dockerd of level {level} is a sidecar"))?;
        let outer = daemons.get(&outward).and_then(Daemon::container);
        Container::find(self.client(outward), outer, container.id())
    }

    /// Runs `docker` with these words as a client of the dockerd of a level, and returns what it says.
    pub fn docker(&self, level: Level, words: &[&str]) -> Result<String> {
        self.client(level).run(words)
    }

    /// Starts a container, and returns when it runs.
    pub fn start_container(&self, level: Level, spec: &ContainerSpec) -> Result<Container> {
        let daemons = self.daemons();
        let daemon = daemons.get(&level).and_then(Daemon::container);
        Container::start(self.client(level), daemon, spec)
    }

    /// Makes a bridge network that users define, with this MTU or docker's.
    pub fn create_network(&self, level: Level, name: &str, mtu: Option<u16>) -> Result<()> {
        let mtu = mtu.map(|mtu| format!("--opt=com.docker.network.driver.mtu={mtu}"));
        let mut words = vec!["network", "create"];
        words.extend(mtu.as_deref());
        // Docker 20.10 allocates no IPv6 subnet by itself, and two networks must not have the same.
        let subnet = if self.ipv6 { Some(self.unused_subnet(level)?) } else { None };
        if let Some(subnet) = &subnet {
            words.extend(["--ipv6", "--subnet", subnet]);
        }
        words.push(name);
        self.docker(level, &words).map(drop)
    }

    /// Downloads the server's file over IPv4, from a new process in `place`.
    pub fn download<'a>(&self, place: impl Into<Place<'a>>) -> Result<Download> {
        self.download_over(Family::V4, place)
    }

    /// Downloads the server's file from a new process in `place`.
    pub fn download_over<'a>(&self, family: Family, place: impl Into<Place<'a>>) -> Result<Download> {
        download::download(&self.netns, place.into(), family)
    }

    /// Where the server's file of [`FILE_BYTES`] is.
    pub fn url(&self, family: Family) -> String {
        download::url(family)
    }

    fn unused_subnet(&self, level: Level) -> Result<String> {
        let networks = self.docker(level, &["network", "ls", "--quiet"])?;
        Ok(format!("fd00:{level}:{}::/64", networks.lines().count()))
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
