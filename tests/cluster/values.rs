//! From what an agent finds to what a pod and a namespace are told.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::StreamExt as _;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{ConfigMap, Node, Pod},
    events::v1::Event,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use mtu_agent::publish::kubernetes::names::{
    CONFIG_MAP, CONFIG_MAP_DAEMON_JSON, CONFIG_MAP_KEY, DIND_MTU_ENV, STATUS, WEBHOOK_CONFIGURATION,
};
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    cluster::{Cluster, PATIENCE, until, wait_for, wait_for_absence},
    install::webhook_url,
    objects::{
        DIND_MTU, bind, create, dry_run, namespace, node, on_node, opt_out_of_config_map, runner,
        runner_namespace, told,
    },
    process::{Agent, controller},
};

/// Caps of the two agents, under the MTU of any link that this host could have.
const SMALLER: u32 = 1300;
const LARGER: u32 = 1340;
/// The API server has had time enough to call the webhook at one address.
const TURN: Duration = Duration::from_secs(15);
/// To which the first falls.
const FALLS: [u32; 2] = [1290, 1285];

pub(crate) async fn reach_pods_and_namespaces(cluster: Arc<Cluster>) -> Result<()> {
    let runners = runner_namespace(&cluster).await?;
    let plain = namespace(&cluster, "plain", &json!({}), &json!({})).await?;
    let (smaller, larger) = (node(&cluster, "smaller").await?, node(&cluster, "larger").await?);
    let first = create(&cluster, &plain, stale("first", &smaller.name_any())).await?;
    let second = create(&cluster, &plain, stale("second", &smaller.name_any())).await?;
    let agent_of_smaller = Agent::start(&cluster, &smaller.name_any(), SMALLER).await?;
    let _agent_of_larger = Agent::start(&cluster, &larger.name_any(), LARGER).await?;
    node_mtu_tells(&cluster, &smaller, SMALLER).await?;
    node_mtu_tells(&cluster, &larger, LARGER).await?;
    let _controller = controller(&cluster).await?;
    config_map_tells(&cluster, &runners, SMALLER).await?;
    webhook_is_called(&cluster, &runners).await?;

    a_pod_is_told_twice(&cluster, &runners, &larger.name_any()).await?;
    let prebound = create(&cluster, &runners, on_node(runner("prebound"), &larger.name_any())).await?;
    ensure!(told(&prebound) == Some(&LARGER.to_string()), "a pod that is never bound: {:?}", told(&prebound));

    for mtu in FALLS {
        agent_of_smaller.set_max_dind_mtu(mtu)?;
        config_map_tells(&cluster, &runners, mtu).await.context("a value falls at once")?;
        // Each report of a new value tells of both.
        event_about(&cluster, &plain, &first).await?;
        event_about(&cluster, &plain, &second).await?;
    }
    each_is_told_once(&cluster, &plain, &[first, second]).await?;

    opt_out_of_config_map(&cluster, &runners).await?;
    let config_maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &runners);
    wait_for_absence(&config_maps, CONFIG_MAP)
        .await
        .context("without its label a namespace has no ConfigMap")?;

    drop(agent_of_smaller);
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.delete(&smaller.name_any(), &DeleteParams::default()).await?;
    let node_mtus: Api<NodeMtu> = Api::all(cluster.client.clone());
    wait_for_absence(&node_mtus, &smaller.name_any()).await.context("a NodeMtu goes with its node")
}

/// A pod that says something else than its node: nobody opted in for it, so nobody corrects it.
fn stale(name: &str, node: &str) -> Value {
    let mut pod = on_node(runner(name), node);
    pod["metadata"]["annotations"][DIND_MTU] = "1444".into();
    pod
}

async fn node_mtu_tells(cluster: &Cluster, node: &Node, mtu: u32) -> Result<()> {
    let api: Api<NodeMtu> = Api::all(cluster.client.clone());
    let tells = |object: &NodeMtu| object.status.as_ref().is_some_and(|status| status.dind_mtu == Some(mtu));
    let object = wait_for(&api, &node.name_any(), "the value of its agent", tells).await?;
    let owners = object.owner_references();
    let is_owned = owners.iter().any(|owner| owner.kind == "Node" && Some(&owner.uid) == node.uid().as_ref());
    ensure!(is_owned && owners.len() == 1, "its node owns it, and nobody else: {owners:?}");
    Ok(())
}

async fn config_map_tells(cluster: &Cluster, namespace: &str, mtu: u32) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), namespace);
    let expected = mtu.to_string();
    let entry = |config_map: &ConfigMap, key: &str| config_map.data.as_ref()?.get(key).cloned();
    let of_pool = format!("{CONFIG_MAP_KEY}.{}", cluster.name("pool"));
    let tells = |config_map: &ConfigMap| entry(config_map, CONFIG_MAP_KEY).as_ref() == Some(&expected);
    let config_map = wait_for(&api, CONFIG_MAP, "the smallest value of its pools", tells).await?;
    ensure!(entry(&config_map, &of_pool).as_ref() == Some(&expected), "that of the pool: {config_map:?}");
    let daemon_json = entry(&config_map, CONFIG_MAP_DAEMON_JSON).context("a daemon.json")?;
    ensure!(serde_json::from_str::<Value>(&daemon_json)?["mtu"] == mtu, "{daemon_json}");
    Ok(())
}

/// Waits until the API server trusts the webhook, and calls it.
pub(crate) async fn webhook_is_called(cluster: &Cluster, namespace: &str) -> Result<()> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let is_trusted = |configuration: &MutatingWebhookConfiguration| {
        configuration.webhooks.iter().flatten().all(|webhook| webhook.client_config.ca_bundle.is_some())
    };
    wait_for(&configurations, WEBHOOK_CONFIGURATION, "the controller's CA", is_trusted).await?;
    let addresses = &cluster.addresses;
    let found = async {
        for next in addresses.iter().cycle().skip(1) {
            let called = until("the webhook is called", async || {
                let pod = dry_run(cluster, namespace, runner("asked")).await?;
                Ok(told(&pod).map(|_| ()))
            });
            match timeout(TURN, called).await {
                Ok(called) => return called,
                Err(_elapsed) => look_for_webhook(&configurations, &webhook_url(cluster, *next)).await?,
            }
        }
        bail!("this host has no address")
    };
    timeout(PATIENCE, found).await.with_context(|| {
        let port = cluster.webhook_port;
        format!(
            "the API server never called the webhook: it does not reach port {port} here, at {addresses:?}"
        )
    })?
}

/// Has the API server call the webhook there.
async fn look_for_webhook(configurations: &Api<MutatingWebhookConfiguration>, url: &str) -> Result<()> {
    let webhooks = configurations.get(WEBHOOK_CONFIGURATION).await?.webhooks.iter().flatten().count();
    let paths = (0..webhooks).map(|index| format!("/webhooks/{index}/clientConfig/url"));
    let operations: Vec<_> =
        paths.map(|path| json!({ "op": "replace", "path": path, "value": url })).collect();
    let patch = Patch::Json::<()>(serde_json::from_value(operations.into())?);
    configurations.patch(WEBHOOK_CONFIGURATION, &PatchParams::default(), &patch).await?;
    Ok(())
}

async fn a_pod_is_told_twice(cluster: &Cluster, namespace: &str, node: &str) -> Result<()> {
    let pod = create(cluster, namespace, runner("told")).await?;
    ensure!(told(&pod) == Some(&SMALLER.to_string()), "when it is made: {:?}", told(&pod));
    ensure!(pod.annotations().contains_key(STATUS), "and what was done: {:?}", pod.annotations());
    let containers = pod.spec.as_ref().map(|spec| spec.containers.clone()).unwrap_or_default();
    let dind = containers.iter().find(|container| container.name == "dind").context("its dind container")?;
    let flag = format!("--mtu=$({DIND_MTU_ENV})");
    ensure!(dind.args.iter().flatten().any(|argument| *argument == flag), "its flag: {:?}", dind.args);
    let variable = dind.env.iter().flatten().find(|variable| variable.name == DIND_MTU_ENV);
    let source = variable.and_then(|variable| variable.value_from.as_ref()?.field_ref.as_ref());
    let path = format!("metadata.annotations['{DIND_MTU}']");
    ensure!(source.is_some_and(|source| source.field_path == path), "its variable: {variable:?}");
    let runner = containers.iter().find(|container| container.name == "runner");
    let is_left_alone = runner.is_some_and(|container| container.args.is_none() && container.env.is_none());
    ensure!(is_left_alone, "nothing else is changed: {runner:?}");

    let bound = bind(cluster, namespace, "told", node).await?;
    ensure!(told(&bound) == Some(&LARGER.to_string()), "when it is bound: {:?}", told(&bound));
    Ok(())
}

async fn each_is_told_once(cluster: &Cluster, namespace: &str, pods: &[Pod]) -> Result<()> {
    let events: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    let events = events.list(&ListParams::default()).await?.items;
    for pod in pods {
        let about: Vec<_> = events.iter().filter(|event| is_about(event, pod)).collect();
        let is_single = matches!(about.as_slice(), [event] if event.series.is_none());
        ensure!(is_single, "one Event about {}: {about:?}", pod.name_any());
    }
    Ok(())
}

async fn event_about(cluster: &Cluster, namespace: &str, pod: &Pod) -> Result<()> {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    // Without a version: what is there is told first.
    let told = async {
        let mut events = pin!(api.watch(&WatchParams::default(), "0").await?);
        while let Some(event) = events.next().await {
            if let WatchEvent::Added(event) | WatchEvent::Modified(event) = event?
                && is_about(&event, pod)
            {
                return Ok(());
            }
        }
        bail!("the watch has ended")
    };
    let told = timeout(PATIENCE, told).await;
    told.with_context(|| format!("waited in vain for an Event about {}", pod.name_any()))?
}

/// Whether the controller tells it of this pod; a kubelet or a scheduler may tell others.
fn is_about(event: &Event, pod: &Pod) -> bool {
    let regarding = event.regarding.as_ref().and_then(|regarding| regarding.uid.clone());
    let reporter = event.reporting_controller.as_deref().unwrap_or_default();
    regarding == pod.uid() && reporter.starts_with("mtu-agent.dev/")
}
