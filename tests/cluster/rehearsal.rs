//! The API server of `mtu-lab` in the place of a real one.

use anyhow::Result;
use kube::config::Kubeconfig;
use mtu_lab::api_server::{Admission, ApiServer};

use crate::cluster::Cluster;

/// A server that has nothing of `mtu-agent` yet.
pub(crate) async fn server() -> Result<ApiServer> {
    let server = ApiServer::start().await?;
    for namespace in ["mtu-agent", "mtu-agent-controller"] {
        server.delete("Namespace", "", namespace);
    }
    server.admit(own_node);
    Ok(server)
}

pub(crate) async fn cluster(server: &ApiServer) -> Result<Cluster> {
    Cluster::new(Kubeconfig::read_from(server.kubeconfig(None)?)?).await
}

/// Stands for the policy, which only a real server evaluates.
fn own_node(asked: &Admission) -> Result<(), String> {
    let is_agents = asked.user == "system:serviceaccount:mtu-agent:mtu-agent";
    if !is_agents || !asked.permission.resource.starts_with("nodemtus") {
        return Ok(());
    }
    let Some(node) = &asked.node else {
        return Err("this token is not bound to a pod on a node".to_owned());
    };
    if asked.permission.name.as_ref() != Some(node) {
        return Err(format!("an agent on {node} may write only the NodeMtu of its own node"));
    }
    if asked.permission.verb == "delete" {
        return Err("an agent deletes no NodeMtu".to_owned());
    }
    Ok(())
}
