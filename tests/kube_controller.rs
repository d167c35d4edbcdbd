//! The controller beside an API server: which requests it makes, and which it does not.

#[path = "kube_controller/election.rs"]
mod election;
#[path = "kube_controller/events.rs"]
mod events;
#[path = "kube_controller/faults.rs"]
mod faults;
#[path = "kube_agent/log.rs"]
mod log;
#[path = "kube_controller/program.rs"]
mod program;
#[path = "kube_controller/replica.rs"]
mod replica;

use std::time::Duration;

use anyhow::{Context as _, Result};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::kubernetes::names::{CONFIG_MAP, CONTROLLER_NAMESPACE};
use mtu_lab::api_server::ApiServer;
use serde_json::{Value, json};

use replica::{
    Replica, cluster, config_map_writes, labelled, namespace, node, report, report_with, said, used,
};

/// The entries of a ConfigMap that says 1450 for `cloud`, the only pool.
fn cloud_1450() -> Value {
    json!({
        "DIND_MTU": "1450",
        "DIND_MTU.cloud": "1450",
        "daemon.json": "{\"mtu\":1450,\"default-network-opts\":{\"bridge\":{\"com.docker.network.driver.mtu\":\"1450\"}}}\n",
    })
}

#[tokio::test]
async fn a_labelled_namespace_gets_one_config_map_by_one_request() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    namespace(&server, "other", json!({}), json!({}));
    let replica = Replica::start(&server, "a").await?;
    let stored = said(&server, "ci", "1450").await;
    assert_eq!(stored["data"], cloud_1450());
    let [write] = &config_map_writes(&server)[..] else {
        panic!("one write: {:?}", config_map_writes(&server))
    };
    assert!(write.is_apply());
    assert_eq!(write.path, "/api/v1/namespaces/ci/configmaps/dind-mtu");
    assert_eq!((write.field_manager(), write.parameter("force")), ("mtu-agent-controller", "true"));
    assert_eq!(
        write.body,
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "dind-mtu",
                "namespace": "ci",
                "labels": {"app.kubernetes.io/managed-by": "mtu-agent-controller"},
            },
            "data": cloud_1450(),
        })
    );
    replica.stop().await
}

#[tokio::test]
async fn a_namespace_has_the_smallest_of_the_pools_that_it_names() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("metal"));
    report(&server, "node-2", 1400);
    node(&server, "node-3", None);
    report(&server, "node-3", 1500);
    for (name, pools) in [("all", None), ("cloud-only", Some("cloud")), ("two", Some("cloud, default"))] {
        labelled(&server, name, pools);
    }
    let mut replica = Replica::start(&server, "a").await?;
    for (name, value) in [("all", "1400"), ("cloud-only", "1450"), ("two", "1450")] {
        let stored = said(&server, name, value).await;
        let of_pools =
            ["cloud", "default", "metal"].map(|pool| stored["data"][format!("DIND_MTU.{pool}")].clone());
        assert_eq!(of_pools, ["1450", "1500", "1400"], "{name}");
    }
    let values = replica.until_values(|values| values.nodes.len() == 3).await?;
    assert_eq!(values.of_node("node-2").map(LinkMtu::get), Some(1400));
    assert_eq!(values.of_namespace("cloud-only").map(LinkMtu::get), Some(1450));
    assert_eq!(replica.metric("mtu_agent_controller_nodes{pool=\"metal\"}").await?, "1");
    assert_eq!(replica.metric("mtu_agent_controller_pool_dind_mtu_bytes{pool=\"metal\"}").await?, "1400");
    replica.stop().await
}

#[tokio::test]
async fn nodes_and_namespaces_are_read_without_what_is_not_needed_and_in_pages() -> Result<()> {
    let server = cluster().await?;
    let replica = Replica::start(&server, "a").await?;
    server.wait_for_watches("four watches", |watches| (watches.len() == 4).then_some(())).await;
    let list = |path: &str| {
        let requests = server.requests().into_iter();
        let mut lists = requests.filter(|it| it.method == "GET" && it.path == path && !it.is_watch());
        lists.next().with_context(|| format!("a list of {path}"))
    };
    for path in ["/api/v1/nodes", "/api/v1/namespaces"] {
        let list = list(path)?;
        assert!(list.accept.contains("as=PartialObjectMetadataList"), "{}", list.accept);
        assert_eq!(list.parameter("limit"), "500");
    }
    assert_eq!(list("/apis/mtu-agent.dev/v1alpha1/nodemtus")?.parameter("limit"), "500");
    let config_maps = list("/api/v1/configmaps")?;
    assert_eq!(config_maps.parameter("fieldSelector"), "metadata.name=dind-mtu");
    replica.stop().await
}

#[tokio::test]
async fn what_loses_its_label_loses_its_config_map_and_nothing_else_does() -> Result<()> {
    let server = cluster().await?;
    for name in ["ci", "stays"] {
        labelled(&server, name, None);
    }
    let replica = Replica::start(&server, "a").await?;
    for name in ["ci", "stays"] {
        said(&server, name, "1450").await;
    }
    let uid = said(&server, "ci", "1450").await["metadata"]["uid"].clone();
    namespace(&server, "ci", json!({}), json!({}));
    server.wait_for_absence("ConfigMap", "ci", CONFIG_MAP).await;
    let writes = config_map_writes(&server);
    let delete = writes.last().context("a write")?;
    assert_eq!(
        (delete.method.as_str(), delete.path.as_str()),
        ("DELETE", "/api/v1/namespaces/ci/configmaps/dind-mtu")
    );
    assert_eq!(delete.body["preconditions"]["uid"], uid);
    assert!(delete.body["preconditions"]["resourceVersion"].is_string());
    assert!(server.object("ConfigMap", "stays", CONFIG_MAP).is_some());
    replica.stop().await
}

#[tokio::test]
async fn what_is_left_from_an_earlier_run_is_taken_away_at_the_start() -> Result<()> {
    let server = cluster().await?;
    namespace(&server, "former", json!({}), json!({}));
    ours(&server, "former", &json!({"DIND_MTU": "1450", "DIND_MTU.cloud": "1450"}));
    let replica = Replica::start(&server, "a").await?;
    server.wait_for_absence("ConfigMap", "former", CONFIG_MAP).await;
    replica.stop().await
}

#[tokio::test]
async fn what_is_somebody_elses_is_left_alone() -> Result<()> {
    let server = cluster().await?;
    for (name, is_labelled) in [("theirs", true), ("unlabelled", false)] {
        if is_labelled {
            labelled(&server, name, None);
        } else {
            namespace(&server, name, json!({}), json!({}));
        }
        let metadata = json!({"name": CONFIG_MAP, "namespace": name});
        server.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"DIND_MTU": "9000"}}));
    }
    labelled(&server, "zzz", None);
    let replica = Replica::start(&server, "a").await?;
    said(&server, "zzz", "1450").await;
    assert_eq!(replica.metric("mtu_agent_controller_config_maps_foreign").await?, "1");
    assert_eq!(config_map_writes(&server).len(), 1, "only that of zzz");
    server.delete("ConfigMap", "theirs", CONFIG_MAP);
    said(&server, "theirs", "1450").await;
    replica.stop().await
}

#[tokio::test]
async fn what_somebody_edits_or_deletes_is_put_right() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let replica = Replica::start(&server, "a").await?;
    let mut stored = said(&server, "ci", "1450").await;
    stored["data"]["DIND_MTU"] = "9000".into();
    stored["data"]["mine"] = "kept".into();
    server.put(stored);
    assert_eq!(said(&server, "ci", "1450").await["data"]["mine"], "kept");
    server.delete("ConfigMap", "ci", CONFIG_MAP);
    said(&server, "ci", "1450").await;
    assert_eq!(config_map_writes(&server).len(), 3);
    replica.stop().await
}

#[tokio::test]
async fn without_a_value_none_is_made_and_what_is_there_stays() -> Result<()> {
    let server = ApiServer::start().await?;
    server.put(serde_json::to_value(
        <mtu_agent::publish::kubernetes::node_mtu::NodeMtu as kube::CustomResourceExt>::crd(),
    )?);
    node(&server, "node-1", Some("cloud"));
    labelled(&server, "ci", None);
    labelled(&server, "odd", Some("gone"));
    ours(&server, "odd", &json!({"DIND_MTU": "1300"}));
    let mut replica = Replica::start(&server, "a").await?;
    replica.until_leading(true).await?;
    server.wait_for_watches("four watches", |watches| (watches.len() == 4).then_some(())).await;
    assert_eq!(replica.metric("mtu_agent_controller_nodes{pool=\"cloud\"}").await?, "1");
    report(&server, "node-1", 1450);
    said(&server, "ci", "1450").await;
    assert_eq!(config_map_writes(&server).len(), 1, "none before there was a value, none in odd");
    assert!(server.object("ConfigMap", "odd", CONFIG_MAP).is_some());
    replica.stop().await
}

#[tokio::test]
async fn old_reports_count_and_the_config_map_says_so() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("cloud"));
    report_with(&server, "node-2", json!({"dindMtu": 1400, "reportTime": "2020-01-01T00:00:00Z"}));
    labelled(&server, "ci", None);
    let replica = Replica::start(&server, "a").await?;
    let stored = said(&server, "ci", "1400").await;
    let old = &stored["metadata"]["annotations"]["mtu-agent.dev/old-values"];
    assert_eq!(*old, "cloud: reports count that are older than 3 hours or gone");
    assert_eq!(replica.metric("mtu_agent_controller_nodes_old{pool=\"cloud\"}").await?, "1");
    report(&server, "node-2", 1400);
    let is_fresh = |object: &Value| object["metadata"]["annotations"]["mtu-agent.dev/old-values"].is_null();
    server.wait_for_object("ConfigMap", "ci", CONFIG_MAP, is_fresh).await;
    for node in ["node-1", "node-2"] {
        server.delete("NodeMtu", "", node);
    }
    let says = |object: &Value| {
        object["metadata"]["annotations"]["mtu-agent.dev/old-values"] == "cloud: no node reports"
    };
    let stored = server.wait_for_object("ConfigMap", "ci", CONFIG_MAP, says).await;
    assert_eq!(stored["data"]["DIND_MTU"], "1400", "the last good value stays");
    replica.stop().await
}

#[tokio::test]
async fn a_restart_neither_raises_nor_forgets_nor_writes() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("metal"));
    report(&server, "node-2", 1400);
    labelled(&server, "ci", None);
    let first = Replica::start(&server, "a").await?;
    said(&server, "ci", "1400").await;
    said(&server, CONTROLLER_NAMESPACE, "1400").await;
    first.stop().await?;
    let written = config_map_writes(&server).len();
    // While no controller runs, one pool could have more, and another has nobody left who tells.
    report(&server, "node-1", 1500);
    server.delete("NodeMtu", "", "node-2");

    let mut second = Replica::start(&server, "b").await?;
    let values = second.until_values(|values| !values.pools.is_empty()).await?;
    let pools: Vec<_> = values.pools.iter().map(|(pool, mtu)| (pool.as_str(), mtu.get())).collect();
    assert_eq!(pools, [("cloud", 1450), ("metal", 1400)]);
    let says = |object: &Value| {
        object["metadata"]["annotations"]["mtu-agent.dev/old-values"] == "metal: no node reports"
    };
    let stored = server.wait_for_object("ConfigMap", "ci", CONFIG_MAP, says).await;
    assert_eq!(
        (&stored["data"]["DIND_MTU"], &stored["data"]["DIND_MTU.cloud"]),
        (&"1400".into(), &"1450".into())
    );
    assert_eq!(config_map_writes(&server).len(), written + 1, "only that the value of metal is old");
    second.stop().await
}

#[tokio::test]
async fn values_outlive_a_restart_though_no_namespace_is_labelled() -> Result<()> {
    let server = cluster().await?;
    let first = Replica::start(&server, "a").await?;
    let kept = said(&server, CONTROLLER_NAMESPACE, "1450").await;
    assert_eq!(kept["data"], cloud_1450());
    first.stop().await?;
    server.delete("Node", "", "node-1");
    server.delete("NodeMtu", "", "node-1");
    let mut second = Replica::start(&server, "b").await?;
    let values = second.until_values(|values| !values.pools.is_empty()).await?;
    assert_eq!(values.pools["cloud"].get(), 1450);
    second.stop().await
}

#[tokio::test]
async fn what_a_tenant_writes_into_a_config_map_is_nobody_elses_value_after_a_restart() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let first = Replica::start(&server, "a").await?;
    let mut stored = said(&server, "ci", "1450").await;
    said(&server, CONTROLLER_NAMESPACE, "1450").await;
    first.stop().await?;
    stored["data"]["DIND_MTU.zz"] = "576".into();
    stored["data"]["DIND_MTU.cloud"] = "576".into();
    server.put(stored);
    ours(&server, "theirs", &json!({"DIND_MTU.yy": "577"}));
    let mut second = Replica::start(&server, "b").await?;
    let values = second.until_values(|values| !values.pools.is_empty()).await?;
    let pools: Vec<_> = values.pools.iter().map(|(pool, mtu)| (pool.as_str(), mtu.get())).collect();
    assert_eq!(pools, [("cloud", 1450)]);
    second.stop().await
}

#[tokio::test]
async fn the_first_run_that_keeps_values_goes_on_from_those_of_all_namespaces() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    ours(&server, "ci", &json!({"DIND_MTU": "1300", "DIND_MTU.cloud": "1400", "DIND_MTU.zz": "576"}));
    let replica = Replica::start(&server, "a").await?;
    let kept = said(&server, CONTROLLER_NAMESPACE, "1400").await;
    assert_eq!(
        (&kept["data"]["DIND_MTU.cloud"], &kept["data"]["DIND_MTU.zz"]),
        (&"1400".into(), &Value::Null)
    );
    replica.stop().await
}

#[tokio::test]
async fn a_larger_value_comes_when_it_has_lasted() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let raise_after = Duration::from_millis(500);
    let mut replica = Replica::start_with(&server, "a", |config| config.raise_after = raise_after).await?;
    said(&server, "ci", "1450").await;
    report(&server, "node-1", 1500);
    let values =
        replica.until_values(|values| values.of_node("node-1").is_some_and(|mtu| mtu.get() == 1500)).await?;
    assert_eq!(values.pools["cloud"].get(), 1450, "of the node at once, of its pool later");
    said(&server, "ci", "1500").await;
    replica.stop().await
}

#[tokio::test]
async fn a_node_that_is_gone_leaves_with_its_value() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("cloud"));
    report(&server, "node-2", 1400);
    labelled(&server, "ci", None);
    let replica = Replica::start_with(&server, "a", |config| config.raise_after = Duration::ZERO).await?;
    said(&server, "ci", "1400").await;
    server.delete("Node", "", "node-2");
    server.delete("NodeMtu", "", "node-2");
    let stored = said(&server, "ci", "1450").await;
    assert_eq!(stored["metadata"]["annotations"]["mtu-agent.dev/old-values"], Value::Null);
    replica.stop().await
}

#[tokio::test]
async fn a_node_whose_report_is_deleted_keeps_its_value_and_its_pool_does_not_rise_above_it() -> Result<()> {
    let server = cluster().await?;
    for (name, mtu) in [("node-2", 1400), ("node-3", 1450)] {
        node(&server, name, Some("cloud"));
        report(&server, name, mtu);
    }
    labelled(&server, "ci", None);
    let replica = Replica::start_with(&server, "a", |config| config.raise_after = Duration::ZERO).await?;
    said(&server, "ci", "1400").await;
    server.delete("NodeMtu", "", "node-2");
    let says = |object: &Value| {
        let old = &object["metadata"]["annotations"]["mtu-agent.dev/old-values"];
        old == "cloud: reports count that are older than 3 hours or gone"
    };
    let stored = server.wait_for_object("ConfigMap", "ci", CONFIG_MAP, says).await;
    assert_eq!(stored["data"]["DIND_MTU"], "1400");
    assert_eq!(replica.values.borrow().of_node("node-2").map(LinkMtu::get), Some(1400));
    replica.stop().await
}

#[tokio::test]
async fn nodes_that_can_never_run_an_agent_count_in_no_pool() -> Result<()> {
    let server = cluster().await?;
    let other = |name: &str, label: &str, value: &str| {
        let labels = json!({"mtu-agent.dev/pool": "cloud", label: value});
        server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}));
    };
    other("windows", "kubernetes.io/os", "windows");
    other("virtual", "type", "virtual-kubelet");
    other("fargate", "eks.amazonaws.com/compute-type", "fargate");
    labelled(&server, "ci", None);
    let raise_after = Duration::from_millis(1);
    let replica = Replica::start_with(&server, "a", |config| config.raise_after = raise_after).await?;
    said(&server, "ci", "1450").await;
    assert_eq!(replica.metric("mtu_agent_controller_nodes{pool=\"cloud\"}").await?, "1");
    report(&server, "node-1", 1500);
    said(&server, "ci", "1500").await;
    replica.stop().await
}

#[tokio::test]
async fn nodes_are_those_that_the_selector_selects() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("metal"));
    report(&server, "node-2", 1400);
    labelled(&server, "ci", None);
    let selector = "mtu-agent.dev/pool=cloud";
    let replica =
        Replica::start_with(&server, "a", |config| config.node_selector = selector.to_owned()).await?;
    let stored = said(&server, "ci", "1450").await;
    assert_eq!(stored["data"]["DIND_MTU.metal"], Value::Null);
    assert_eq!(replica.values.borrow().of_node("node-2").map(LinkMtu::get), Some(1400), "it has its own");
    replica.stop().await
}

#[tokio::test]
async fn it_needs_these_permissions_and_no_others() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    report_with(
        &server,
        "node-1",
        json!({"dindMtu": 1450, "pods": [{"namespace": "ci", "name": "runner", "uid": "1", "mismatchedLinks": 1}]}),
    );
    let replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1450").await;
    server
        .wait_for("an Event", |request| request.path.ends_with("/events") && request.status == Some(201))
        .await;
    namespace(&server, "ci", json!({}), json!({}));
    server.wait_for_absence("ConfigMap", "ci", CONFIG_MAP).await;
    server.wait_for_watches("four watches", |watches| (watches.len() == 4).then_some(())).await;
    replica.stop().await?;
    let it = |verb: &str, group: &str, resource: &str, name: Option<&str>| {
        (verb.to_owned(), group.to_owned(), resource.to_owned(), name.map(str::to_owned))
    };
    let (config_map, lease) = (Some("dind-mtu"), Some("mtu-agent-controller"));
    let mut expected = vec![
        it("create", "events.k8s.io", "events", None),
        it("create", "coordination.k8s.io", "leases", None),
        it("get", "coordination.k8s.io", "leases", lease),
        it("patch", "coordination.k8s.io", "leases", lease),
    ];
    for (group, resource) in [("mtu-agent.dev", "nodemtus"), ("", "nodes"), ("", "namespaces")] {
        expected.extend(["list", "watch"].map(|verb| it(verb, group, resource, None)));
    }
    let verbs = ["list", "watch", "create", "patch", "delete"];
    expected.extend(verbs.map(|verb| it(verb, "", "configmaps", config_map)));
    assert_eq!(used(&server, "a"), expected.into_iter().collect());
    assert!(server.requests().iter().all(|request| request.status != Some(403)));
    Ok(())
}

#[tokio::test]
async fn its_pages_are_metrics_health_and_readiness() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1450").await;
    let (is_ok, metrics) = replica.page("/metrics").await?;
    assert!(is_ok);
    assert!(metrics.contains("\nmtu_agent_controller_leader 1\n"), "{metrics}");
    let other = replica.page("/v1/survey").await?;
    assert!(!other.0, "the controller has no survey");
    replica.stop().await
}

/// A ConfigMap as the controller makes it.
fn ours(server: &ApiServer, namespace: &str, data: &Value) {
    let labels = json!({"app.kubernetes.io/managed-by": "mtu-agent-controller"});
    let metadata = json!({"name": CONFIG_MAP, "namespace": namespace, "labels": labels});
    server.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}));
}
