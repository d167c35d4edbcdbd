//! The survey kept true: events, schedules, hysteresis, and what leaves the process because of them.
//!
//! Watch first, then survey, then events: what changes after the watch is open is heard, what changed before is seen.
//!
//! ```text
//!  kernel events ──► damper ──► look ──┐
//!  targets' tasks ─────────────────────┼──► survey ──► steady value ──► host files, metrics, HTTP, Kubernetes
//!  configuration ──────────────────────┘
//! ```

pub mod config;
mod files;
pub mod kubernetes;
mod nested;
mod news;
mod paths;
mod reload;
mod spread;
pub mod tuner;

use std::io;
use std::mem::replace;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking, spawn_local};
use tokio::time::{sleep, sleep_until};
use tracing::{error, info, warn};

use self::config::{Config, ConfigError, Knobs};
use self::files::{Files, Wanted};
use self::kubernetes::{Connection, KubernetesError, Publishing};
use self::nested::Nested;
use self::news::News;
use self::paths::{Paths, ways_out};
use self::reload::{Reload, ReloadError};
use self::tuner::{Policy, Tuner};
use crate::discovery::inventory::InventoryError;
use crate::discovery::path::PathResult;
use crate::discovery::survey::{Look, Sources, Survey, look};
use crate::discovery::unseen::Unseen;
use crate::domain::damper::{Ages, Damper, Reason};
use crate::domain::error::with_sources;
use crate::domain::steady::SteadyMtu;
use crate::kernel::egress::{EgressQuery, egress};
use crate::kernel::host;
use crate::kernel::watch::{Changes, Unheard, Watch, WatchError};
use crate::publish::host_file::{HostFileError, HostFiles};
use crate::publish::http::{BindError, Pages, Server, Status};
use crate::publish::metrics::{Metrics, SurveyReason};
use crate::publish::survey_json;
use crate::publish::tune::Ledger;

/// Where events of other namespaces are not heard, they are walked this often.
const WALK_INTERVAL: Duration = Duration::from_secs(10);
/// A look that takes longer hangs, and so does a loop that turns so much later than it meant to.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);
/// Until it is tried again to listen where metrics are served to others.
const BIND_INTERVAL: Duration = Duration::from_secs(2);

/// What the agent is told at its start.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Flags and environment: they win over the file.
    pub flags: Knobs,
    /// The file, which may change while the agent runs.
    pub file: Option<PathBuf>,
    /// The Kubernetes node that it runs on; `None`: it publishes to this host only.
    pub node_name: Option<String>,
}

/// The agent cannot do its job.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The configuration is refused.
    #[error("take the configuration")]
    Config(#[from] ConfigError),
    /// Its changes cannot be told.
    #[error("follow the configuration")]
    Reload(#[from] ReloadError),
    /// Events cannot be heard.
    #[error("hear the kernel's events")]
    Watch(#[from] WatchError),
    /// The directory of the host files cannot be used.
    #[error("keep the host files")]
    HostFile(#[from] HostFileError),
    /// HTTP cannot be served.
    #[error("serve HTTP")]
    Http(#[from] BindError),
    /// Kubernetes cannot be told anything.
    #[error("publish to Kubernetes")]
    Kubernetes(#[from] KubernetesError),
    /// Stop signals are not to be had.
    #[error("listen for SIGTERM and SIGINT")]
    Signal(#[source] io::Error),
}

/// Runs until SIGTERM or SIGINT. Takes a tokio `LocalSet`.
pub async fn run(told: Told) -> Result<(), AgentError> {
    let reload = Reload::open(told.file.as_deref())?;
    let config = read(&told)?;
    let (watch, unheard) = Watch::open()?;
    let files = HostFiles::open(&config.directory)?;
    let metrics = Arc::new(Metrics::new());
    let status = Arc::new(Status::new(Arc::clone(&metrics), clock() + LOOK_PATIENCE));
    let server = Server::bind(config.listen).await?;
    let connection = match &told.node_name {
        Some(node_name) => Some((node_name.clone(), Connection::infer().await?)),
        None => None,
    };
    let mut stop = [SignalKind::terminate(), SignalKind::interrupt()].map(signal).into_iter();
    let mut next = || stop.next().expect("there are two").map_err(AgentError::Signal);
    let (mut terminate, mut interrupt) = (next()?, next()?);

    info!(listen = %server.address(), directory = %config.directory.display(), "agent started");
    let stopped = watch::Sender::new(false);
    let until_stopped = || {
        let mut stopped = stopped.subscribe();
        async move {
            let _closed_is_stopped_too = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let serving = spawn_local(server.run(Arc::clone(&status), Pages::All, until_stopped()));
    let for_others = |address| spawn_local(serve_others(address, Arc::clone(&status), until_stopped()));
    let serving_others = config.metrics_listen.map(for_others);
    let publishing = connection.map(|(node_name, connection)| {
        info!(node = node_name, "publishing to Kubernetes");
        Publishing::start(connection, &node_name, config.tune, Arc::clone(&metrics), wall)
    });
    let policy = Policy { permission: config.tune, all_docker: config.all_docker };
    let opt_ins = publishing.as_ref().map(Publishing::opt_ins);
    let tuner = Tuner::start(policy, Ledger::new(&config.directory), Arc::clone(&metrics), opt_ins);
    let mut agent =
        Agent::new(told, config, unheard, files, metrics, Arc::clone(&status), (publishing, tuner));
    let ended = tokio::select! {
        result = agent.turn(watch, reload) => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("agent stops");
    stopped.send_replace(true);
    let serving = future::join_all(std::iter::once(serving).chain(serving_others));
    let (_all_give_up_after_a_second, ()) = tokio::join!(serving, agent.files.finish());
    Ok(ended?)
}

/// Serves metrics at an address that others reach, as soon as that is to be had: the node may not have it yet, or the
/// agent before this one may still listen there. What is told elsewhere does not wait for it.
async fn serve_others(address: SocketAddr, status: Arc<Status>, stopped: impl Future<Output = ()>) {
    let mut stopped = pin!(stopped);
    let mut is_told = false;
    let server = loop {
        match Server::bind(address).await {
            Ok(server) => break server,
            Err(error) if !replace(&mut is_told, true) => {
                let error = with_sources(&error);
                warn!(error, "metrics are not served to others; it is tried again");
            }
            Err(_told) => {}
        }
        tokio::select! {
            () = sleep(BIND_INTERVAL) => {}
            () = &mut stopped => return,
        }
    };
    info!(listen = %server.address(), "metrics are served to others");
    server.run(status, Pages::Metrics, stopped).await;
}

fn read(told: &Told) -> Result<Config, ConfigError> {
    let file = told.file.as_deref().map(Knobs::read).transpose()?.unwrap_or_default();
    Config::try_from(told.flags.clone().over(file))
}

type Looking = JoinHandle<(Instant, Instant, Result<Look, InventoryError>)>;

struct Agent {
    told: Told,
    config: Config,
    unheard: Vec<Unheard>,
    files: Files,
    metrics: Arc<Metrics>,
    status: Arc<Status>,
    damper: Damper,
    steady: SteadyMtu,
    paths: Paths,
    nested: Nested,
    look: Option<Arc<Look>>,
    news: News,
    publishing: Option<Publishing>,
    tuner: Tuner,
}

impl Agent {
    fn new(
        told: Told,
        config: Config,
        unheard: Vec<Unheard>,
        files: HostFiles,
        metrics: Arc<Metrics>,
        status: Arc<Status>,
        (publishing, tuner): (Option<Publishing>, Tuner),
    ) -> Self {
        let now = clock();
        let steady = match files.last_good() {
            Ok(Some(mtu)) => SteadyMtu::resume(config.raise_after, mtu, now),
            Ok(None) => SteadyMtu::new(config.raise_after),
            Err(unusable) => {
                warn!(error = %unusable, "the value of an earlier run is of no use");
                SteadyMtu::new(config.raise_after)
            }
        };
        let measured = files.last_measured().unwrap_or_else(|unusable| {
            warn!(error = with_sources(&unusable), "what an earlier run measured is of no use");
            Vec::new()
        });
        metrics.config_taken(wall());
        let files = Files::keep(files, Arc::clone(&metrics));
        let damper = Damper::new(now, ages(&config, &unheard));
        let node_name = told.node_name.clone().unwrap_or_else(host::host_name);
        let nested = Nested::follow(tuner.tuned(), node_name.clone(), wall);
        let (paths, news, look) = (Paths::new(node_name, &measured), News::default(), None);
        Self {
            told,
            config,
            unheard,
            files,
            metrics,
            status,
            damper,
            steady,
            paths,
            nested,
            look,
            news,
            publishing,
            tuner,
        }
    }

    /// The loop. Ends only when events cannot be heard any more.
    async fn turn(&mut self, mut watch: Watch, mut reload: Reload) -> Result<(), WatchError> {
        self.paths.probe(&self.config.targets, self.config.probe_interval);
        let mut looking: Option<(Reason, Looking)> = None;
        loop {
            if looking.is_none()
                && let Some(reason) = self.damper.should_look(clock())
            {
                let sources = Sources { addresses: self.publishing.is_some(), ..Sources::default() };
                looking = Some((reason, spawn_blocking(move || timed_look(&sources))));
            }
            let due = self.poll_timeout(looking.is_some());
            self.status.turned(due + LOOK_PATIENCE);
            tokio::select! {
                changes = watch.next() => match changes {
                    Ok(changes) => self.handle_changes(changes),
                    Err(error) => watch = self.watch_anew(&error)?,
                },
                (reason, (started, ended, look)) = finished(&mut looking) => {
                    self.damper.looked(started, ended);
                    self.handle_look(reason, ended.saturating_duration_since(started), look);
                }
                found = self.paths.next(has_way_out) => {
                    for path in found {
                        match &path.result {
                            PathResult::Searched(outcome) => self.metrics.observe_search(outcome, &path.ignored),
                            PathResult::Failed { .. } => self.metrics.search_failed(),
                            PathResult::NotProbed { .. } => {}
                        }
                    }
                    self.conclude(SurveyReason::Probe, Duration::ZERO);
                }
                () = self.nested.next() => self.conclude(SurveyReason::Probe, Duration::ZERO),
                () = self.tuner.ended() => self.damper.handle_events(clock(), 1),
                () = reload.next() => self.reload(),
                () = sleep_until(due.into()) => self.conclude_if_raised(),
            }
        }
    }

    fn poll_timeout(&self, is_looking: bool) -> Instant {
        let look = if is_looking { Some(clock() + LOOK_PATIENCE) } else { self.damper.poll_timeout() };
        // Nothing due: an hour is as good as never.
        let never = clock() + Duration::from_hours(1);
        [look, self.steady.poll_timeout()].into_iter().flatten().min().unwrap_or(never)
    }

    /// What happened while nobody listened is like an overrun: everything is read again.
    fn watch_anew(&mut self, error: &WatchError) -> Result<Watch, WatchError> {
        warn!(error = %with_sources(error), "events were not heard for a moment");
        let (watch, unheard) = Watch::open()?;
        self.unheard = unheard;
        self.damper.handle_overrun(clock());
        Ok(watch)
    }

    fn handle_changes(&mut self, changes: Changes) {
        let now = clock();
        self.damper.handle_events(now, changes.count());
        self.metrics.count_netlink_events(changes.count().into());
        if changes.overrun {
            self.damper.handle_overrun(now);
            self.metrics.count_netlink_overrun();
            warn!("the kernel dropped events; everything is read again");
        }
    }

    fn handle_look(&mut self, reason: Reason, took: Duration, look: Result<Look, InventoryError>) {
        let mut look = match look {
            Ok(look) => look,
            Err(error) => {
                self.metrics.survey_failed();
                error!(error = %with_sources(&error), "no survey could be made; the last one stays");
                return;
            }
        };
        look.unseen.extend(self.unheard.iter().copied().map(Unseen::from));
        let is_first = self.look.is_none();
        if self.look.as_deref().is_some_and(|earlier| ways_out(&earlier.topology) != ways_out(&look.topology))
        {
            self.paths.look_again();
        }
        self.look = Some(Arc::new(look));
        let reason = match reason {
            _ if is_first => SurveyReason::Start,
            Reason::Event => SurveyReason::Event,
            Reason::Overrun => SurveyReason::Overrun,
            Reason::Timer | Reason::Walk => SurveyReason::Timer,
        };
        self.conclude(reason, took);
    }

    /// Draws the conclusions of what is known now, and tells them.
    fn conclude(&mut self, reason: SurveyReason, took: Duration) {
        let Some(look) = &self.look else { return };
        let paths = self.paths.known();
        let nested_paths = self.nested.paths(look, &paths, self.config.probe_interval);
        let survey = Survey::conclude(Arc::clone(look), paths, self.config.max_dind_mtu, wall());
        let survey = Arc::new(survey.with_nested_paths(nested_paths));
        self.steady.observe(clock(), survey.safe_dind_mtu().map(|safe| safe.mtu));
        self.metrics.observe_survey(&survey, reason, took);
        self.metrics.observe_published(&self.steady);
        if let Some(publishing) = &self.publishing {
            publishing.tell(&survey, &self.steady);
        }
        let document = match survey_json::render(&survey) {
            Ok(document) => document,
            Err(error) => return error!(%error, "the survey cannot be rendered"),
        };
        self.news.tell(&survey, &self.steady);
        self.tuner.tell(Arc::clone(&survey), self.config.max_tuned_mtu);
        self.files.want(Wanted { document: document.clone(), mtu: self.steady.value() });
        self.status.surveyed(document, survey);
    }

    fn conclude_if_raised(&mut self) {
        if self.steady.poll_timeout().is_some_and(|due| due <= clock()) {
            self.conclude(SurveyReason::Timer, Duration::ZERO);
        }
    }

    fn reload(&mut self) {
        match read(&self.told).and_then(|new| self.config.replace(new)) {
            Ok(config) if config == self.config => self.metrics.config_taken(wall()),
            Ok(config) => {
                info!(targets = config.targets.len(), "configuration taken");
                self.config = config;
                self.metrics.config_taken(wall());
                self.damper.set_ages(ages(&self.config, &self.unheard));
                self.steady.set_raise_after(self.config.raise_after);
                self.paths.probe(&self.config.targets, self.config.probe_interval);
                self.conclude(SurveyReason::Config, Duration::ZERO);
            }
            Err(refused) => {
                self.metrics.config_refused();
                error!(error = %with_sources(&refused), "configuration refused; the old one goes on");
            }
        }
    }
}

/// Waits for the look that runs, or for ever if none does.
async fn finished(
    looking: &mut Option<(Reason, Looking)>,
) -> (Reason, (Instant, Instant, Result<Look, InventoryError>)) {
    let Some((reason, look)) = looking else { return std::future::pending().await };
    let (reason, done) = (*reason, look.await);
    *looking = None;
    (reason, done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())))
}

fn timed_look(sources: &Sources) -> (Instant, Instant, Result<Look, InventoryError>) {
    let started = clock();
    let look = look(sources);
    (started, clock(), look)
}

fn ages(config: &Config, unheard: &[Unheard]) -> Ages {
    let walk =
        unheard.contains(&Unheard::OtherNamespaces).then_some(WALK_INTERVAL.min(config.resync_interval));
    Ages { resync: config.resync_interval, walk }
}

fn has_way_out(destination: IpAddr) -> bool {
    egress(EgressQuery { destination, device: None, source: None }).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "the agent's loop is the edge: logic below it takes `now`")]
fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[expect(clippy::disallowed_methods, reason = "surveys are dated here")]
fn wall() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).expect("the year is under 9999")
}
