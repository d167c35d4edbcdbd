//! The pods of this node, as the API server last told them: little of each.

use std::collections::btree_map::Entry;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1 as core;
use kube::api::ObjectMeta;
use kube::core::{ApiResource, Object};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::ResetTimerBackoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::watch;
use tracing::{info, warn};

use super::backoff::Backoff;
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::DIND_MTU;
use crate::publish::kubernetes::node_mtu::MOST_CHARACTERS;
use crate::publish::kubernetes::node_mtu::pods::{Pod, Pods};

/// What goes well for so long has recovered.
const RECOVERED: Duration = Duration::from_mins(2);

/// What is read of a pod. All else is dropped while it is parsed.
type Told = Object<Spec, Status>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    host_network: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default, rename = "podIPs")]
    pod_ips: Vec<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    #[serde(default)]
    ip: String,
}

/// Follows the pods of a node for ever. While nobody answers, the last ones stay.
pub(super) async fn follow(client: Client, node_name: String, pods: watch::Sender<Pods>) {
    let api: Api<Told> = Api::all_with(client, &ApiResource::erase::<core::Pod>(&()));
    // From the server's cache, which knows pods by their node. A list in pages is read from etcd by most servers, through
    // all pods of the cluster, by each of thousands of agents; those of one node are few enough for one answer.
    let selector = format!("spec.nodeName={node_name}");
    let config =
        watcher::Config { page_size: None, ..watcher::Config::default().fields(&selector).any_semantic() };
    let backoff = ResetTimerBackoff::new(Backoff::new(&node_name, "pods"), RECOVERED);
    let mut events = pin!(watcher(api, config).backoff(backoff));
    let mut listed = Pods::new();
    let mut failing = false;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if std::mem::take(&mut failing) {
                    info!("the pods of this node are known again");
                }
                handle(event, &mut listed, &pods);
            }
            Ok(None) => return,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    let error = with_sources(&error);
                    warn!(%error, "changes of this node's pods are not heard; it is tried again");
                }
            }
        }
    }
}

fn handle(event: Event<Told>, listed: &mut Pods, pods: &watch::Sender<Pods>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(told) => listed.extend(pod(told)),
        Event::InitDone => {
            let listed = std::mem::take(listed);
            pods.send_if_modified(|pods| {
                *pods != listed && {
                    *pods = listed;
                    true
                }
            });
        }
        Event::Apply(told) => {
            let Some((uid, pod)) = pod(told) else { return };
            pods.send_if_modified(|pods| match pods.entry(uid) {
                Entry::Occupied(known) if *known.get() == pod => false,
                known @ (Entry::Occupied(_) | Entry::Vacant(_)) => {
                    known.insert_entry(pod);
                    true
                }
            });
        }
        Event::Delete(told) => {
            pods.send_if_modified(|pods| told.metadata.uid.is_some_and(|uid| pods.remove(&uid).is_some()));
        }
    }
}

fn pod(told: Told) -> Option<(String, Pod)> {
    let Told { metadata: ObjectMeta { namespace, name, uid, annotations, .. }, spec, status, .. } = told;
    let status = status.unwrap_or_default();
    let annotation = annotations.and_then(|mut annotations| annotations.remove(DIND_MTU));
    let pod = Pod {
        namespace: namespace?,
        name: name?,
        annotation: annotation.map(|said| said.chars().take(MOST_CHARACTERS).collect()),
        addresses: status.pod_ips.iter().filter_map(|address| address.ip.parse().ok()).collect(),
        host_network: spec.host_network,
        ended: matches!(status.phase.as_str(), "Succeeded" | "Failed"),
    };
    Some((uid?, pod))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(name: &str, phase: &str, said: Option<&str>) -> Told {
        let annotations = said.map(|said| json!({DIND_MTU: said, "other": "x".repeat(1000)}));
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "ci", "name": name, "uid": format!("uid-{name}"), "annotations": annotations},
            "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": phase, "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "2001:db8::1"}]},
        }))
        .unwrap()
    }

    #[test]
    fn of_a_pod_is_kept_what_matters() {
        let (uid, pod) = pod(told("a", "Running", Some("1450"))).unwrap();
        let addresses = vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let expected = Pod {
            namespace: "ci".into(),
            name: "a".into(),
            annotation: Some("1450".into()),
            addresses,
            host_network: false,
            ended: false,
        };
        assert_eq!((uid.as_str(), pod), ("uid-a", expected));
    }

    #[test]
    fn a_pod_that_has_not_started_has_no_addresses_and_one_that_is_over_has_ended() {
        let new =
            json!({"metadata": {"namespace": "ci", "name": "a", "uid": "1"}, "spec": {"hostNetwork": true}});
        let (_, new) = pod(serde_json::from_value(new).unwrap()).unwrap();
        assert_eq!((new.addresses, new.host_network, new.ended), (Vec::new(), true, false));
        for phase in ["Succeeded", "Failed"] {
            assert!(pod(told("a", phase, None)).unwrap().1.ended);
        }
    }

    #[test]
    fn a_list_replaces_all_at_once_and_changes_that_do_not_matter_wake_nobody() {
        let (pods, mut seen) = watch::channel(Pods::new());
        let mut listed = Pods::new();
        let mut hear = |event| {
            handle(event, &mut listed, &pods);
            let is_news = seen.has_changed().unwrap();
            (is_news, seen.borrow_and_update().keys().cloned().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(hear(Event::Init), (false, String::new()));
        assert_eq!(hear(Event::InitApply(told("a", "Running", None))), (false, String::new()));
        assert_eq!(hear(Event::InitDone), (true, "uid-a".into()));
        assert_eq!(hear(Event::Apply(told("a", "Running", None))), (false, "uid-a".into()));
        assert_eq!(hear(Event::Apply(told("b", "Pending", None))), (true, "uid-a uid-b".into()));
        assert_eq!(hear(Event::Delete(told("a", "Running", None))), (true, "uid-b".into()));
        assert_eq!(hear(Event::Init), (false, "uid-b".into()), "the last ones stay while a list is read");
        assert_eq!(hear(Event::InitApply(told("c", "Running", None))), (false, "uid-b".into()));
        assert_eq!(hear(Event::InitDone), (true, "uid-c".into()));
    }
}
