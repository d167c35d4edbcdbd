//! What the API server tells of objects, for as long as this runs: lists in pages, watches, and begins anew when either
//! ends.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::config::Config;
use super::mirror::Change;
use super::seen::{News, SeenConfigMap, SeenNamespace, SeenNodeMtu, pool};
use super::{clock, wall};
use crate::publish::kubernetes::names::CONFIG_MAP;
use crate::publish::kubernetes::watch::heard;
use crate::publish::metrics::controller::{ControllerMetrics, WatchKind};

/// Objects in one answer.
const PAGE: u32 = 500;
/// Of ConfigMaps: one may have a mebibyte, and not each of that name is ours.
const CONFIG_MAP_PAGE: u32 = 20;
/// Changes that wait for the loop; further ones wait in their connections.
const BACKLOG: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Two replicas burden no API server, and a value that fell while it was away is to be heard soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Follows all kinds. They are followed until the set is dropped.
pub(super) fn follow_all(
    client: &Client,
    config: &Config,
    metrics: &Arc<ControllerMetrics>,
) -> (JoinSet<()>, mpsc::Receiver<News>) {
    let (news, heard) = mpsc::channel(BACKLOG);
    let to = |kind| Listener { kind, news: news.clone(), metrics: Arc::clone(metrics) };
    let paged = || watcher::Config::default().page_size(PAGE);
    let config_maps =
        watcher::Config::default().page_size(CONFIG_MAP_PAGE).fields(&format!("metadata.name={CONFIG_MAP}"));
    let (pool_label, own) = (config.pool_label.clone(), config.namespace.clone());
    let mut tasks = JoinSet::new();

    let reports = watcher(Api::<SeenNodeMtu>::all(client.clone()), paged());
    tasks.spawn(
        to(WatchKind::NodeMtus)
            .follow(reports, News::NodeMtus, |it| (it.name_any(), Some(it.report(clock(), wall())))),
    );
    let nodes = paged().labels(&config.node_selector);
    let nodes = watcher(Api::<PartialObjectMeta<Node>>::all(client.clone()), nodes);
    tasks.spawn(
        to(WatchKind::Nodes)
            .follow(nodes, News::Nodes, move |it| (it.name_any(), Some(pool(&it, &pool_label)))),
    );
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), paged());
    tasks.spawn(
        to(WatchKind::Namespaces)
            .follow(namespaces, News::Namespaces, move |it| (it.name_any(), SeenNamespace::of(&it, &own))),
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
        let events = events.inspect_err(|_| self.metrics.watch_failed(self.kind));
        let mut heard = pin!(heard(self.kind.name(), events, pause));
        while let Some(event) = heard.next().await {
            let change = match event {
                Event::Init => Change::Listing,
                Event::InitApply(object) => {
                    let (name, seen) = see(object);
                    Change::Listed(name, seen)
                }
                Event::InitDone => Change::Complete,
                Event::Apply(object) => {
                    let (name, seen) = see(object);
                    Change::Set(name, seen)
                }
                Event::Delete(object) => Change::Gone(see(object).0),
            };
            if self.news.send(wrap(change)).await.is_err() {
                return;
            }
        }
    }
}

/// Until a watch is tried again after another failure, with so many in a row before it.
pub(super) fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::core::Status;
    use watcher::Error::{NoResourceVersion, WatchError};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_counted_and_what_was_forgotten_too() {
        let (news, mut heard) = mpsc::channel(BACKLOG);
        let metrics = Arc::new(ControllerMetrics::new());
        let forgotten = || WatchError(Box::new(Status { code: 410, ..Status::default() }));
        let events =
            [Err(forgotten()), Err(NoResourceVersion), Ok(Event::Delete("node-1")), Err(forgotten())];
        Listener { kind: WatchKind::Nodes, news, metrics: Arc::clone(&metrics) }
            .follow(stream::iter(events), News::Nodes, |name| (name.to_owned(), None))
            .await;
        assert!(matches!(heard.recv().await, Some(News::Nodes(Change::Gone(name))) if name == "node-1"));
        let counted = "mtu_agent_controller_watch_errors_total{kind=\"nodes\"} 3\n";
        assert!(metrics.render().contains(counted), "{}", metrics.render());
    }

    #[test]
    fn pauses_double_up_to_eight_seconds() {
        let pauses = (0..7).map(|failures| pause(failures).as_millis()).collect::<Vec<_>>();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
