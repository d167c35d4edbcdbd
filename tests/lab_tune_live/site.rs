//! A host with dockerds, and an agent on it that may tune them.

use anyhow::Result;
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::api_server::{ApiServer, Fault};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, POD_UID, Place, Ptb, Release};
use serde_json::json;
use tokio::runtime;

use crate::state::{MTU_AGENT, State};

const NODE: &str = "node-1";

/// A lab, and who opts in there.
pub(crate) struct Site {
    pub(crate) lab: DockerLab,
    /// What fits everywhere.
    pub(crate) mtu: u16,
    /// Of the dockerds, outermost first.
    pub(crate) levels: Vec<Level>,
    /// Of a node with pods.
    server: Option<ApiServer>,
}

impl Site {
    /// A pod of 1450 with a dockerd, and another one in a container of that.
    pub(crate) fn pod(release: Release) -> Result<Self> {
        let dockerd = Dockerd::new().release(release);
        Self::pod_with(dockerd.clone(), dockerd)
    }

    pub(crate) fn pod_with(level2: Dockerd, level3: Dockerd) -> Result<Self> {
        let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true).pod_uid();
        let lab = builder.level2(level2).level3(level3).build()?;
        let starting = runtime::Builder::new_current_thread().enable_all().build()?;
        let server = lab.enter(Place::Node, || starting.block_on(ApiServer::start()))??;
        let site = Self { lab, mtu: 1450, levels: vec![Level::Two, Level::Three], server: Some(server) };
        site.annotate(Some("links"));
        Ok(site)
    }

    /// A plain docker host under an uplink of 1460, with dockerds in containers of dockerds.
    pub(crate) fn machine(release: Release) -> Result<Self> {
        let dockerd = Dockerd::new().release(release);
        let builder = DockerLab::vm().ptb(Ptb::Blocked).ipv6(true).level1(dockerd.clone());
        let lab = builder.level2(dockerd.clone()).level3(dockerd).build()?;
        Ok(Self { lab, mtu: 1460, levels: vec![Level::One, Level::Two, Level::Three], server: None })
    }

    /// The pod asks for this, or for nothing.
    pub(crate) fn annotate(&self, tune: Option<&str>) {
        let annotations = tune.map(|tune| json!({"mtu-agent.dev/tune": tune}));
        self.server.as_ref().expect("it has a pod").put(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "ci", "name": "runner-0", "uid": POD_UID, "annotations": annotations},
            "spec": {"nodeName": NODE, "containers": [{"name": "dind", "image": "docker"}]},
            "status": {"phase": "Running"},
        }));
    }

    /// Nobody may list namespaces.
    pub(crate) fn forbid_namespaces(&self) {
        let server = self.server.as_ref().expect("it has a pod");
        server.fail(usize::MAX, Fault::status(403), |it| it.path == "/api/v1/namespaces");
    }

    /// An agent of the node that may do this, where somebody opted in.
    pub(crate) fn spec(&self, tune: &str) -> Result<AgentSpec> {
        let spec = AgentSpec::new(MTU_AGENT);
        let spec = match &self.server {
            Some(server) => spec.on_node(NODE, server.kubeconfig(None)?),
            None => spec.args(&["--all-docker"]),
        };
        Ok(spec.args(&["--tune", tune]))
    }

    /// The same, when it answers in every namespace that a dockerd runs in.
    pub(crate) fn start(&self, tune: &str) -> Result<Agent<'_>> {
        let agent = self.spec(tune)?.start(&self.lab)?;
        self.until_answering(&agent)?;
        Ok(agent)
    }

    /// Waits until it answers in every namespace that a dockerd runs in, and what was there is right.
    pub(crate) fn until_answering(&self, agent: &Agent<'_>) -> Result<()> {
        let namespaces = f64::from(u8::try_from(self.levels.len())?);
        agent.until(&format!("answers in {namespaces} namespaces"), |agent| {
            let metrics = agent.metrics()?;
            let answering = metrics.value("mtu_agent_tuned_namespaces").is_some_and(|it| it >= namespaces);
            Ok((answering && metrics.mismatched() == Some(0)).then_some(()))
        })
    }

    /// Where the dockerd of a level is.
    pub(crate) fn with_daemon<T>(&self, level: Level, f: impl FnOnce(Place<'_>) -> Result<T>) -> Result<T> {
        match (level, &self.server) {
            (Level::One, _) => f(Place::Node),
            (Level::Two, Some(_)) => f(Place::Pod),
            (Level::Two | Level::Three, _) => f(Place::from(&self.lab.dockerd_container(level)?)),
        }
    }

    /// A container at each level.
    pub(crate) fn containers(&self) -> Result<Vec<Container>> {
        let start = |level: &Level| self.lab.start_container(*level, &Container::on_network("bridge"));
        self.levels.iter().map(start).collect()
    }

    /// The links of docker, wherever they are, with another MTU than this.
    pub(crate) fn others_than(&self, mtu: u16, containers: &[&Container]) -> Result<Vec<String>> {
        let state = State::of(&self.lab, containers)?;
        let is_of_docker = |place: &str, link: &str| {
            let is_bridge = link == "docker0" || link.starts_with("br-");
            is_bridge || link.starts_with("veth") || (link == "eth0" && place != "node" && place != "pod")
        };
        let others = state
            .links
            .iter()
            .filter(|((place, link), has)| is_of_docker(place, link) && **has != u64::from(mtu));
        Ok(others.map(|((place, link), has)| format!("{link} of {place}: {has}")).collect())
    }

    /// Whether what is tuned is a pod, or else the host.
    pub(crate) fn is_pod(&self) -> bool {
        self.server.is_some()
    }
}
