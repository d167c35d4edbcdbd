//! The default overlay, the agent and the controller on a cluster: what nodes, namespaces and pods get to see of them.
//!
//! The ignored tests run on the cluster of `KUBECONFIG`, as its administrator; `.ci/run cluster` runs them. Its API
//! server must reach this host, since that calls the controller here: at 127.0.0.1, or at the address that this host
//! has towards it. A cloud-controller-manager would delete the nodes that they make. They make what `kubectl apply` would make of
//! the objects of `daemonset/base` that run no pods, and nodes that no machine stands for; all of it goes again. The
//! same tests run first on the API server of `mtu-lab`.

#[path = "cluster/cluster.rs"]
mod cluster;
#[path = "cluster/install.rs"]
mod install;
#[path = "cluster/objects.rs"]
mod objects;
#[path = "cluster/policy.rs"]
mod policy;
#[path = "cluster/process.rs"]
mod process;
#[path = "cluster/rehearsal.rs"]
mod rehearsal;
#[path = "cluster/values.rs"]
mod values;
#[path = "cluster/webhook_away.rs"]
mod webhook_away;

use anyhow::Result;

use cluster::{Cluster, on};

#[tokio::test]
async fn in_rehearsal_an_agent_writes_the_node_mtu_of_its_own_node_and_no_other() -> Result<()> {
    let server = rehearsal::server().await?;
    on(rehearsal::cluster(&server).await?, policy::holds_an_agent_to_its_own_node).await
}

#[tokio::test]
async fn in_rehearsal_pods_and_namespaces_get_the_values_of_nodes() -> Result<()> {
    let server = rehearsal::server().await?;
    on(rehearsal::cluster(&server).await?, values::reach_pods_and_namespaces).await
}

#[tokio::test]
async fn in_rehearsal_pods_are_made_and_bound_while_the_webhook_is_away() -> Result<()> {
    let server = rehearsal::server().await?;
    on(rehearsal::cluster(&server).await?, webhook_away::stops_no_pod).await
}

#[tokio::test]
#[ignore = "needs KUBECONFIG: a real cluster"]
async fn an_agent_writes_the_node_mtu_of_its_own_node_and_no_other() -> Result<()> {
    on(Cluster::of_kubeconfig().await?, policy::holds_an_agent_to_its_own_node).await
}

#[tokio::test]
#[ignore = "needs KUBECONFIG: a real cluster"]
async fn pods_and_namespaces_get_the_values_of_nodes() -> Result<()> {
    on(Cluster::of_kubeconfig().await?, values::reach_pods_and_namespaces).await
}

#[tokio::test]
#[ignore = "needs KUBECONFIG: a real cluster"]
async fn pods_are_made_and_bound_while_the_webhook_is_away() -> Result<()> {
    on(Cluster::of_kubeconfig().await?, webhook_away::stops_no_pod).await
}
