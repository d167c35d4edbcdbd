//! Links and clamps kept right where somebody opted in, beside the loop and never in the way of it.
//!
//! ```text
//!  surveys ──┐             ┌──► plan of each opted-in namespace ──► record ──► write, read back
//!            ├──► planner ─┤
//!  opt-ins ──┘             └──► orders ──► guards, one a namespace: link told ──► record ──► write
//! ```
//!
//! The planner follows surveys and makes right whatever is not. The guards have a thread of their own, so that a new link
//! is answered at once, whatever a survey takes.

mod guard;
mod guards;
mod planner;
mod reach;
mod touches;
mod undone;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{debug, error, info, warn};

pub use self::guards::{Contested, Guards, News, Order};
pub use self::planner::{Known, Planner, Policy};
use self::touches::Touches;
use super::clock;
use crate::discovery::opt_in::OptIns;
use crate::discovery::survey::Survey;
use crate::domain::error::with_sources;
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::Permission;
use crate::publish::metrics::Metrics;
use crate::publish::tune::{Claim, Ledger, RecordError, requirements};

/// Tuning under way. Dropped, it ends; what is tuned stays.
#[derive(Debug)]
pub(super) struct Tuner {
    known: watch::Sender<Option<Known>>,
    tuned: watch::Receiver<BTreeSet<u64>>,
    news: News,
    following: JoinHandle<()>,
    has_ended: bool,
}

impl Tuner {
    /// Begins. `opt_ins` is what pods ask for, where there are any.
    pub(super) fn start(
        policy: Policy,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        opt_ins: Option<watch::Receiver<OptIns>>,
    ) -> Self {
        let (known, latest) = watch::channel(None);
        let (tell_tuned, tuned) = watch::channel(BTreeSet::new());
        let news = News::default();
        let heard = news.clone();
        let follow = async move {
            let policy = permitted(policy);
            let ledger = Arc::new(ledger);
            let claim = match policy.permission {
                Permission::Observe => None,
                Permission::Clamp | Permission::Links => Some(claim(&ledger).await),
            };
            match claim.transpose().and_then(|claim| Following::new(policy, &ledger, metrics, heard, claim)) {
                Ok(following) => following.follow(latest, opt_ins, tell_tuned).await,
                Err(error) => {
                    error!(error = %with_sources(&error), "nothing is tuned until the agent is restarted");
                }
            }
        };
        Self { known, tuned, news, following: tokio::spawn(follow), has_ended: false }
    }

    /// Inodes of the nested network namespaces whose links are kept right.
    pub(super) fn tuned(&self) -> watch::Receiver<BTreeSet<u64>> {
        self.tuned.clone()
    }

    /// Waits until something ended that only a new look can see. Panics if tuning did: nobody would know otherwise.
    pub(super) async fn ended(&mut self) {
        loop {
            tokio::select! {
                () = self.news.ended.notified() => return,
                ended = &mut self.following, if !self.has_ended => {
                    self.has_ended = true;
                    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                }
            }
        }
    }

    /// Has this survey acted upon, unless a later one comes first. No nested link may exceed `maximum`.
    pub(super) fn tell(&self, survey: Arc<Survey>, maximum: LinkMtu) {
        self.known.send_replace(Some(Known { survey, maximum }));
    }
}

impl Drop for Tuner {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Why nothing is tuned.
#[derive(Debug, thiserror::Error)]
enum TunerError {
    #[error("be the one agent that tunes this host")]
    Claim(#[from] RecordError),
    #[error("start the thread that answers new links")]
    Guards(#[from] io::Error),
}

/// What this process can do of it.
fn permitted(policy: Policy) -> Policy {
    if policy.permission == Permission::Observe {
        return policy;
    }
    let missing = requirements::missing();
    if missing.is_empty() {
        return policy;
    }
    warn!(
        tune = policy.permission.name(),
        missing = missing.join(", "),
        "nothing is tuned, for capabilities are missing; what would be is told"
    );
    Policy { permission: Permission::Observe, ..policy }
}

/// Waits for its turn.
async fn claim(ledger: &Arc<Ledger>) -> Result<Claim, TunerError> {
    match ledger.claim() {
        Err(RecordError::Claimed { path }) => {
            warn!(held = %path.display(), "another agent tunes this host: nothing is tuned before it ends");
            let ledger = Arc::clone(ledger);
            joined(spawn_blocking(move || ledger.claim_when_free())).await.map_err(TunerError::from)
        }
        claimed => claimed.map_err(TunerError::from),
    }
}

async fn joined<T>(work: JoinHandle<T>) -> T {
    work.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

struct Following {
    planner: Planner,
    news: News,
    _claim: Option<Claim>,
}

impl Following {
    fn new(
        policy: Policy,
        ledger: &Arc<Ledger>,
        metrics: Arc<Metrics>,
        news: News,
        claim: Option<Claim>,
    ) -> Result<Self, TunerError> {
        let guards = match policy.permission {
            Permission::Observe => None,
            Permission::Clamp | Permission::Links => {
                metrics.tuning_begins();
                let (tune, all_docker) = (policy.permission.name(), policy.all_docker);
                info!(tune, all_docker, "tuning where it is opted in");
                Some(Guards::start(Arc::clone(ledger), Arc::clone(&metrics), news.clone())?)
            }
        };
        let planner = Planner::new(policy, Arc::clone(ledger), metrics, guards, news.clone());
        Ok(Self { planner, news, _claim: claim })
    }

    async fn follow(
        self,
        mut latest: watch::Receiver<Option<Known>>,
        opt_ins: Option<watch::Receiver<OptIns>>,
        tell_tuned: watch::Sender<BTreeSet<u64>>,
    ) {
        let Self { mut planner, news, _claim } = self;
        // Without a cluster nobody else asks, and that is known.
        let (_nobody, nobodys) = watch::channel(OptIns { is_known: true, ..OptIns::default() });
        let mut opt_ins = opt_ins.unwrap_or(nobodys);
        let mut touches = Touches::new(Arc::clone(&news.touched));
        loop {
            tokio::select! {
                changed = latest.changed() => if changed.is_err() { return },
                Ok(()) = opt_ins.changed() => {}
                () = touches.next(clock) => debug!("somebody touched a clamp; all is looked at again"),
            }
            let Some(known) = latest.borrow_and_update().clone() else { continue };
            let opt_ins = opt_ins.borrow_and_update().clone();
            let pass = move || {
                let tuned = planner.pass(&known, opt_ins);
                (planner, tuned)
            };
            let tuned;
            (planner, tuned) = joined(spawn_blocking(pass)).await;
            tell_tuned.send_if_modified(|before| {
                let is_other = *before != tuned;
                *before = tuned;
                is_other
            });
        }
    }
}
