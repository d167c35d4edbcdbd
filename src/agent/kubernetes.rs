//! What the agent tells Kubernetes, and hears of it, beside its loop and never in the way of it.
//!
//! ```text
//!  surveys ──► latest report ──┐
//!  pods of the node (watch) ───┴──► NodeMtu's status ──► pace ──► apply
//! ```
//!
//! Nothing of the API server is needed to start, and nothing that it does or fails to do reaches the loop: a report
//! replaces the one before, whether that was written or not.

mod backoff;
mod owner;
mod pace;
mod pods;
mod publisher;
mod writer;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::crypto::ring;
use tracing::warn;

use self::owner::owner;
use self::publisher::Publisher;
use self::writer::Writer;
use crate::agent::spread::seed;
use crate::discovery::survey::Survey;
use crate::domain::steady::SteadyMtu;
use crate::publish::kubernetes::client::named;
use crate::publish::kubernetes::node_mtu::pods::Pods;
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
    /// Who owns what is written.
    pub owner: Option<OwnerReference>,
}

impl Connection {
    /// As kubectl finds it: `KUBECONFIG`, `~/.kube/config`, or the files of a pod.
    pub async fn infer(node_name: &str) -> Result<Self, KubernetesError> {
        // Only one is compiled in; should another crate bring a second one, rustls would not know which to take.
        let _was_installed_before = ring::default_provider().install_default();
        let config = Config::infer().await.map_err(|error| KubernetesError::Config(Box::new(error)))?;
        let mut config = named(config);
        config.default_retry = false;
        config.connect_timeout = Some(writer::PATIENCE);
        let owner = owner(&config.auth_info, node_name);
        let owner = owner.inspect_err(|error| {
            let error = crate::domain::error::with_sources(error);
            warn!(%error, "the NodeMtu has no owner, and stays when its node goes");
        });
        let client = Client::try_from(config).map_err(|error| KubernetesError::Client(Box::new(error)))?;
        Ok(Self { client, owner: owner.ok() })
    }
}

/// Publishing under way. Dropped, it ends, whatever hangs; what is written stays.
#[derive(Debug)]
pub struct Publishing {
    reports: watch::Sender<Option<Arc<NodeReport>>>,
    _tasks: JoinSet<()>,
}

impl Publishing {
    /// Begins; `wall` dates what is told.
    pub fn start(
        connection: Connection,
        node_name: &str,
        metrics: Arc<Metrics>,
        wall: fn() -> Timestamp,
    ) -> Self {
        let Connection { client, owner } = connection;
        let (reports, latest) = watch::channel(None);
        let (pods, known) = watch::channel(Pods::new());
        let writer = Writer::new(client.clone(), node_name, owner);
        let publisher = Publisher::new(writer, node_name, metrics, wall);
        let name = node_name.to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(publisher.run(latest, known));
        tasks.spawn(async move {
            sleep(pace::SPREAD.mul_f64(seed(&name, "pods"))).await;
            pods::follow(client, name, pods).await;
        });
        Self { reports, _tasks: tasks }
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

#[expect(clippy::disallowed_methods, reason = "both tasks are edges: what paces them takes `now`")]
fn clock() -> Instant {
    Instant::now()
}
