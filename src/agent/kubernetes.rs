//! What the agent tells Kubernetes, and hears of it, beside its loop and never in the way of it.
//!
//! ```text
//!  surveys ──► latest report ──┐
//!  pods of the node (watch) ─┬─┴──► NodeMtu's status ──► pace ──► apply
//!  namespaces (watch) ───────┴────► opt-ins to tuning
//! ```
//!
//! Nothing of the API server is needed to start, and nothing that it does or fails to do reaches the loop: a report
//! replaces the one before, whether that was written or not.

mod backoff;
mod follow;
mod namespaces;
mod opt_ins;
mod owner;
mod pace;
mod pods;
mod publisher;
mod writer;

use std::sync::Arc;

use jiff::Timestamp;
use kube::config::AuthInfo;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::crypto::ring;

use self::follow::Known;
use self::owner::Owner;
use self::publisher::Publisher;
use self::writer::Writer;
use crate::agent::spread::seed;
use crate::discovery::opt_in::OptIns;
use crate::discovery::survey::Survey;
use crate::domain::permission::Permission;
use crate::domain::steady::SteadyMtu;
use crate::publish::kubernetes::client::{named, prompt};
use crate::publish::kubernetes::node_mtu::report::NodeReport;
use crate::publish::metrics::Metrics;

/// It cannot be told which API server to talk to, or how. The API server itself is not asked.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// There is no kubeconfig, and this is no pod with a token.
    #[error("find the API server: give KUBECONFIG, or run in a pod with a token, or with --standalone")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// A certificate or key cannot be used.
    #[error("make a client of the API server")]
    Client(#[source] Box<kube::Error>),
}

/// How to reach the API server, and as whom.
pub struct Connection {
    /// Which retries nothing by itself: a retry would go on with a value that is old by then.
    pub client: Client,
    /// Whose token says by which Node what is written is owned.
    pub auth: AuthInfo,
}

impl Connection {
    /// As kubectl finds it: `KUBECONFIG`, `~/.kube/config`, or the files of a pod.
    pub async fn infer() -> Result<Self, KubernetesError> {
        // Only one is compiled in; should another crate bring a second one, rustls would not know which to take.
        let _was_installed_before = ring::default_provider().install_default();
        let config = Config::infer().await.map_err(|error| KubernetesError::Config(Box::new(error)))?;
        let mut config = named(config);
        config.default_retry = false;
        config.connect_timeout = Some(writer::PATIENCE);
        let auth = config.auth_info.clone();
        let client = Client::try_from(config).map_err(|error| KubernetesError::Client(Box::new(error)))?;
        Ok(Self { client, auth })
    }
}

/// Publishing under way. Dropped, it ends, whatever hangs; what is written stays.
#[derive(Debug)]
pub struct Publishing {
    reports: watch::Sender<Option<Arc<NodeReport>>>,
    opt_ins: watch::Receiver<OptIns>,
    _tasks: JoinSet<()>,
}

impl Publishing {
    /// Begins; `wall` dates what is told. What namespaces say of tuning is asked for only if `tune` lets anything be
    /// tuned: it takes a permission that no other agent needs.
    pub fn start(
        connection: Connection,
        node_name: &str,
        tune: Permission,
        metrics: Arc<Metrics>,
        wall: fn() -> Timestamp,
    ) -> Self {
        let Connection { client, auth } = connection;
        let (reports, latest) = watch::channel(None);
        let (pods, known_pods) = watch::channel(Known::default());
        let (asked, opt_ins) = watch::channel(OptIns::default());
        let writer = Writer::new(client.clone(), Owner::new(auth, node_name));
        let publisher = Publisher::new(writer, node_name, metrics, wall);
        let watched = prompt(&client, writer::PATIENCE);
        let mut tasks = JoinSet::new();
        tasks.spawn(publisher.run(latest, known_pods.clone()));
        let labels = (tune > Permission::Observe).then(|| {
            let (labels, known) = watch::channel(Known::default());
            let follow = namespaces::follow(watched.clone(), node_name.to_owned(), labels);
            tasks.spawn(apart(node_name, "namespaces", follow));
            known
        });
        tasks.spawn(opt_ins::keep(known_pods, labels, asked));
        let follow = pods::follow(watched, node_name.to_owned(), pods);
        tasks.spawn(apart(node_name, "pods", follow));
        Self { reports, opt_ins, _tasks: tasks }
    }

    /// How far pods of this node ask to be tuned. While nobody answers, the last ones stay.
    pub fn opt_ins(&self) -> watch::Receiver<OptIns> {
        self.opt_ins.clone()
    }

    /// Has this published, if it is news.
    pub fn tell(&self, survey: &Survey, steady: &SteadyMtu) {
        let report = NodeReport::new(survey, steady);
        self.reports.send_if_modified(|told| {
            let is_news = told.as_deref() != Some(&report);
            if is_news {
                *told = Some(Arc::new(report));
            }
            is_news
        });
    }
}

/// Begins within ten seconds, apart from other nodes.
fn apart<F: Future<Output = ()>>(
    node_name: &str,
    purpose: &str,
    task: F,
) -> impl Future<Output = ()> + use<F> {
    let wait = pace::SPREAD.mul_f64(seed(node_name, purpose));
    async move {
        sleep(wait).await;
        task.await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the tasks are edges: what paces them takes `now`")]
fn clock() -> Instant {
    Instant::now()
}
