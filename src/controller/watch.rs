//! What the API server tells of objects, for as long as this runs: lists in pages, watches, and begins anew with
//! growing pauses when either ends.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::mirror::Change;
use super::seen::{News, SeenConfigMap, SeenNamespace, SeenNodeMtu, pool};
use super::{clock, wall};
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::CONFIG_MAP;
use crate::publish::metrics::controller::{ControllerMetrics, WatchKind};

/// Objects in one answer.
const PAGE: u32 = 500;
/// Of ConfigMaps: one may have a mebibyte, and not each of that name is ours.
const CONFIG_MAP_PAGE: u32 = 20;
/// Changes that wait for the loop; further ones wait in their connections.
const BACKLOG: usize = 256;

/// Follows all kinds. They are followed until the set is dropped.
pub(super) fn follow_all(
    client: &Client,
    pool_label: &str,
    metrics: &Arc<ControllerMetrics>,
) -> (JoinSet<()>, mpsc::Receiver<News>) {
    let (news, heard) = mpsc::channel(BACKLOG);
    let to = |kind| Listener { kind, news: news.clone(), metrics: Arc::clone(metrics) };
    let paged = || watcher::Config::default().page_size(PAGE);
    let config_maps =
        watcher::Config::default().page_size(CONFIG_MAP_PAGE).fields(&format!("metadata.name={CONFIG_MAP}"));
    let pool_label = pool_label.to_owned();
    let mut tasks = JoinSet::new();

    let reports = watcher(Api::<SeenNodeMtu>::all(client.clone()), paged());
    tasks.spawn(
        to(WatchKind::NodeMtus)
            .follow(reports, News::NodeMtus, |it| (it.name_any(), Some(it.report(clock(), wall())))),
    );
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), paged());
    tasks.spawn(
        to(WatchKind::Nodes)
            .follow(nodes, News::Nodes, move |it| (it.name_any(), Some(pool(&it, &pool_label)))),
    );
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), paged());
    tasks.spawn(
        to(WatchKind::Namespaces)
            .follow(namespaces, News::Namespaces, |it| (it.name_any(), SeenNamespace::of(&it))),
    );
    let config_maps = watcher(Api::<ConfigMap>::all(client.clone()), config_maps);
    tasks.spawn(to(WatchKind::ConfigMaps).follow(config_maps, News::ConfigMaps, |it| {
        (it.namespace().unwrap_or_default(), Some(SeenConfigMap::of(it)))
    }));
    (tasks, heard)
}

/// Where what is heard of one kind goes.
struct Listener {
    kind: WatchKind,
    news: mpsc::Sender<News>,
    metrics: Arc<ControllerMetrics>,
}

impl Listener {
    /// Ends when nobody listens any more.
    async fn follow<K, V>(
        self,
        events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
        wrap: fn(Change<V>) -> News,
        see: impl Fn(K) -> (String, Option<V>),
    ) {
        let mut events = pin!(events.default_backoff());
        while let Some(event) = events.next().await {
            let change = match event {
                Ok(Event::Init) => Change::Listing,
                Ok(Event::InitApply(object)) => {
                    let (name, seen) = see(object);
                    Change::Listed(name, seen)
                }
                Ok(Event::InitDone) => Change::Complete,
                Ok(Event::Apply(object)) => {
                    let (name, seen) = see(object);
                    Change::Set(name, seen)
                }
                Ok(Event::Delete(object)) => Change::Gone(see(object).0),
                Err(error) => {
                    self.failed(&error);
                    continue;
                }
            };
            if self.news.send(wrap(change)).await.is_err() {
                return;
            }
        }
    }

    fn failed(&self, error: &watcher::Error) {
        let kind = self.kind.name();
        self.metrics.watch_failed(self.kind);
        if is_expected(error) {
            debug!(kind, error = %with_sources(error), "a watch ended; all is listed again");
        } else {
            warn!(kind, error = %with_sources(error), "a watch failed; what was known stays until it is back");
        }
    }
}

/// A watch that lasted so long that the API server has forgotten where it began.
fn is_expected(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
