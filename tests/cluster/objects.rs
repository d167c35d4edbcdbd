//! Nodes that no machine stands for, namespaces, pods that no scheduler looks at, and tokens.

use anyhow::{Context as _, Result};
use hyper::Request;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, ServiceAccount};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use mtu_agent::publish::kubernetes::names::{CONFIG_MAP_LABEL, ENABLED, INJECT_LABEL, POOL_LABEL, POOLS};
use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, wait_for},
    install::{MARK, apply},
};

/// Namespace and service account of agents.
pub(crate) const AGENT: &str = "mtu-agent";
/// Namespace and service account of the controller.
pub(crate) const CONTROLLER: &str = "mtu-agent-controller";
/// The annotation that tells a pod its value.
pub(crate) const DIND_MTU: &str = mtu_agent::publish::kubernetes::names::DIND_MTU;

/// Makes a node in the pool of the test.
pub(crate) async fn node(cluster: &Cluster, name: &str) -> Result<Node> {
    let name = cluster.name(name);
    apply(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": { "name": name, "labels": { POOL_LABEL: cluster.name("pool") } },
            // Nothing but this test puts a pod here.
            "spec": { "unschedulable": true },
        }),
    )
    .await?;
    Ok(Api::all(cluster.client.clone()).get(&name).await?)
}

/// Makes a namespace that is opted in to everything, for runners of the pool of the test.
pub(crate) async fn runner_namespace(cluster: &Cluster) -> Result<String> {
    let labels = json!({ INJECT_LABEL: ENABLED, CONFIG_MAP_LABEL: ENABLED });
    namespace(cluster, "runners", &labels, &json!({ POOLS: cluster.name("pool") })).await
}

/// Makes a namespace, and waits until pods are admitted to it.
pub(crate) async fn namespace(
    cluster: &Cluster,
    name: &str,
    labels: &Value,
    annotations: &Value,
) -> Result<String> {
    let name = cluster.name(name);
    let mut labels = labels.clone();
    // Where clusters are strict by default; no kubelet ever starts these pods.
    labels["pod-security.kubernetes.io/enforce"] = "privileged".into();
    let metadata = json!({ "name": name, "labels": labels, "annotations": annotations });
    apply(cluster, json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })).await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), &name);
    wait_for(&accounts, "default", "the service account that pods have", |_| true).await?;
    Ok(name)
}

/// Takes the ConfigMap's label off a namespace.
pub(crate) async fn opt_out_of_config_map(cluster: &Cluster, namespace: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "metadata": { "labels": { CONFIG_MAP_LABEL: null } } }));
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    namespaces.patch(namespace, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A runner pod with a plain `docker:dind`.
pub(crate) fn runner(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "schedulerName": "nobody.mtu-agent.dev",
            "automountServiceAccountToken": false,
            "restartPolicy": "Never",
            "containers": [
                { "name": "runner", "image": "docker:27-cli" },
                { "name": "dind", "image": "docker:27-dind" },
            ],
        },
    })
}

/// A pod that is on a node from its beginning.
pub(crate) fn on_node(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeName"] = node.into();
    pod
}

pub(crate) async fn create(cluster: &Cluster, namespace: &str, pod: Value) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let pod: Pod = serde_json::from_value(pod)?;
    pods.create(&PostParams::default(), &pod)
        .await
        .with_context(|| format!("make the pod {}", pod.name_any()))
}

/// What would become of a pod.
pub(crate) async fn dry_run(cluster: &Cluster, namespace: &str, pod: Value) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    Ok(pods.create(&params, &serde_json::from_value(pod)?).await?)
}

/// Puts a pod on a node as a scheduler does, and returns it as it is then.
pub(crate) async fn bind(cluster: &Cluster, namespace: &str, pod: &str, node: &str) -> Result<Pod> {
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod, "namespace": namespace },
        "target": { "apiVersion": "v1", "kind": "Node", "name": node },
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/binding");
    let bound = post(&cluster.client, &path, &binding).await;
    bound.with_context(|| format!("bind {pod} to {node}"))?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let pod = pods.get(pod).await?;
    anyhow::ensure!(
        pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node),
        "it is bound"
    );
    Ok(pod)
}

/// What a pod is told.
pub(crate) fn told(pod: &Pod) -> Option<&str> {
    pod.annotations().get(DIND_MTU).map(String::as_str)
}

/// Makes a token of a service account that has the name of its namespace; bound to a pod, if one is given.
pub(crate) async fn token(cluster: &Cluster, account: &str, pod: Option<&Pod>) -> Result<String> {
    let bound =
        pod.map(|pod| json!({ "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid() }));
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600, "boundObjectRef": bound },
    });
    let path = format!("/api/v1/namespaces/{account}/serviceaccounts/{account}/token");
    let made =
        post(&cluster.client, &path, &request).await.with_context(|| format!("make a token of {account}"))?;
    made["status"]["token"].as_str().map(str::to_owned).context("a token")
}

/// The token that the agent of a node has there: it is bound to the agent's pod.
pub(crate) async fn agent_token(cluster: &Cluster, node: &str) -> Result<String> {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": node, "labels": { MARK: "yes" } },
        "spec": {
            "nodeName": node,
            "serviceAccountName": AGENT,
            "automountServiceAccountToken": false,
            "containers": [{ "name": "agent", "image": "mtu-agent:test" }],
        },
    });
    let pod = create(cluster, AGENT, pod).await?;
    token(cluster, AGENT, Some(&pod)).await
}

async fn post(client: &Client, path: &str, body: &Value) -> Result<Value> {
    let request = Request::post(path).header("content-type", "application/json");
    Ok(client.request(request.body(serde_json::to_vec(body)?)?).await?)
}
