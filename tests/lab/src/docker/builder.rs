//! What a lab is made of, before it is made.

use std::{collections::BTreeMap, sync::Mutex};

use anyhow::{Context as _, Result};

use super::{
    DockerLab, Dockerd, Level, NetnsLab, Place, Ptb, download, http::HttpServer, needs, pod::Pod, release,
    topology::Topology,
};

/// A lab that is to be built.
#[derive(Clone, Debug)]
pub struct Builder {
    ptb: Ptb,
    uplink_mtu: u16,
    pod_mtu: Option<u16>,
    ipv6: bool,
    pod_uid: bool,
    dockerds: BTreeMap<Level, Dockerd>,
}

impl Builder {
    pub(super) fn pod() -> Self {
        Self {
            ptb: Ptb::Allowed,
            uplink_mtu: 1500,
            pod_mtu: Some(1450),
            ipv6: false,
            pod_uid: false,
            dockerds: BTreeMap::from([(Level::Two, Dockerd::new())]),
        }
    }

    pub(super) fn vm() -> Self {
        let dockerds = BTreeMap::from([(Level::One, Dockerd::new())]);
        Self { uplink_mtu: 1460, pod_mtu: None, dockerds, ..Self::pod() }
    }

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

    /// Has the pod known by [`POD_UID`](super::POD_UID), as a kubelet does; without, it is a namespace with a name.
    #[must_use]
    pub fn pod_uid(mut self) -> Self {
        self.pod_uid = true;
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
        let pause = (self.pod_mtu.is_some() && self.pod_uid).then(|| Pod::start(&netns)).transpose()?;
        let listening = netns.enter(Place::Server, || HttpServer::listen(download::PORT, self.ipv6))?;
        let http = HttpServer::serve(listening.context("listen at the server")?).context("serve HTTP")?;
        let lab = DockerLab {
            _http: http,
            daemons: Mutex::default(),
            ipv6: self.ipv6,
            networks: 1.into(),
            pod: self.pod_mtu.is_some(),
            pause,
            netns,
        };
        lab.set_ptb(self.ptb)?;
        lab.check_in(Place::Node, &["sh", "-c", include_str!("image.sh")]).context("make the image")?;
        release::prepare(&lab).context("make the programs of dockerds ready")?;
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
