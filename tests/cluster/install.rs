//! What `kubectl apply -k daemonset/overlays/default` would install, but for what runs pods; and its end.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::core::v1::{Namespace, Node, Pod},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
    core::GroupVersionKind,
    runtime::{conditions::is_crd_established, wait::Condition as _},
};
use mtu_agent::publish::kubernetes::names::{CONFIG_MAP_LABEL, INJECT_LABEL};
use serde_json::{Value, json};

use crate::cluster::{Cluster, wait_for, wait_for_absence};

/// In the order in which they are made; they go in the other.
const KINDS: [&str; 10] = [
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
];
/// Label of all that a test installs: what has it may be taken away.
pub(crate) const MARK: &str = "mtu-agent.dev/cluster-test";

/// Refuses a cluster on which `mtu-agent` is installed, and takes away what a test has left that was killed.
pub(crate) async fn check_vacancy(cluster: &Cluster) -> Result<()> {
    for object in documents(cluster)? {
        let found = api(cluster, &object).get_opt(name(&object)).await.context("ask the cluster")?;
        let is_ours = found.is_none_or(|found| found.labels().contains_key(MARK));
        let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
        ensure!(is_ours, "this cluster has {what}: run the tests on one without mtu-agent");
    }
    remove(cluster).await.context("take away what an earlier test has left")?;
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    for label in [INJECT_LABEL, CONFIG_MAP_LABEL] {
        let opted_in = namespaces.list(&ListParams::default().labels(label)).await?.items;
        let names: Vec<_> = opted_in.iter().map(ResourceExt::name_any).collect();
        ensure!(
            names.is_empty(),
            "these namespaces have the label {label}: the test would act on them: {names:?}"
        );
    }
    Ok(())
}

/// Makes all, and waits until the definition of `NodeMtu` is in force.
pub(crate) async fn install(cluster: &Cluster) -> Result<()> {
    for object in documents(cluster)? {
        apply(cluster, object).await?;
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let is_established =
        |definition: &CustomResourceDefinition| is_crd_established().matches_object(Some(definition));
    wait_for(&definitions, "nodemtus.mtu-agent.dev", "the definition in force", is_established).await?;
    Ok(())
}

/// Applies one object, marked as the test's.
pub(crate) async fn apply(cluster: &Cluster, mut object: Value) -> Result<()> {
    object["metadata"]["labels"][MARK] = "yes".into();
    let params = PatchParams::apply("mtu-agent-cluster-test").force();
    let applied = api(cluster, &object).patch(name(&object), &params, &Patch::Apply(&object)).await;
    applied.with_context(|| format!("apply {object}"))?;
    Ok(())
}

/// Takes away all that is marked, and waits until it is gone.
pub(crate) async fn remove(cluster: &Cluster) -> Result<()> {
    let marked = ListParams::default().labels(MARK);
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    // No kubelet ends these pods, and a namespace waits for them.
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for namespace in namespaces.list(&marked).await? {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &namespace.name_any());
        for pod in pods.list(&ListParams::default()).await? {
            gone(pods.delete(&pod.name_any(), &at_once).await)?;
        }
    }
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    for node in nodes.list(&marked).await? {
        gone(nodes.delete(&node.name_any(), &DeleteParams::default()).await)?;
    }
    for kind in KINDS.into_iter().rev() {
        let resource = resource(kind);
        let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource);
        let objects =
            api.list(&marked).await.with_context(|| format!("list what is marked of {kind}"))?.items;
        for object in &objects {
            let one = of(cluster, &resource, object.namespace().as_deref());
            let this = Preconditions { uid: object.uid(), ..Preconditions::default() };
            let params = DeleteParams { preconditions: Some(this), ..DeleteParams::default() };
            gone(one.delete(&object.name_any(), &params).await)?;
        }
        for object in &objects {
            wait_for_absence(&of(cluster, &resource, object.namespace().as_deref()), &object.name_any())
                .await?;
        }
    }
    Ok(())
}

/// What somebody else has deleted meanwhile is gone as well.
fn gone<T>(deleted: kube::Result<T>) -> Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted.map(drop).context("delete"),
    }
}

/// The objects of `daemonset/base` of the kinds above, with a webhook that is a process on this host.
fn documents(cluster: &Cluster) -> Result<Vec<Value>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset/base");
    let entries = fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let yaml = fs::read_to_string(&file)?;
        let parsed: Vec<Value> =
            serde_saphyr::from_multiple(&yaml).with_context(|| format!("read {} as YAML", file.display()))?;
        objects.extend(parsed);
    }
    let rank = |object: &Value| KINDS.iter().position(|kind| object["kind"] == *kind);
    objects.retain(|object| rank(object).is_some());
    objects.sort_by_key(rank);
    for kind in KINDS {
        ensure!(objects.iter().any(|object| object["kind"] == kind), "daemonset/base has a {kind}");
    }
    for webhook in
        objects.iter_mut().filter_map(|object| object.get_mut("webhooks")?.as_array_mut()).flatten()
    {
        webhook["clientConfig"] = json!({ "url": webhook_url(cluster, cluster.addresses[0]) });
    }
    Ok(objects)
}

/// Where the controller on this host serves the webhook, to whom this host has that address.
pub(crate) fn webhook_url(cluster: &Cluster, address: IpAddr) -> String {
    format!("https://{}/mutate", SocketAddr::new(address, cluster.webhook_port))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().expect("what is in a manifest has a name")
}

fn api(cluster: &Cluster, object: &Value) -> Api<DynamicObject> {
    let kind = object["kind"].as_str().expect("what is in a manifest has a kind");
    of(cluster, &resource(kind), object["metadata"]["namespace"].as_str())
}

fn of(cluster: &Cluster, resource: &ApiResource, namespace: Option<&str>) -> Api<DynamicObject> {
    let client = cluster.client.clone();
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    }
}

fn resource(kind: &str) -> ApiResource {
    let group = match kind {
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" => "rbac.authorization.k8s.io",
        "MutatingWebhookConfiguration" | "ValidatingAdmissionPolicy" | "ValidatingAdmissionPolicyBinding" => {
            "admissionregistration.k8s.io"
        }
        _ => "",
    };
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}
