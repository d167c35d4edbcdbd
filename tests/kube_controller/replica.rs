//! A controller beside an API server, and what the cluster has in it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use kube::CustomResourceExt as _;
use mtu_agent::controller::Controller;
use mtu_agent::controller::config::{Certificates, Config, Knobs};
use mtu_agent::controller::lease::Timing;
use mtu_agent::domain::fleet::Values;
use mtu_agent::publish::kubernetes::names::{CONFIG_MAP, CONTROLLER_NAMESPACE, LEASE};
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use mtu_lab::agent::page;
use mtu_lab::api_server::{ApiServer, Recorded};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

/// Whoever waits so long on a busy machine has waited in vain.
const PATIENCE: Duration = Duration::from_secs(30);
/// So that a hand-over takes seconds.
const TIMING: Timing = Timing { duration_seconds: 3, grace_seconds: 2 };

/// Exactly what the controller needs, but for the webhook and its certificates.
pub(super) const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: mtu-agent-controller}
rules:
- {apiGroups: [mtu-agent.dev], resources: [nodemtus], verbs: [list, watch]}
- {apiGroups: [''], resources: [nodes, namespaces], verbs: [list, watch]}
- {apiGroups: [''], resources: [configmaps], resourceNames: [dind-mtu], verbs: [list, watch, create, patch, delete]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: mtu-agent-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: mtu-agent-controller}
subjects: [{kind: ServiceAccount, name: mtu-agent-controller, namespace: mtu-agent-controller}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mtu-agent-controller, namespace: mtu-agent-controller}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [mtu-agent-controller], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mtu-agent-controller, namespace: mtu-agent-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mtu-agent-controller}
subjects: [{kind: ServiceAccount, name: mtu-agent-controller, namespace: mtu-agent-controller}]
";

/// An API server with the definition of `NodeMtu`, and one node that carries 1450 in the pool `cloud`.
pub(super) async fn cluster() -> Result<ApiServer> {
    let server = ApiServer::start().await?;
    server.put(serde_json::to_value(NodeMtu::crd())?);
    node(&server, "node-1", Some("cloud"));
    report(&server, "node-1", 1450);
    Ok(server)
}

pub(super) fn node(server: &ApiServer, name: &str, pool: Option<&str>) {
    let labels = pool.map_or_else(|| json!({}), |pool| json!({"mtu-agent.dev/pool": pool}));
    server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}));
}

/// A new report of a value, and nothing else.
pub(super) fn report(server: &ApiServer, node: &str, dind_mtu: u32) {
    report_with(server, node, json!({"dindMtu": dind_mtu, "reportTime": jiff::Timestamp::now().to_string()}));
}

pub(super) fn report_with(server: &ApiServer, node: &str, status: Value) {
    let mut object = json!({
        "apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu", "metadata": {"name": node}, "spec": {},
    });
    object["status"] = status;
    server.put(object);
}

/// A namespace that wants the ConfigMap; of some pools only, if they are named.
pub(super) fn labelled(server: &ApiServer, name: &str, pools: Option<&str>) {
    let annotations = pools.map_or_else(|| json!({}), |pools| json!({"mtu-agent.dev/pools": pools}));
    namespace(server, name, json!({"mtu-agent.dev/configmap": "enabled"}), annotations);
}

pub(super) fn namespace(server: &ApiServer, name: &str, labels: Value, annotations: Value) {
    let mut metadata = json!({"name": name});
    (metadata["labels"], metadata["annotations"]) = (labels, annotations);
    server.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
}

/// What the ConfigMap of a namespace says, once it says this.
pub(super) async fn said(server: &ApiServer, namespace: &str, value: &str) -> Value {
    let says = |object: &Value| object["data"]["DIND_MTU"] == value;
    server.wait_for_object("ConfigMap", namespace, CONFIG_MAP, says).await
}

/// Whether a request would change a ConfigMap, other than the one that the controller keeps for itself.
pub(super) fn is_config_map_write(request: &Recorded) -> bool {
    let is_own = request.path.contains(&format!("/{CONTROLLER_NAMESPACE}/"));
    request.is_write() && request.path.ends_with("/configmaps/dind-mtu") && !is_own
}

pub(super) fn config_map_writes(server: &ApiServer) -> Vec<Recorded> {
    server.writes().into_iter().filter(is_config_map_write).collect()
}

/// Who holds the Lease.
pub(super) fn holder(server: &ApiServer) -> Option<String> {
    let lease = server.object("Lease", CONTROLLER_NAMESPACE, LEASE)?;
    lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
}

/// A controller that runs.
pub(super) struct Replica {
    pub(super) token: String,
    pub(super) address: SocketAddr,
    pub(super) values: watch::Receiver<Arc<Values>>,
    pub(super) leads: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Replica {
    /// As `identity`, with no more permissions than it needs.
    pub(super) async fn start(server: &ApiServer, identity: &str) -> Result<Self> {
        Self::start_with(server, identity, |_| {}).await
    }

    pub(super) async fn start_with(
        server: &ApiServer,
        identity: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        server.authorize(identity, CONTROLLER_NAMESPACE, "mtu-agent-controller", ROLES)?;
        let listen = Some(([127, 0, 0, 1], 0).into());
        let knobs = Knobs { listen, identity: Some(identity.to_owned()), ..Knobs::default() };
        let mut config = Config::try_from(knobs)?;
        config.debounce = Duration::from_millis(200);
        config.certificates = Certificates::Nobody;
        change(&mut config);
        let (sender, values) = watch::channel(Arc::default());
        let controller = Controller::bind(config, server.client_of(identity), sender).await?;
        let controller = controller.with_timing(TIMING);
        let (address, leads) = (controller.address(), controller.leads());
        let (stop, stopped) = oneshot::channel();
        let stopped = async { drop(stopped.await) }.shared();
        let ended = tokio::spawn(controller.run(stopped.clone(), stopped));
        Ok(Self { token: identity.to_owned(), address, values, leads, stop, ended })
    }

    /// Waits until it leads, or until it does not.
    pub(super) async fn until_leading(&mut self, leads: bool) -> Result<()> {
        let waited = timeout(PATIENCE, self.leads.wait_for(|is| *is == leads)).await;
        waited.with_context(|| format!("{} leads: {leads}", self.token))?.context("it runs")?;
        Ok(())
    }

    /// Waits until its values are as asked.
    pub(super) async fn until_values(
        &mut self,
        is_it: impl FnMut(&Arc<Values>) -> bool,
    ) -> Result<Arc<Values>> {
        let waited = timeout(PATIENCE, self.values.wait_for(is_it)).await;
        Ok(Arc::clone(&*waited.with_context(|| format!("values of {}", self.token))?.context("it runs")?))
    }

    pub(super) async fn page(&self, path: &'static str) -> Result<(bool, String)> {
        let address = self.address;
        spawn_blocking(move || page(address, path)).await?
    }

    pub(super) async fn metric(&self, sample: &str) -> Result<String> {
        let (_, metrics) = self.page("/metrics").await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.map(str::to_owned).with_context(|| format!("{sample} in\n{metrics}"))
    }

    /// Stops it, as SIGTERM does.
    pub(super) async fn stop(self) -> Result<()> {
        self.stop.send(()).ok().context("it runs")?;
        timeout(PATIENCE, self.ended).await.context("it ends")??;
        Ok(())
    }

    /// Writes of ConfigMaps that it sent.
    pub(super) fn writes(&self, server: &ApiServer) -> Vec<Recorded> {
        let mine = format!("Bearer {}", self.token);
        config_map_writes(server).into_iter().filter(|request| request.authorization == mine).collect()
    }
}

/// Verb, group, resource and name of all that was needed.
pub(super) fn used(server: &ApiServer, token: &str) -> BTreeSet<(String, String, String, Option<String>)> {
    let used = server.used_permissions(Some(token)).into_iter();
    used.map(|it| (it.verb, it.group, it.resource, it.name)).collect()
}
