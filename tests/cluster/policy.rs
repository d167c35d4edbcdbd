//! The policy that holds agents to their own nodes.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use mtu_agent::publish::kubernetes::names::AGENT_MANAGER;
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use serde_json::json;

use crate::{
    cluster::{Cluster, until},
    install::apply,
    objects::{AGENT, agent_token, node, token},
};

const UNBOUND: &str = "this token is not bound to a pod on a node";
const OTHER_NODE: &str = "may write only the NodeMtu of its own node";
const NO_DELETION: &str = "an agent deletes no NodeMtu";

pub(crate) async fn holds_an_agent_to_its_own_node(cluster: Arc<Cluster>) -> Result<()> {
    let (own, other) = (node(&cluster, "own").await?, node(&cluster, "other").await?);
    let bound: Api<NodeMtu> =
        Api::all(cluster.client_of(&agent_token(&cluster, &own.name_any()).await?).await?);
    let unbound: Api<NodeMtu> = Api::all(cluster.client_of(&token(&cluster, AGENT, None).await?).await?);
    let administrator: Api<NodeMtu> = Api::all(cluster.client.clone());
    allow_deletion(&cluster).await?;
    until("the role of agents is in force", async || {
        Ok(write(&bound, &own, dry()).await.is_ok().then_some(()))
    })
    .await?;
    until("the policy is in force", async || {
        Ok(refusal(write(&bound, &other, dry()).await).filter(|why| why.contains(OTHER_NODE)))
    })
    .await?;

    write(&bound, &own, real()).await.context("make its own")?;
    write_status(&bound, &own).await.context("write the status of its own")?;
    is_refused(write(&bound, &other, real()).await, OTHER_NODE, "to make that of another node")?;
    write(&administrator, &other, real()).await.context("an administrator is held to nothing")?;
    is_refused(write(&bound, &other, dry()).await, OTHER_NODE, "to change that of another node")?;
    is_refused(write_status(&bound, &other).await, OTHER_NODE, "to write the status of another node's")?;
    is_refused(write(&unbound, &own, real()).await, UNBOUND, "to write without a claim")?;
    is_refused(write_status(&unbound, &own).await, UNBOUND, "to write a status without a claim")?;

    let dry = DeleteParams { dry_run: true, ..DeleteParams::default() };
    until("the role that allows deletion is in force", async || {
        Ok(refusal(bound.delete(&own.name_any(), &dry).await).filter(|why| why.contains(NO_DELETION)))
    })
    .await?;
    is_refused(
        bound.delete(&own.name_any(), &DeleteParams::default()).await,
        NO_DELETION,
        "to delete its own",
    )?;
    administrator.get(&own.name_any()).await.context("it is still there")?;
    Ok(())
}

/// Agents may not by their role, so the policy would never be asked.
async fn allow_deletion(cluster: &Cluster) -> Result<()> {
    let name = cluster.name("deletion");
    let group = "rbac.authorization.k8s.io";
    apply(
        cluster,
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": { "name": name },
            "rules": [{ "apiGroups": ["mtu-agent.dev"], "resources": ["nodemtus"], "verbs": ["delete"] }],
        }),
    )
    .await?;
    apply(
        cluster,
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": { "name": name },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": AGENT, "namespace": AGENT }],
        }),
    )
    .await
}

/// As agents write.
fn real() -> PatchParams {
    PatchParams::apply(AGENT_MANAGER).force()
}

fn dry() -> PatchParams {
    real().dry_run()
}

/// Applies a `NodeMtu` as the agent of this node does.
async fn write(api: &Api<NodeMtu>, node: &Node, params: PatchParams) -> kube::Result<NodeMtu> {
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": node.name_any(), "uid": node.uid() });
    let metadata = json!({ "name": node.name_any(), "ownerReferences": [owner] });
    let patch = json!({
        "apiVersion": NodeMtu::api_version(&()), "kind": NodeMtu::kind(&()), "metadata": metadata, "spec": {},
    });
    api.patch(&node.name_any(), &params, &Patch::Apply(patch)).await
}

/// Applies its status.
async fn write_status(api: &Api<NodeMtu>, node: &Node) -> kube::Result<NodeMtu> {
    let patch = json!({
        "apiVersion": NodeMtu::api_version(&()), "kind": NodeMtu::kind(&()), "metadata": { "name": node.name_any() },
        "status": { "dindMtu": 1400, "agentVersion": "test" },
    });
    api.patch_status(&node.name_any(), &real(), &Patch::Apply(patch)).await
}

/// Why a write is forbidden, if it is.
fn refusal<T>(written: kube::Result<T>) -> Option<String> {
    match written {
        Err(kube::Error::Api(status)) if status.code == 403 => Some(status.message),
        Ok(_) | Err(_) => None,
    }
}

fn is_refused<T>(written: kube::Result<T>, wanted: &str, what: &str) -> Result<()> {
    let refusal = refusal(written).with_context(|| format!("it is forbidden {what}"))?;
    ensure!(refusal.contains(wanted), "it is forbidden {what}, for another reason: {refusal}");
    Ok(())
}
