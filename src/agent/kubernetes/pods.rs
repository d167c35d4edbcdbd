//! The pods of this node, as the API server last told them: little of each.

use k8s_openapi::api::core::v1 as core;
use kube::api::ObjectMeta;
use kube::core::{ApiResource, Object};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::watch;

use super::backoff::Backoff;
use super::follow::{Keeper, Known};
use crate::publish::kubernetes::names::{BOUND, DIND_MTU, STATUS, TUNE};
use crate::publish::kubernetes::node_mtu::MOST_CHARACTERS;
use crate::publish::kubernetes::node_mtu::pods::Pod;
use crate::publish::kubernetes::watch::heard;

/// The pods of this node, by their uid.
pub(super) type KnownPods = Known<Pod>;

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

/// Follows the pods of a node for ever.
pub(super) async fn follow(client: Client, node_name: String, pods: watch::Sender<KnownPods>) {
    let api: Api<Told> = Api::all_with(client, &ApiResource::erase::<core::Pod>(&()));
    // From the server's cache, which knows pods by their node. A list in pages is read from etcd by most servers, through
    // all pods of the cluster, by each of thousands of agents; those of one node are few enough for one answer.
    let selector = format!("spec.nodeName={node_name}");
    let config =
        watcher::Config { page_size: None, ..watcher::Config::default().fields(&selector).any_semantic() };
    let mut backoff = Backoff::new(&node_name, "pods");
    let events = heard("pods of this node", watcher(api, config), |failures| backoff.wait(failures));
    Keeper::new(pod, pods).follow(events).await;
}

fn pod(told: Told) -> Option<(String, Pod)> {
    let Told { metadata: ObjectMeta { namespace, name, uid, annotations, .. }, spec, status, .. } = told;
    let status = status.unwrap_or_default();
    let mut annotations = annotations.unwrap_or_default();
    // A pod that the webhook did not look into, and that still says what its Binding brought: nothing asked for it.
    let is_unasked = !annotations.contains_key(STATUS)
        && annotations.get(BOUND).is_some_and(|bound| annotations.get(DIND_MTU) == Some(bound));
    let mut said = |name| annotations.remove(name).map(|said| said.chars().take(MOST_CHARACTERS).collect());
    let pod = Pod {
        namespace: namespace?,
        name: name?,
        annotation: said(DIND_MTU).filter(|_| !is_unasked),
        tune: said(TUNE),
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
        let annotations = said.map(|said| json!({DIND_MTU: said, TUNE: "links", "other": "x".repeat(1000)}));
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
            tune: Some("links".into()),
            addresses,
            host_network: false,
            ended: false,
        };
        assert_eq!((uid.as_str(), pod), ("uid-a", expected));
    }

    #[test]
    fn a_value_that_came_with_the_binding_alone_is_not_kept() {
        for (annotations, kept) in [
            (json!({DIND_MTU: "1450", BOUND: "1450"}), None),
            // The webhook recognised something in it, or it was made with an annotation.
            (
                json!({DIND_MTU: "1450", BOUND: "1450", STATUS: "mtu=1400 from=pools; dind: told"}),
                Some("1450"),
            ),
            // Somebody wrote another one since.
            (json!({DIND_MTU: "1400", BOUND: "1450"}), Some("1400")),
            (json!({DIND_MTU: "1450"}), Some("1450")),
            (json!({BOUND: "1450"}), None),
        ] {
            let mut told = told("a", "Running", None);
            told.metadata.annotations = serde_json::from_value(annotations.clone()).unwrap();
            assert_eq!(pod(told).unwrap().1.annotation.as_deref(), kept, "{annotations}");
        }
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
}
