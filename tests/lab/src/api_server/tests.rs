//! The server as kube's own client sees it.

use std::{pin::pin, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Namespace, Node, Pod},
};
use kube::{
    Api, ResourceExt as _,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, WatchEvent,
        WatchParams,
    },
    core::{ApiResource, GroupVersionKind, PartialObjectMeta},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{ApiServer, Cut, Fault, Permission};

fn config_map(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "default" }, "data": data })
}

fn node(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } })
}

fn pod(name: &str, node: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "default", "labels": labels },
        "spec": { "nodeName": node, "containers": [{ "name": "dind", "image": "docker:dind" }] },
    })
}

/// A definition in the shape of the real one.
fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "nodemtus.mtu-agent.dev" },
        "spec": {
            "group": "mtu-agent.dev", "scope": "Cluster", "names": { "kind": "NodeMtu", "plural": "nodemtus" },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object" },
                    "status": { "type": "object", "properties": {
                        "dindMtu": { "type": "integer", "minimum": 576, "maximum": 65535 },
                        "mismatches": { "type": "integer", "default": 0 },
                        "reportTime": { "type": "string", "format": "date-time" },
                        "pods": { "type": "array", "items": { "type": "object", "required": ["name"], "properties": {
                            "name": { "type": "string" },
                        } } },
                    } },
                } } },
            }],
        },
    })
}

fn node_mtus(server: &ApiServer) -> Api<DynamicObject> {
    server.put(definition());
    let kind = GroupVersionKind::gvk("mtu-agent.dev", "v1alpha1", "NodeMtu");
    Api::all_with(server.client(), &ApiResource::from_gvk_with_plural(&kind, "nodemtus"))
}

fn node_mtu(name: &str, owner: Option<&Value>) -> Value {
    let owners: Vec<_> = owner
        .map(|node| json!({ "apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"] }))
        .into_iter()
        .collect();
    json!({
        "apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu",
        "metadata": { "name": name, "ownerReferences": owners },
    })
}

fn with_status(status: &Value) -> Value {
    json!({ "apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu", "metadata": { "name": "node-1" }, "status": status })
}

/// The code and reason of the refusal.
fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    let kube::Error::Api(status) = result.expect_err("it is refused") else {
        panic!("it is answered with a Status")
    };
    (status.code, status.reason)
}

fn apply(manager: &str) -> PatchParams {
    PatchParams::apply(manager)
}

/// What a watch tells next.
async fn next<T>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<T>>> + Unpin),
) -> Result<(&'static str, T)>
where
    T: std::fmt::Debug,
{
    loop {
        match events.next().await.context("the watch goes on")?? {
            WatchEvent::Added(object) => return Ok(("ADDED", object)),
            WatchEvent::Modified(object) => return Ok(("MODIFIED", object)),
            WatchEvent::Deleted(object) => return Ok(("DELETED", object)),
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(error) => anyhow::bail!("{} {}", error.code, error.reason),
        }
    }
}

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() -> Result<()> {
    let server = ApiServer::start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let made: ConfigMap = serde_json::from_value(config_map("one", &json!({ "a": "1" })))?;
    let made = api.create(&PostParams::default(), &made).await?;
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    assert_eq!(
        refusal(api.create(&PostParams::default(), &unversioned(&made)).await),
        (409, "AlreadyExists".into())
    );
    let merged =
        api.patch("one", &PatchParams::default(), &Patch::Merge(json!({ "data": { "b": "2" } }))).await?;
    assert_eq!(
        merged.data,
        Some([("a", "1"), ("b", "2")].map(|(key, value)| (key.into(), value.into())).into())
    );
    assert_eq!(refusal(api.replace("one", &PostParams::default(), &made).await), (409, "Conflict".into()));
    let replaced = api.replace("one", &PostParams::default(), &ConfigMap { data: None, ..merged }).await?;
    assert_eq!(api.get("one").await?, replaced);
    let of_another = DeleteParams {
        preconditions: Some(Preconditions { uid: Some("another".into()), ..Preconditions::default() }),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(api.delete("one", &of_another).await), (409, "Conflict".into()));
    api.delete("one", &DeleteParams::default()).await?;
    assert_eq!(refusal(api.get("one").await), (404, "NotFound".into()));
    let generated = ConfigMap {
        metadata: kube::api::ObjectMeta { generate_name: Some("some-".into()), ..Default::default() },
        ..Default::default()
    };
    let first = api.create(&PostParams::default(), &generated).await?;
    let second = api.create(&PostParams::default(), &generated).await?;
    assert!(first.name_any().starts_with("some-") && first.name_any() != second.name_any());
    Ok(())
}

fn unversioned(object: &ConfigMap) -> ConfigMap {
    let mut object = object.clone();
    object.metadata.resource_version = None;
    object
}

#[tokio::test]
async fn what_is_applied_again_unchanged_keeps_its_version_and_what_is_left_out_goes() -> Result<()> {
    let server = ApiServer::start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let first = api
        .patch("one", &apply("us"), &Patch::Apply(config_map("one", &json!({ "a": "1", "b": "2" }))))
        .await?;
    let again = api
        .patch("one", &apply("us"), &Patch::Apply(config_map("one", &json!({ "a": "1", "b": "2" }))))
        .await?;
    assert_eq!(first, again);
    api.patch("one", &PatchParams::default(), &Patch::Merge(json!({ "data": { "theirs": "3" } }))).await?;
    let less = api.patch("one", &apply("us"), &Patch::Apply(config_map("one", &json!({ "a": "1" })))).await?;
    assert_eq!(less.data.unwrap_or_default().into_keys().collect::<Vec<_>>(), ["a", "theirs"]);
    let unnamed = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": { "a": "1" } });
    assert_eq!(
        refusal(api.patch("two", &apply("us"), &Patch::Apply(&unnamed)).await),
        (400, "BadRequest".into())
    );
    assert_eq!(
        refusal(api.patch("two", &apply("us"), &Patch::Apply(config_map("one", &json!({})))).await).0,
        400
    );
    assert_eq!(
        refusal(
            api.patch("two", &PatchParams::default(), &Patch::Apply(config_map("two", &json!({})))).await
        )
        .0,
        422
    );
    assert_eq!(
        refusal(
            api.patch("two", &apply("us"), &Patch::Apply(json!({ "metadata": { "name": "two" } }))).await
        )
        .0,
        400
    );
    Ok(())
}

#[tokio::test]
async fn a_field_of_another_manager_is_a_conflict_unless_it_is_forced_or_the_same() -> Result<()> {
    let server = ApiServer::start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let of = |value: &str| Patch::Apply(config_map("one", &json!({ "a": value })));
    api.patch("one", &apply("them"), &of("1")).await?;
    api.patch("one", &apply("us"), &of("1")).await?;
    let kube::Error::Api(conflict) =
        api.patch("one", &apply("us"), &of("2")).await.expect_err("it is theirs too")
    else {
        panic!("it is answered with a Status")
    };
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    assert!(conflict.message.contains("conflict with \"them\": .data.a"), "{}", conflict.message);
    let forced = api.patch("one", &apply("us").force(), &of("2")).await?;
    assert_eq!(forced.data.unwrap_or_default()["a"], "2");
    // It is theirs no more: they may leave it out, and it stays.
    let theirs = api.patch("one", &apply("them"), &Patch::Apply(config_map("one", &json!({})))).await?;
    assert_eq!(theirs.data.unwrap_or_default()["a"], "2");
    Ok(())
}

#[tokio::test]
async fn the_status_is_written_apart_and_checked_by_the_definition() -> Result<()> {
    let server = ApiServer::start().await?;
    let api = node_mtus(&server);
    let status = json!({ "dindMtu": 1400, "mismatches": 0, "pods": [{ "name": "a" }] });
    let params = apply("mtu-agent");
    assert_eq!(
        refusal(api.patch_status("node-1", &params, &Patch::Apply(with_status(&status))).await),
        (404, "NotFound".into())
    );
    let mut whole = node_mtu("node-1", None);
    whole["status"] = status.clone();
    let made = api.patch("node-1", &params, &Patch::Apply(&whole)).await?;
    assert_eq!(made.data.get("status"), None);
    let without = json!({ "dindMtu": 1400, "pods": [{ "name": "a" }] });
    let told = api.patch_status("node-1", &params, &Patch::Apply(with_status(&without))).await?;
    assert_eq!(told.data["status"], status, "with what the definition has a default for");
    let nobody = json!({ "apiVersion": "v1", "kind": "Node", "name": "node-1" });
    let mut owned = node_mtu("node-1", None);
    owned["metadata"]["ownerReferences"] = json!([nobody]);
    assert_eq!(refusal(api.patch("node-1", &params, &Patch::Apply(&owned)).await).0, 500);
    let again = api.patch_status("node-1", &params, &Patch::Apply(with_status(&without))).await?;
    assert_eq!(told.resource_version(), again.resource_version());
    let main = api.patch("node-1", &params, &Patch::Apply(node_mtu("node-1", None))).await?;
    assert_eq!(main.data["status"], status);
    for (wrong, code) in [
        (json!({ "dindMtu": 500 }), 422),
        (json!({ "reportTime": "yesterday" }), 422),
        (json!({ "dindMtu": "1400" }), 422),
        (json!({ "pods": [{}] }), 422),
        (json!({ "mtu": 1400 }), 500),
    ] {
        assert_eq!(
            refusal(api.patch_status("node-1", &params, &Patch::Apply(with_status(&wrong))).await).0,
            code,
            "{wrong}"
        );
    }
    let merge = Patch::Merge(json!({ "status": { "mtu": 1400 } }));
    let pruned = api.patch_status("node-1", &PatchParams::default(), &merge).await?;
    assert_eq!(pruned.data["status"], status, "what the definition does not know is dropped");
    let strict = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::default()
    };
    assert_eq!(refusal(api.patch_status("node-1", &strict, &merge).await), (400, "BadRequest".into()));
    let strategic = Patch::Strategic(json!({ "status": { "dindMtu": 1400 } }));
    assert_eq!(refusal(api.patch_status("node-1", &PatchParams::default(), &strategic).await).0, 415);
    Ok(())
}

#[tokio::test]
async fn what_a_node_owns_goes_with_it() -> Result<()> {
    let server = ApiServer::start().await?;
    let api = node_mtus(&server);
    let owner = server.put(node("node-1"));
    api.patch("node-1", &apply("mtu-agent"), &Patch::Apply(node_mtu("node-1", Some(&owner)))).await?;
    let nodes: Api<Node> = Api::all(server.client());
    nodes.delete("node-1", &DeleteParams::default()).await?;
    server.wait_for_absence("NodeMtu", "", "node-1").await;
    // The garbage collector does not wait for an owner that never was.
    api.patch("node-2", &apply("mtu-agent"), &Patch::Apply(node_mtu("node-2", Some(&owner)))).await?;
    server.wait_for_absence("NodeMtu", "", "node-2").await;
    Ok(())
}

#[tokio::test]
async fn a_list_comes_in_pages_and_by_selector() -> Result<()> {
    let server = ApiServer::start().await?;
    for number in 0..7 {
        server.put(pod(
            &format!("pod-{number}"),
            &format!("node-{}", number % 2),
            &json!({ "even": (number % 2 == 0).to_string() }),
        ));
    }
    let api: Api<Pod> = Api::all(server.client());
    let mut seen = Vec::new();
    let mut page = ListParams::default().limit(3);
    loop {
        let list = api.list(&page).await?;
        seen.push(list.items.len());
        match list.metadata.continue_ {
            Some(token) if !token.is_empty() => page = page.continue_token(&token),
            _ => break,
        }
    }
    assert_eq!(seen, [3, 3, 1]);
    for (params, count) in [
        (ListParams::default().fields("spec.nodeName=node-1"), 3),
        (ListParams::default().fields("metadata.name=pod-3"), 1),
        (ListParams::default().labels("even=true"), 4),
        (ListParams::default().labels("even"), 7),
        (ListParams::default().labels("!even"), 0),
        (ListParams::default().labels("even in (true, false)"), 7),
        (ListParams::default().labels("even!=true"), 3),
    ] {
        assert_eq!(api.list(&params).await?.items.len(), count, "{params:?}");
    }
    assert_eq!(refusal(api.list(&ListParams::default().fields("spec.image=x")).await).0, 400);
    let metadata = api.list_metadata(&ListParams::default().limit(1)).await?;
    assert_eq!(metadata.items.len(), 1);
    let old = ListParams::default().limit(1).continue_token(&metadata.metadata.continue_.unwrap_or_default());
    server.put(node("node-1"));
    server.drop_watches(Cut::Gone);
    assert_eq!(refusal(api.list(&old).await), (410, "Expired".into()));
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_version() -> Result<()> {
    let server = ApiServer::start().await?;
    server.put(pod("before", "node-1", &json!({})));
    let api: Api<Pod> = Api::all(server.client());
    let version =
        api.list(&ListParams::default()).await?.metadata.resource_version.context("a list has a version")?;
    let here = WatchParams::default().fields("spec.nodeName=node-1");
    let mut events = pin!(api.watch(&here, &version).await?);
    server.wait_for_watch("/api/v1/pods").await;
    server.put(pod("elsewhere", "node-2", &json!({})));
    server.put(pod("here", "node-1", &json!({})));
    assert_eq!(
        next(&mut events).await.map(|(event, pod)| (event, pod.name_any()))?,
        ("ADDED", "here".into())
    );
    server.put(pod("before", "node-1", &json!({ "changed": "yes" })));
    assert_eq!(
        next(&mut events).await.map(|(event, pod)| (event, pod.name_any()))?,
        ("MODIFIED", "before".into())
    );
    server.put(pod("here", "node-2", &json!({})));
    assert_eq!(
        next(&mut events).await.map(|(event, pod)| (event, pod.name_any()))?,
        ("DELETED", "here".into())
    );
    server.delete("Pod", "default", "before");
    assert_eq!(
        next(&mut events).await.map(|(event, pod)| (event, pod.name_any()))?,
        ("DELETED", "before".into())
    );
    server.drop_watches(Cut::End);
    assert!(events.next().await.is_none(), "a watch ends in good order");
    server.wait_for_watches("none", |watches| watches.is_empty().then_some(())).await;
    Ok(())
}

/// Polls a stream in the background: nothing is asked for otherwise.
fn polled<T: Send + 'static>(stream: impl Stream<Item = T> + Send + 'static) -> mpsc::UnboundedReceiver<T> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut stream = pin!(stream);
        while let Some(item) = stream.next().await {
            if sender.send(item).is_err() {
                return;
            }
        }
    });
    receiver
}

#[tokio::test(start_paused = true)]
async fn a_watcher_goes_on_after_every_way_in_which_a_watch_ends() -> Result<()> {
    let server = ApiServer::start().await?;
    let api: Api<Namespace> = Api::all(server.client_in_process(None));
    for strategy in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let mut objects = polled(watcher(api.clone(), strategy).default_backoff().applied_objects());
        for (number, cut) in [Cut::End, Cut::Break, Cut::Gone].into_iter().enumerate() {
            server.wait_for_watch("/api/v1/namespaces").await;
            let name = format!("after-{number}-of-{}", server.requests().len());
            server.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
            server.drop_watches(cut);
            loop {
                match objects.recv().await.context("a watcher never ends")? {
                    Ok(namespace) if namespace.name_any() == name => break,
                    Ok(_) | Err(_) => {}
                }
            }
        }
        drop(objects);
        server.drop_watches(Cut::End);
    }
    Ok(())
}

#[tokio::test]
async fn requests_fail_as_they_are_asked_to() -> Result<()> {
    let server = ApiServer::start().await?;
    let mut config = server.config(None);
    config.default_retry = false;
    let api: Api<ConfigMap> = Api::default_namespaced(kube::Client::try_from(config)?);
    for code in [409, 429, 500, 503] {
        server.fail(1, Fault::Status { code, retry_after: Some(1) }, |request| request.method == "GET");
        assert_eq!(refusal(api.get("one").await).0, code);
    }
    server.put(config_map("one", &json!({})));
    api.get("one").await?;
    server.fail(1, Fault::Reset, |_| true);
    assert!(matches!(api.get("one").await, Err(kube::Error::HyperError(_) | kube::Error::Service(_))));
    server.fail(1, Fault::AnswerLost, super::Recorded::is_apply);
    let lost = api.patch("two", &apply("us"), &Patch::Apply(config_map("two", &json!({})))).await;
    assert!(!matches!(lost, Ok(_) | Err(kube::Error::Api(_))));
    assert!(server.object("ConfigMap", "default", "two").is_some(), "it was done");
    server.fail(1, Fault::Hang, |_| true);
    let hanging = tokio::spawn({
        let api = api.clone();
        async move { api.get("one").await }
    });
    server
        .wait_for("a request that hangs", |request| {
            request.status.is_none() && request.path.ends_with("/one") && request.number > 5
        })
        .await;
    assert!(!hanging.is_finished());
    server.release();
    hanging.await??;
    server.wait_for_faults().await;
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_away_comes_back_on_its_port() -> Result<()> {
    let server = ApiServer::start().await?;
    server.put(config_map("one", &json!({})));
    let [over_a_socket, in_process] =
        [server.client(), server.client_in_process(None)].map(Api::<ConfigMap>::default_namespaced);
    let mut events = pin!(over_a_socket.watch(&WatchParams::default(), "1").await?);
    server.away().await?;
    let ended = loop {
        match events.next().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(ended, "a watch breaks");
    assert!(over_a_socket.get("one").await.is_err());
    assert!(in_process.get("one").await.is_err());
    server.back().await?;
    over_a_socket.get("one").await?;
    in_process.get("one").await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn paused_time_flies_without_sockets() -> Result<()> {
    let server = ApiServer::start().await?;
    let api: Api<ConfigMap> = Api::default_namespaced(server.client_in_process(None));
    server.fail(3, Fault::status(503), |_| true);
    server.put(config_map("one", &json!({})));
    api.get("one").await?;
    assert_eq!(server.requests().len(), 4, "kube tries three times more");
    let mut events = pin!(api.watch(&WatchParams::default().timeout(290), "0").await?);
    assert_eq!(next(&mut events).await?.0, "ADDED");
    assert!(
        tokio::time::timeout(Duration::from_mins(5), events.next()).await?.is_none(),
        "it ends by its timeout"
    );
    Ok(())
}

const ROLES: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: agent}
rules:
- {apiGroups: [mtu-agent.dev], resources: [nodemtus], verbs: [patch]}
- {apiGroups: [''], resources: [pods], verbs: [list]}
- {apiGroups: [''], resources: [configmaps], resourceNames: [dind-mtu], verbs: [create, patch, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: agent}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: agent}
subjects: [{kind: ServiceAccount, name: agent, namespace: mtu-agent}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leader, namespace: default}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leader, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leader}
subjects: [{kind: ServiceAccount, name: agent, namespace: mtu-agent}]
";

#[tokio::test]
async fn what_the_roles_do_not_allow_is_forbidden() -> Result<()> {
    let server = ApiServer::start().await?;
    server.put(definition());
    server.authorize("secret", "mtu-agent", "agent", ROLES)?;
    let client = server.client_of("secret");
    let forbidden = (403, "Forbidden".to_owned());
    let pods: Api<Pod> = Api::all(client.clone());
    pods.list(&ListParams::default()).await?;
    assert_eq!(refusal(pods.watch(&WatchParams::default(), "0").await.map(drop)), forbidden);
    // Apply needs `create` where there is nothing yet.
    let kind = GroupVersionKind::gvk("mtu-agent.dev", "v1alpha1", "NodeMtu");
    let node_mtus: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "nodemtus"));
    let patch = Patch::Apply(node_mtu("node-1", None));
    assert_eq!(refusal(node_mtus.patch("node-1", &apply("agent"), &patch).await), forbidden);
    server.put(node_mtu("node-1", None));
    node_mtus.patch("node-1", &apply("agent"), &patch).await?;
    assert_eq!(refusal(node_mtus.patch_status("node-1", &apply("agent"), &patch).await), forbidden);
    // Names limit apply, but nothing can be POSTed by name.
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let named = config_map("dind-mtu", &json!({}));
    maps.patch("dind-mtu", &apply("agent"), &Patch::Apply(&named)).await?;
    assert_eq!(
        refusal(maps.patch("other", &apply("agent"), &Patch::Apply(config_map("other", &json!({})))).await),
        forbidden
    );
    assert_eq!(
        refusal(maps.create(&PostParams::default(), &serde_json::from_value(named)?).await),
        forbidden
    );
    assert_eq!(refusal(maps.list(&ListParams::default()).await), forbidden);
    maps.list(&ListParams::default().fields("metadata.name=dind-mtu")).await?;
    // A Role is for its namespace alone.
    assert_eq!(refusal(Api::<Lease>::namespaced(client.clone(), "default").get("none").await).0, 404);
    assert_eq!(refusal(Api::<Lease>::namespaced(client, "mtu-agent").get("none").await), forbidden);
    let unknown: Api<Pod> = Api::all(server.client_of("guessed"));
    assert_eq!(refusal(unknown.list(&ListParams::default()).await), (401, "Unauthorized".into()));
    let used = server.used_permissions(Some("secret"));
    assert!(used.contains(&Permission {
        verb: "create".into(),
        group: "mtu-agent.dev".into(),
        resource: "nodemtus".into(),
        namespace: None,
        name: Some("node-1".into()),
    }));
    assert!(used.iter().any(|used| used.resource == "nodemtus/status" && used.verb == "patch"));
    Ok(())
}

#[tokio::test]
async fn what_a_real_server_refuses_is_refused() -> Result<()> {
    let server = ApiServer::start().await?;
    let post = |api: &'static str, body: Value| {
        let client = server.client();
        async move {
            let request = http::Request::post(api).header("content-type", "application/json");
            client
                .request::<Value>(request.body(body.to_string().into_bytes()).expect("it is a request"))
                .await
        }
    };
    let maps = "/api/v1/namespaces/default/configmaps";
    let large = "x".repeat((1 << 20) + 1);
    let event = json!({
        "metadata": { "name": "e", "namespace": "default" }, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Warning",
        "reason": "R", "action": "A", "reportingController": "c", "reportingInstance": "i", "note": "n",
        "regarding": { "kind": "Pod", "namespace": "default", "name": "p" },
    });
    let mut wordy = event.clone();
    wordy["note"] = "x".repeat(1025).into();
    let mut misplaced = event.clone();
    misplaced["regarding"]["namespace"] = "kube-system".into();
    let [mut inexact, mut unqualified] = [event.clone(), event.clone()];
    inexact["eventTime"] = "2026-01-01T00:00:00Z".into();
    unqualified["reportingController"] = "a b".into();
    let lease = |time: &str| json!({ "metadata": { "name": "l" }, "spec": { "renewTime": time } });
    let pods = "/api/v1/namespaces/default/pods";
    let variable = |variable: Value| {
        json!({
            "metadata": { "name": "p" },
            "spec": { "containers": [{ "name": "c", "image": "i", "env": [variable] }] },
        })
    };
    let field =
        |path: &str| variable(json!({ "name": "A", "valueFrom": { "fieldRef": { "fieldPath": path } } }));
    let mut twice = field("metadata.name");
    twice["spec"]["initContainers"] = twice["spec"]["containers"].clone();
    let both = variable(
        json!({ "name": "A", "value": "1", "valueFrom": { "fieldRef": { "fieldPath": "metadata.uid" } } }),
    );
    let binding = |name: &str, kind: &str| json!({ "metadata": { "name": name }, "target": { "kind": kind, "name": "n" } });
    let events = "/apis/events.k8s.io/v1/namespaces/default/events";
    for (path, body, code) in [
        (maps, config_map("large", &json!({ "x": large })), 422),
        (maps, config_map("Upper", &json!({})), 422),
        (maps, config_map("key", &json!({ "a/b": "" })), 422),
        (maps, config_map("number", &json!({ "a": 1 })), 400),
        (maps, json!({ "metadata": { "name": "elsewhere", "namespace": "other" } }), 400),
        (maps, json!({ "metadata": { "name": "kind" }, "kind": "Secret" }), 400),
        ("/api/v1/namespaces/absent/configmaps", json!({ "metadata": { "name": "lost" } }), 404),
        (events, wordy, 422),
        (events, misplaced, 422),
        (events, inexact, 400),
        (events, unqualified, 422),
        (events, event, 201),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease("2026-01-01T00:00:00Z"), 400),
        (
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            lease("2026-01-01T00:00:00.123456789Z"),
            400,
        ),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease("2026-01-01T00:00:00.123456Z"), 201),
        (pods, field("metadata.nothing"), 422),
        (pods, field("metadata.annotations['a b']"), 422),
        (pods, variable(json!({ "value": "1" })), 422),
        (pods, both, 422),
        (pods, twice, 422),
        (pods, field("metadata.annotations['mtu-agent.dev/dind-mtu']"), 201),
        ("/api/v1/namespaces/default/pods/p/binding", binding("q", "Node"), 400),
        ("/api/v1/namespaces/default/pods/p/binding", binding("p", "Service"), 500),
        ("/api/v1/namespaces/default/pods/p/binding", binding("p", "Node"), 201),
        ("/apis/nobody.example/v1/things", json!({}), 404),
        ("/api/v1/nothings", json!({}), 404),
    ] {
        let outcome = post(path, body).await;
        let found = if outcome.is_ok() { 201 } else { refusal(outcome).0 };
        assert_eq!(found, code, "{:?}", server.requests().last());
    }
    Ok(())
}

#[tokio::test]
async fn only_metadata_is_sent_to_who_asks_for_no_more() -> Result<()> {
    let server = ApiServer::start().await?;
    server.put(pod("one", "node-1", &json!({})));
    let here = watcher::Config::default().fields("spec.nodeName=node-1");
    let mut pods =
        polled(watcher(Api::<PartialObjectMeta<Pod>>::all(server.client()), here).applied_objects());
    assert_eq!(pods.recv().await.context("it is there")??.name_any(), "one");
    server.wait_for_watch("/api/v1/pods").await;
    server.put(pod("two", "node-1", &json!({ "a": "b" })));
    let two = pods.recv().await.context("it is told")??;
    assert_eq!(
        (two.name_any(), two.types.map(|types| types.kind)),
        ("two".into(), Some("PartialObjectMetadata".into()))
    );
    let requests = server.requests();
    assert!(
        requests.iter().all(|request| request.accept.contains("as=PartialObjectMetadata")),
        "{requests:?}"
    );
    Ok(())
}
