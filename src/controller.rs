//! The values of pools, made of those of nodes, and told to namespaces and pods.
//!
//! Every replica follows what agents report and knows the values; the one that holds the Lease writes.
//!
//! ```text
//!  NodeMtus ────┐
//!  Nodes ───────┤             ┌──► Values ──► webhook (every replica)
//!  Namespaces ──┼──► fold ────┤
//!  ConfigMaps ──┘      ▲      ├──► ConfigMaps, each once a window   ┐ the leader
//!                 resumed at  └──► Events, ten a second             ┘
//!                 the start
//! ```

pub mod certificates;
pub mod config;
pub mod config_maps;
mod events;
pub mod lease;
mod mirror;
mod seen;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::Client;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep_until;
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};

use self::config::{Certificates, Config};
use self::config_maps::{Debounce, State};
use self::events::Findings;
use self::lease::{Election, Leadership, Timing};
use self::mirror::Mirror;
use self::seen::{News, NodeReport, SeenConfigMap, SeenNamespace};
use self::write::{Done, Writer};
use crate::domain::error::with_sources;
use crate::domain::fleet::{Fleet, Pool, Values};
use crate::domain::mtu::LinkMtu;
use crate::publish::http::controller::ControllerStatus;
use crate::publish::http::{BindError, Server};
use crate::publish::kubernetes::client::prompt;
use crate::publish::metrics::controller::{ConfigMapWrite, ControllerMetrics, EventTold};

/// While changes come one after the other, conclusions are drawn this often.
const FOLD_INTERVAL: Duration = Duration::from_millis(100);
/// For an answer to begin.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// A loop that turns so much later than it meant to hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Changes taken at once.
const BATCH: usize = 256;

/// A controller that listens, and works once it is run.
pub struct Controller {
    config: Config,
    timing: Timing,
    client: Client,
    values: tokio::sync::watch::Sender<Arc<Values>>,
    leads: tokio::sync::watch::Sender<bool>,
    keys: tokio::sync::watch::Sender<Option<Arc<CertifiedKey>>>,
    metrics: Arc<ControllerMetrics>,
    server: Server,
}

impl Controller {
    /// Listens. Whatever becomes known goes to `values`.
    pub async fn bind(
        config: Config,
        client: Client,
        values: tokio::sync::watch::Sender<Arc<Values>>,
    ) -> Result<Self, BindError> {
        let server = Server::bind(config.listen).await?;
        let (leads, metrics) = (tokio::sync::watch::Sender::new(false), Arc::new(ControllerMetrics::new()));
        let (timing, keys) = (Timing::default(), tokio::sync::watch::Sender::default());
        Ok(Self { config, timing, client, values, leads, keys, metrics, server })
    }

    /// With other times for the Lease.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        Self { timing, ..self }
    }

    /// Where its pages are.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Whether this replica leads.
    pub fn leads(&self) -> tokio::sync::watch::Receiver<bool> {
        self.leads.subscribe()
    }

    /// What is counted, for others in the same process to add to.
    pub fn metrics(&self) -> &ControllerMetrics {
        &self.metrics
    }

    /// What the webhook is to be served with, once there is one; nothing if there is to be no webhook.
    pub fn key(&self) -> Option<tokio::sync::watch::Receiver<Option<Arc<CertifiedKey>>>> {
        match self.config.certificates {
            Certificates::SelfSigned | Certificates::CertManager => Some(self.keys.subscribe()),
            Certificates::Nobody => None,
        }
    }

    /// Keeps the [`key`](Self::key) right, and has the leader make it unless cert-manager does. Goes on until it is
    /// dropped.
    pub fn certify(&self) -> impl Future<Output = ()> + use<> {
        let Config { namespace, webhook_hosts, certificates: maker, .. } = self.config.clone();
        let client = prompt(&self.client, ANSWER_PATIENCE);
        let (leads, keys, metrics) = (self.leads(), self.keys.clone(), Arc::clone(&self.metrics));
        async move {
            let expiry = tokio::sync::watch::Sender::default();
            let mut ends: tokio::sync::watch::Receiver<certificates::Expiry> = expiry.subscribe();
            let shown = async {
                while ends.changed().await.is_ok() {
                    let certificates::Expiry { serving, authority } = *ends.borrow_and_update();
                    metrics.observe_expiry(serving, authority);
                }
            };
            let followed = certificates::follow(client.clone(), &namespace, &keys, &expiry);
            let kept = async {
                match maker {
                    Certificates::SelfSigned => {
                        certificates::keep(client, &namespace, &webhook_hosts, leads, wall).await;
                    }
                    Certificates::CertManager | Certificates::Nobody => {}
                }
            };
            match maker {
                Certificates::Nobody => std::future::pending().await,
                Certificates::SelfSigned | Certificates::CertManager => {
                    tokio::join!(shown, followed, kept);
                }
            }
        }
    }

    /// Runs until `stop`, then lets go of the Lease; that takes a second at most. Its pages go on until `end`, not
    /// ready any more.
    pub async fn run(self, stop: impl Future<Output = ()>, end: impl Future<Output = ()> + Send + 'static) {
        let key = self.key();
        let Self { config, timing, client, values, leads, metrics, server, .. } = self;
        let client = prompt(&client, ANSWER_PATIENCE);
        let election = Election::new(&client, &config.namespace, &config.identity, timing);
        let status = ControllerStatus::new(Arc::clone(&metrics), clock() + PATIENCE);
        let status = Arc::new(match key {
            Some(key) => status.with_key(key),
            None => status,
        });
        let (stopping, stopped) = oneshot::channel::<()>();
        info!(listen = %server.address(), identity = config.identity, "controller started");
        let serving = tokio::spawn(server.run_controller(Arc::clone(&status), end));
        let leadership = election.leadership();
        let is_leader = leads.subscribe();
        let electing = tokio::spawn(election.run(leads, async { drop(stopped.await) }));
        let (watches, news) = watch::follow_all(&client, &config, &metrics);
        let mut work = Work::new(&config, &client, leadership, values, metrics, Arc::clone(&status));
        tokio::select! {
            () = work.turn(watches, news, is_leader) => {}
            () = stop => {}
        }
        info!("controller stops");
        // Nothing is under way any more when another replica may begin.
        drop(work);
        status.leaves();
        drop(stopping);
        let (_ends_a_second_after_the_end, _gives_up_after_a_second) = tokio::join!(serving, electing);
    }
}

/// What is known, and what is under way because of it.
struct Work {
    metrics: Arc<ControllerMetrics>,
    status: Arc<ControllerStatus>,
    values: tokio::sync::watch::Sender<Arc<Values>>,

    /// The controller's own.
    namespace: String,

    reports: Mirror<NodeReport>,
    nodes: Mirror<String>,
    namespaces: Mirror<SeenNamespace>,
    config_maps: Mirror<SeenConfigMap>,
    is_changed: bool,

    fleet: Fleet,
    /// `None` until all was listed once, and what an earlier run published is taken over.
    folded: Option<Folded>,

    is_leader: bool,
    writer: Writer,
    writes: JoinSet<Done>,
    debounce: Debounce,
    /// When a ConfigMap may have to be written; `None` if nothing is to be.
    next_write: Option<Instant>,
    foreign: BTreeSet<String>,
    findings: Findings,
    /// Since the findings were listed.
    are_pods_changed: bool,
}

/// What was concluded last.
struct Folded {
    at: Instant,
    pools: BTreeMap<String, Pool>,
    values: Arc<Values>,
}

impl Folded {
    fn state<'a>(
        &'a self,
        namespaces: &'a Mirror<SeenNamespace>,
        config_maps: &'a Mirror<SeenConfigMap>,
    ) -> State<'a> {
        let (namespaces, found) = (namespaces.known(), config_maps.known());
        State { values: &self.values, pools: &self.pools, namespaces, found }
    }
}

impl Work {
    fn new(
        config: &Config,
        client: &Client,
        leadership: Leadership,
        values: tokio::sync::watch::Sender<Arc<Values>>,
        metrics: Arc<ControllerMetrics>,
        status: Arc<ControllerStatus>,
    ) -> Self {
        metrics.observe_leader(false);
        Self {
            metrics,
            status,
            values,
            namespace: config.namespace.clone(),
            reports: Mirror::default(),
            nodes: Mirror::default(),
            namespaces: Mirror::default(),
            config_maps: Mirror::default(),
            is_changed: false,
            fleet: Fleet::new(config.raise_after),
            folded: None,
            is_leader: false,
            writer: Writer::new(client, leadership, &config.identity),
            writes: JoinSet::new(),
            debounce: Debounce::new(config.debounce),
            next_write: None,
            foreign: BTreeSet::new(),
            findings: Findings::new(),
            are_pods_changed: true,
        }
    }

    /// The loop. Never ends.
    async fn turn(
        &mut self,
        mut watches: JoinSet<()>,
        mut news: mpsc::Receiver<News>,
        mut is_leader: tokio::sync::watch::Receiver<bool>,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let now = clock();
            self.fold_if_due(now);
            self.write_if_due(now);
            let due = self.poll_timeout(now);
            self.status.turned(due + PATIENCE);
            tokio::select! {
                // Leadership first: when it ends, nothing else is begun.
                biased;
                Ok(()) = is_leader.changed() => {
                    let is_leader = *is_leader.borrow_and_update();
                    self.lead(now, is_leader);
                }
                Some(done) = self.writes.join_next() => self.done(done.unwrap_or_else(resume)),
                _count = news.recv_many(&mut batch, BATCH) => batch.drain(..).for_each(|news| self.take(news)),
                Some(ended) = watches.join_next() => ended.unwrap_or_else(resume),
                () = sleep_until(due.into()) => {}
            }
        }
    }

    fn take(&mut self, news: News) {
        self.is_changed |= match news {
            News::NodeMtus(change) => {
                self.are_pods_changed |= events::may_change(self.reports.known(), &change);
                self.reports.take(change)
            }
            News::Nodes(change) => self.nodes.take(change),
            News::Namespaces(change) => self.namespaces.take(change),
            News::ConfigMaps(change) => self.config_maps.take(change),
        };
    }

    fn is_synced(&self) -> bool {
        let (reports, nodes) = (self.reports.is_synced(), self.nodes.is_synced());
        reports && nodes && self.namespaces.is_synced() && self.config_maps.is_synced()
    }

    fn fold_due(&self) -> Option<Instant> {
        let folded = self.folded.as_ref()?;
        let changed = self.is_changed.then(|| folded.at + FOLD_INTERVAL);
        [changed, self.fleet.poll_timeout()].into_iter().flatten().min()
    }

    fn fold_if_due(&mut self, now: Instant) {
        let is_due = match &self.folded {
            None => self.is_synced(),
            Some(_) => self.fold_due().is_some_and(|due| due <= now),
        };
        if !is_due {
            return;
        }
        if self.folded.is_none() {
            let (found, nodes) = (self.config_maps.known(), self.nodes.known());
            self.fleet.resume(now, config_maps::published(&self.namespace, found, nodes));
            self.status.listed();
            info!(nodes = self.nodes.known().len(), reports = self.reports.known().len(), "all is listed");
        }
        self.fold(now);
    }

    fn fold(&mut self, now: Instant) {
        self.is_changed = false;
        let reports = self.reports.known();
        let report_of = |node: &str| reports.get(node).map(|seen| &seen.report);
        let pools = self.fleet.fold(now, self.nodes.known(), report_of);
        let refused = reports.values().filter(|seen| seen.is_refused).count();
        self.metrics.observe_pools(&pools, refused);
        let of_nodes = reports.iter().filter_map(|(node, seen)| Some((node.clone(), seen.report.dind_mtu?)));
        // Where both tell one, that of the report counts.
        let of_nodes = self.fleet.last_of(self.nodes.known().keys()).chain(of_nodes);
        let named = self.namespaces.known().iter();
        let named = named.filter_map(|(name, seen)| Some((name.clone(), seen.pools.clone()?)));
        let values = Values {
            nodes: of_nodes.collect(),
            pools: pools.iter().filter_map(|(name, pool)| Some((name.clone(), pool.mtu?))).collect(),
            namespaces: named.collect(),
        };
        let before = self.folded.as_ref().map(|folded| &folded.values);
        tell(before.map(|values| &values.pools), &values.pools);
        let values = before.filter(|before| ***before == values).cloned().unwrap_or_else(|| Arc::new(values));
        self.values.send_if_modified(|told| {
            let is_new = !Arc::ptr_eq(told, &values);
            told.clone_from(&values);
            is_new
        });
        self.folded = Some(Folded { at: now, pools, values });
        if self.is_leader {
            self.plan(now);
        }
    }

    /// What is to be done may be something else now.
    fn plan(&mut self, now: Instant) {
        let Some(folded) = &self.folded else { return };
        let state = folded.state(&self.namespaces, &self.config_maps);
        self.debounce.changed(&state);
        let foreign = state.foreign();
        for namespace in foreign.difference(&self.foreign) {
            warn!(namespace, "a ConfigMap dind-mtu is somebody else's: it is left alone");
        }
        self.metrics.observe_foreign(foreign.len());
        self.foreign = foreign;
        self.next_write = Some(now);
        if take(&mut self.are_pods_changed) {
            self.findings.list(self.reports.known());
        }
    }

    fn lead(&mut self, now: Instant, is_leader: bool) {
        self.metrics.observe_leader(is_leader);
        self.is_leader = is_leader;
        if is_leader {
            self.plan(now);
        } else {
            // Dropped, they end.
            self.writes = JoinSet::new();
            self.debounce.abandon();
            self.findings.abandon();
            self.are_pods_changed = true;
            self.next_write = None;
        }
    }

    /// Begins what is due, if this replica leads.
    fn write_if_due(&mut self, now: Instant) {
        let Some(folded) = self.folded.as_ref().filter(|_| self.is_leader) else { return };
        if self.next_write.is_some_and(|due| due <= now) {
            let due = self.debounce.due(now, &folded.state(&self.namespaces, &self.config_maps));
            self.next_write = due.next;
            for (namespace, write) in due.writes {
                self.writes.spawn(self.writer.clone().config_map(namespace, write));
            }
        }
        if let Some((key, told)) = self.findings.due(now, self.reports.known()) {
            self.writes.spawn(self.writer.clone().event(key, told, wall()));
        }
    }

    fn done(&mut self, done: Done) {
        let now = clock();
        match done {
            Done::ConfigMap { namespace, written } => {
                self.debounce.done(&namespace);
                self.next_write = Some(now);
                let result = match written {
                    Ok(found) => {
                        let result =
                            if found.is_some() { ConfigMapWrite::Applied } else { ConfigMapWrite::Deleted };
                        info!(namespace, result = ?result, "ConfigMap written");
                        // The watch will say the same; until then it is not written again.
                        self.config_maps.set(namespace, found);
                        result
                    }
                    Err(error) => {
                        warn!(namespace, error = %with_sources(&error), "a ConfigMap could not be written");
                        error.result()
                    }
                };
                self.metrics.config_map_written(result);
            }
            Done::Event { key, result } => {
                self.metrics.event_told(result);
                match result {
                    EventTold::Created | EventTold::Known | EventTold::Refused => self.findings.told(key),
                    EventTold::Failed => self.findings.failed(now, self.reports.known()),
                }
            }
        }
    }

    fn poll_timeout(&self, now: Instant) -> Instant {
        let leader = [self.next_write, self.findings.poll_timeout()];
        let leader = leader.into_iter().flatten().filter(|_| self.is_leader && self.folded.is_some());
        // Nothing due: an hour is as good as never.
        let never = now + Duration::from_hours(1);
        self.fold_due().into_iter().chain(leader).min().unwrap_or(never)
    }
}

/// Logs what pools got another value.
fn tell(before: Option<&BTreeMap<String, LinkMtu>>, values: &BTreeMap<String, LinkMtu>) {
    for (pool, mtu) in values {
        let was = before.and_then(|before| before.get(pool)).copied();
        if was != Some(*mtu) {
            info!(pool, mtu = mtu.get(), was = was.map(LinkMtu::get), "dind MTU of a pool changed");
        }
    }
}

fn resume<T>(ended: tokio::task::JoinError) -> T {
    std::panic::resume_unwind(ended.into_panic())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the controller's loop is the edge: logic below it takes `now`"
)]
fn clock() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "other machines' times are compared here, and Events are dated"
)]
fn wall() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).expect("the year is under 9999")
}
