//! What the API server tells of objects, for as long as this runs: lists in pages, watches, and begins anew when either
//! ends.

use std::mem::{replace, take};
use std::pin::pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::mirror::Change;
use super::pauses::Pauses;
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
        let mut events = pin!(events);
        let mut pauses = Pauses::new();
        let mut is_failing = false;
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
                    self.metrics.watch_failed(self.kind);
                    let pause = if is_forgotten(&error) {
                        debug!(kind = self.kind.name(), "a watch ended; all is listed again");
                        pauses.after_forgetting(clock())
                    } else {
                        self.tell(&error, replace(&mut is_failing, true));
                        pauses.after_failure(clock())
                    };
                    sleep(pause).await;
                    continue;
                }
            };
            let is_answered = matches!(change, Change::Complete | Change::Set(..) | Change::Gone(_));
            if is_answered && take(&mut is_failing) {
                info!(kind = self.kind.name(), "changes are heard again");
            }
            if self.news.send(wrap(change)).await.is_err() {
                return;
            }
        }
    }

    /// Once for each time that it fails; it is tried every few seconds.
    fn tell(&self, error: &watcher::Error, is_known: bool) {
        let (kind, error) = (self.kind.name(), with_sources(error));
        if is_known {
            debug!(kind, error, "a watch failed again");
        } else {
            warn!(kind, error, "a watch failed; what was known stays, and it is tried again");
        }
    }
}

/// A watch that lasted so long that the API server has forgotten where it began.
pub(super) fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}
