//! Which replica leads: the one that holds the Lease.
//!
//! The crate renews a lease `grace` before it ends, and says that it is lost when it sees so. It does not see so while
//! the API server is away, when others may: so a request that fails, or takes longer than a part of `grace`, ends the
//! leadership here at once, before anybody else can have it. It comes back with the next renewal.
//!
//! The crate also lets go of a lease that has ended without looking whose it is at that moment, and a process may
//! stand still between any two instructions: [`Leadership::confirm`] asks before each write.
//!
//! It believes the holder's clock, and sleeps until the lease ends by that: if that clock was an hour ahead, for an
//! hour, whatever becomes of the lease. So a replica that does not lead looks anew now and then, and frees a lease that
//! is renewed no more.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use kube_lease_manager::{LeaseCreateMode, LeaseManager, LeaseManagerError, LeaseParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::{clock, wall};
use crate::domain::error::with_sources;
use crate::publish::kubernetes::client::prompt;
use crate::publish::kubernetes::names::LEASE;

/// Until a request for the Lease is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// At the end, for the Lease to be let go of.
const RELEASE: Duration = Duration::from_secs(1);

/// How long things take, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A lease that is not renewed ends after this.
    pub duration_seconds: u32,
    /// It is renewed so long before. Clocks of replicas may differ by half of it.
    pub grace_seconds: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self { duration_seconds: 15, grace_seconds: 5 }
    }
}

impl Timing {
    fn duration(self) -> Duration {
        Duration::from_secs(self.duration_seconds.into())
    }

    fn grace(self) -> Duration {
        Duration::from_secs(self.grace_seconds.into())
    }

    /// For one request: a renewal begins `grace` before the end, so one that fails does so in time.
    fn patience(self) -> Duration {
        self.grace() / 2
    }

    /// How long the holder may still write: others take a lease that has ended by *their* clock.
    fn left(self, lease: &LeaseSpec, identity: &str, now: Timestamp) -> Option<Duration> {
        let renewed =
            lease.renew_time.as_ref().filter(|_| lease.holder_identity.as_deref() == Some(identity))?;
        let age = Duration::try_from(now.duration_since(renewed.0)).unwrap_or_default();
        let end = self.duration().saturating_sub(self.grace() / 2);
        end.checked_sub(age).filter(|left| !left.is_zero())
    }
}

/// This replica in the election.
#[derive(Clone)]
pub struct Election {
    client: Client,
    namespace: String,
    identity: String,
    timing: Timing,
}

/// The Lease was asked before a write, and this replica is not, or not surely, its holder.
#[derive(Debug, thiserror::Error)]
pub enum Unconfirmed {
    /// Somebody else holds it, or nobody does.
    #[error("the Lease {LEASE} is held by {holder:?}, or has almost ended: another replica may write")]
    NotHeld {
        /// Who holds it.
        holder: Option<String>,
    },
    /// It could not be read.
    #[error("read the Lease {LEASE} before a write")]
    Unread(#[source] kube::Error),
    /// The API server does not answer in time.
    #[error("read the Lease {LEASE} before a write: no answer in time")]
    Late,
}

impl Election {
    /// For the Lease in `namespace`, as `identity`.
    pub fn new(client: &Client, namespace: &str, identity: &str, timing: Timing) -> Self {
        let client = prompt(client, timing.patience());
        Self { client, namespace: namespace.into(), identity: identity.into(), timing }
    }

    /// Asks whether this replica leads.
    pub fn leadership(&self) -> Leadership {
        let leases = Api::namespaced(self.client.clone(), &self.namespace);
        Leadership { leases, identity: self.identity.clone(), timing: self.timing }
    }

    /// Takes part until `stop`, and lets go of the Lease then. Tells in `leads` whether this replica leads.
    pub async fn run(self, leads: watch::Sender<bool>, stop: impl Future<Output = ()>) {
        let mut manager = None;
        tokio::select! {
            () = self.take_part(&mut manager, &leads) => {}
            () = stop => {}
        }
        let led = leads.send_replace(false);
        if let Some(manager) = manager.filter(|_| led) {
            match timeout(RELEASE, manager.release()).await {
                Ok(Ok(())) => info!("the Lease is free for another replica"),
                Ok(Err(error)) => warn!(error = %with_sources(&error), "the Lease could not be let go of"),
                Err(_elapsed) => warn!("the Lease could not be let go of in time"),
            }
        }
    }

    /// Never ends. Leaves the manager behind, for the Lease to be let go of.
    async fn take_part(&self, kept: &mut Option<LeaseManager>, leads: &watch::Sender<bool>) {
        let (mut is_failing, mut renewed) = (false, None);
        loop {
            // One that met an error would not say again that it leads.
            let followed = match self.manager().await {
                Ok(manager) => self.follow(kept.insert(manager), leads, &mut is_failing).await,
                Err(error) => Err(error),
            };
            let Err(ended) = followed else {
                self.free_if_abandoned(&mut renewed).await;
                continue;
            };
            let (led, error) = (leads.send_replace(false), with_sources(&ended));
            if std::mem::replace(&mut is_failing, true) {
                debug!(error, "the Lease can still not be asked");
            } else if led {
                warn!(error, "the Lease cannot be renewed; nothing is written until it is");
            } else {
                warn!(
                    error,
                    "the Lease can be neither read nor taken; this replica cannot lead until it can"
                );
            }
            sleep(RETRY).await;
        }
    }

    async fn manager(&self) -> Result<LeaseManager, LeaseManagerError> {
        let Timing { duration_seconds, grace_seconds } = self.timing;
        let params = LeaseParams::new(self.identity.clone(), duration_seconds.into(), grace_seconds.into());
        let (client, mode) = (self.client.clone(), LeaseCreateMode::AutoCreate);
        LeaseManager::new(client, LEASE, self.namespace.clone(), params, mode).await
    }

    /// Ends when the Lease cannot be asked, or after a while of not leading.
    async fn follow(
        &self,
        manager: &LeaseManager,
        leads: &watch::Sender<bool>,
        is_failing: &mut bool,
    ) -> Result<(), LeaseManagerError> {
        loop {
            let is_leader = *leads.borrow();
            let changed = tokio::select! {
                changed = manager.changed() => changed,
                // That it was read says little: it may only be asked for when that of another one has ended.
                () = sleep(2 * self.timing.duration()), if !is_leader => {
                    recovered(is_failing);
                    return Ok(());
                }
            };
            match changed {
                Ok(is_leader) => {
                    recovered(is_failing);
                    info!(identity = self.identity, is_leader, "leadership changed");
                    leads.send_replace(is_leader);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Frees the Lease if it is still as it was when this was called before, twice its duration ago. `renewed` is when
    /// it was renewed, by its holder's clock.
    async fn free_if_abandoned(&self, renewed: &mut Option<MicroTime>) {
        let leases = Api::<Lease>::namespaced(self.client.clone(), &self.namespace);
        // Failing is the manager's to tell: it asks next.
        let Ok(lease) = leases.get(LEASE).await else { return };
        let spec = lease.spec.unwrap_or_default();
        let before = std::mem::replace(renewed, spec.renew_time);
        if before.is_none() || before != *renewed {
            return;
        }
        warn!(holder = spec.holder_identity, renewed = ?renewed, "the Lease is not renewed any more, and would end late: it is freed");
        // Unless it was renewed meanwhile.
        let patch = json!({
            "metadata": {"resourceVersion": lease.metadata.resource_version},
            "spec": {"holderIdentity": null, "acquireTime": null, "renewTime": null, "leaseDurationSeconds": null},
        });
        if let Err(error) = leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(patch)).await {
            warn!(error = %with_sources(&error), "the Lease could not be freed");
        }
    }
}

fn recovered(is_failing: &mut bool) {
    if std::mem::take(is_failing) {
        info!("the Lease can be asked again");
    }
}

/// Whether this replica may write now.
#[derive(Clone, Debug)]
pub struct Leadership {
    leases: Api<Lease>,
    identity: String,
    timing: Timing,
}

impl Leadership {
    /// Asks the Lease. Tells until when a write may last.
    pub async fn confirm(&self) -> Result<Instant, Unconfirmed> {
        let asked = clock();
        let answer = timeout(self.timing.patience(), self.leases.get(LEASE)).await;
        let lease = answer.map_err(|_elapsed| Unconfirmed::Late)?.map_err(Unconfirmed::Unread)?;
        let spec = lease.spec.unwrap_or_default();
        match self.timing.left(&spec, &self.identity, wall()) {
            Some(left) => Ok(asked + left),
            None => Err(Unconfirmed::NotHeld { holder: spec.holder_identity }),
        }
    }
}

#[cfg(test)]
mod tests;
