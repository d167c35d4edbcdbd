//! The Kubernetes namespaces that say how far their pods may be tuned: that one label of each.

use k8s_openapi::api::core::v1 as core;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::watch;

use super::backoff::Backoff;
use super::follow::{Keeper, Known};
use crate::publish::kubernetes::names::TUNE;
use crate::publish::kubernetes::watch::heard;

/// What a namespace's label says, by the namespace's name.
pub(super) type Labels = Known<String>;

/// Their metadata alone: the API server sends nothing else.
type Told = PartialObjectMeta<core::Namespace>;

/// Follows them for ever.
pub(super) async fn follow(client: Client, node_name: String, labels: watch::Sender<Labels>) {
    let api: Api<Told> = Api::all(client);
    let config =
        watcher::Config { page_size: None, ..watcher::Config::default().labels(TUNE).any_semantic() };
    let mut backoff = Backoff::new(&node_name, "namespaces");
    let events =
        heard("namespaces that opt in to tuning", watcher(api, config), |failures| backoff.wait(failures));
    Keeper::new(label, labels).follow(events).await;
}

fn label(told: Told) -> Option<(String, String)> {
    let mut labels = told.metadata.labels.unwrap_or_default();
    Some((told.metadata.name?, labels.remove(TUNE).unwrap_or_default()))
}
