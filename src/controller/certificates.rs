//! The webhook's certificates: a CA of its own in a Secret, replaced long before it ends, known to the API server
//! before anything is served that needs it.
//!
//! The leader [keeps][keep] the Secret and the `caBundle` of the webhook configuration right; every replica
//! [follows][follow()] the Secret. With cert-manager, replicas only follow. Keys are in the Secret and in memory, on no
//! disk. What goes wrong here costs pods nothing: the webhook's failure policy lets them pass.

mod cluster;
mod follow;
mod issue;
mod rotation;
mod x509;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use kube::Client;
use kube::runtime::watcher::watch_object;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{error::Elapsed, sleep, timeout};
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tracing::{info, warn};

use self::cluster::{AUTHORITIES, AUTHORITY_KEY, Cluster, bundles, contents};
pub use self::follow::{Expiry, follow};
use self::rotation::{Rotation, Step, Why};
use crate::controller::watch::pause;
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::{WEBHOOK_CONFIGURATION, WEBHOOK_SECRET};
use crate::publish::kubernetes::serving_key::{CERTIFICATE, KEY};
use crate::publish::kubernetes::watch::heard;

/// Waits are by the monotonic clock; this often they are measured anew by the wall clock, which may have been set.
const RECKON_INTERVAL: Duration = Duration::from_hours(1);
/// A step that takes longer hangs.
const STEP_PATIENCE: Duration = Duration::from_secs(30);
/// Nobody needs more steps in a row; whoever takes them is being undone, and rests.
const STEPS: u32 = 8;
/// Whoever undoes what was written is answered no more often than this.
const REST: Duration = Duration::from_secs(5);
/// After a step that failed; doubled with each that fails again.
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_mins(1);

/// DNS names and addresses by which the API server calls the webhook. At least one.
#[derive(Clone, Debug)]
pub struct Hosts(Vec<ServerName<'static>>);

/// The webhook cannot have such a certificate.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// No name.
    #[error("issue a certificate for no host: name at least one with --webhook-host")]
    None,
    /// Not a name.
    #[error("issue a certificate for {host:?}: --webhook-host takes a DNS name or an IP address")]
    Invalid {
        /// What it was.
        host: String,
        /// Why not.
        source: InvalidDnsNameError,
    },
}

impl Hosts {
    /// Checks that a certificate can be issued for each.
    pub fn new(hosts: impl IntoIterator<Item = String>) -> Result<Self, HostsError> {
        let name = |host: String| {
            ServerName::try_from(host.clone()).map_err(|source| HostsError::Invalid { host, source })
        };
        let names = hosts.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() { Err(HostsError::None) } else { Ok(Self(names)) }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &ServerName<'static>> {
        self.0.iter()
    }
}

/// A step towards right certificates failed. It is tried again.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("read MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION}")]
    ReadConfiguration(#[source] kube::Error),
    #[error("read Secret {WEBHOOK_SECRET}")]
    ReadSecret(#[source] kube::Error),
    #[error("make Secret {WEBHOOK_SECRET}")]
    MakeSecret(#[source] kube::Error),
    #[error("put a CA into Secret {WEBHOOK_SECRET}")]
    PutAuthority(#[source] kube::Error),
    #[error("put a serving certificate into Secret {WEBHOOK_SECRET}")]
    PutServing(#[source] kube::Error),
    #[error("put the caBundle into MutatingWebhookConfiguration {WEBHOOK_CONFIGURATION}")]
    Announce(#[source] kube::Error),
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("take a step within {STEP_PATIENCE:?}")]
    Hangs(#[from] Elapsed),
}

/// While this replica leads, keeps the Secret in the namespace and the `caBundle` of the webhook configuration right.
/// `wall` tells the time. Ends with the sender of `leading`; it may be dropped at any time.
pub async fn keep(
    client: Client,
    namespace: &str,
    hosts: &Hosts,
    mut leading: watch::Receiver<bool>,
    wall: impl Fn() -> Timestamp,
) {
    let cluster = Cluster::new(client, namespace);
    while leading.wait_for(|leads| *leads).await.is_ok() {
        let lost = select! {
            never = lead(&cluster, hosts, &wall) => match never {},
            lost = leading.wait_for(|leads| !*leads) => lost.is_ok(),
        };
        if !lost {
            return;
        }
    }
}

/// Takes step after step. What the watches tell is no more than that it is time to look.
async fn lead(cluster: &Cluster, hosts: &Hosts, wall: &impl Fn() -> Timestamp) -> Infallible {
    let watches = || {
        let secret = watch_object(cluster.secrets.clone(), WEBHOOK_SECRET);
        let configuration = watch_object(cluster.configurations.clone(), WEBHOOK_CONFIGURATION);
        stream::select(
            heard("the webhook's Secret", secret, pause).map(drop),
            heard("the webhook's configuration", configuration, pause).map(drop),
        )
    };
    let mut changes = pin!(watches());
    let mut leader = Leader { cluster, rotation: Rotation::new(hosts.clone()), configuration_is_gone: false };
    let mut backoff = BACKOFF;
    let mut steps = 0;
    loop {
        match timeout(STEP_PATIENCE, leader.step(wall)).await.unwrap_or_else(|hangs| Err(hangs.into())) {
            Ok(None) if steps < STEPS => steps += 1,
            Ok(None) => {
                warn!(again_in = ?REST, "somebody undoes what is written of the webhook's certificates");
                sleep(REST).await;
                steps = 0;
            }
            Ok(Some(until)) => {
                if steps > 0 {
                    sleep(REST).await;
                }
                (backoff, steps) = (BACKOFF, 0);
                let wait = until.duration_since(wall()).try_into().unwrap_or(Duration::ZERO);
                if timeout(RECKON_INTERVAL.min(wait), changes.next()).await.is_err() {
                    changes.set(watches()); // they may hang: see `follow`
                }
            }
            Err(error) => {
                let error = with_sources(&error);
                warn!(error, again_in = ?backoff, "the webhook's certificates could not be looked after");
                sleep(backoff).await;
                backoff = MAX_BACKOFF.min(backoff * 2);
            }
        }
    }
}

struct Leader<'a> {
    cluster: &'a Cluster,
    rotation: Rotation,
    /// It has been said.
    configuration_is_gone: bool,
}

impl Leader<'_> {
    /// Looks at what is there and takes one step, or tells until when there is none to take.
    async fn step(&mut self, wall: &impl Fn() -> Timestamp) -> Result<Option<Timestamp>, KeepError> {
        let Cluster { secrets, configurations } = self.cluster;
        // In this order: see `Rotation::next`.
        let configuration = configurations.get_opt(WEBHOOK_CONFIGURATION).await;
        let configuration = configuration.map_err(KeepError::ReadConfiguration)?;
        let secret = secrets.get_opt(WEBHOOK_SECRET).await.map_err(KeepError::ReadSecret)?;
        let gone = configuration.is_none();
        if gone && !self.configuration_is_gone {
            warn!(
                name = WEBHOOK_CONFIGURATION,
                "there is no MutatingWebhookConfiguration; nobody calls the webhook"
            );
        }
        self.configuration_is_gone = gone;
        let Some(secret) = secret else {
            self.cluster.make_secret().await.map_err(KeepError::MakeSecret)?;
            return Ok(None);
        };

        let now = wall();
        let contents = contents(&secret);
        match self.rotation.next(&contents, configuration.as_ref().map(bundles).as_deref(), now) {
            Step::MakeAuthority { beside, why } => {
                say(why, "CA");
                let made = issue::authority(now)?;
                let bundle = made.certificate + &issue::bundle(&beside);
                let entries = [(AUTHORITIES, bundle), (AUTHORITY_KEY, made.key)];
                self.cluster.put(&secret, entries).await.map_err(KeepError::PutAuthority)?;
            }
            Step::Announce { bundle } => {
                let configuration = configuration.expect("there is one to announce in");
                info!(name = WEBHOOK_CONFIGURATION, "every webhook of the configuration gets the caBundle");
                self.cluster.announce(&configuration, bundle).await.map_err(KeepError::Announce)?;
            }
            Step::Issue { signer, why } => {
                say(why, "serving certificate");
                let made = issue::serving(&signer, self.rotation.hosts(), now)?;
                let entries = [(CERTIFICATE, made.certificate), (KEY, made.key)];
                self.cluster.put(&secret, entries).await.map_err(KeepError::PutServing)?;
            }
            Step::Forget { bundle } => {
                info!("a CA is over and leaves the caBundle");
                self.cluster.put(&secret, [(AUTHORITIES, bundle)]).await.map_err(KeepError::PutAuthority)?;
            }
            Step::Wait { until } => return Ok(Some(until)),
        }
        Ok(None)
    }
}

/// A certificate that cannot be used was the leader's own: somebody should look how that came.
fn say(why: Why, what: &str) {
    match why {
        Why::Unusable => warn!(secret = WEBHOOK_SECRET, "a new {what} is made: {why}"),
        Why::Absent | Why::Due | Why::Rotated => {
            info!(secret = WEBHOOK_SECRET, "a new {what} is made: {why}");
        }
    }
}
