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

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{info, warn};

pub use self::guards::{Guards, Order};
pub use self::planner::{Planner, Policy};
use crate::discovery::opt_in::OptIns;
use crate::discovery::survey::Survey;
use crate::domain::permission::Permission;
use crate::publish::metrics::Metrics;
use crate::publish::tune::{Ledger, requirements};

/// Tuning under way. Dropped, it ends; what is tuned stays.
#[derive(Debug)]
pub(super) struct Tuner {
    surveys: watch::Sender<Option<Arc<Survey>>>,
    following: JoinHandle<()>,
}

impl Tuner {
    /// Begins. `opt_ins` is what pods ask for, where there are any.
    pub(super) fn start(
        policy: Policy,
        ledger: Ledger,
        metrics: Arc<Metrics>,
        opt_ins: Option<watch::Receiver<OptIns>>,
    ) -> io::Result<Self> {
        let policy = permitted(policy, &metrics);
        let ledger = Arc::new(ledger);
        let guards = match policy.permission {
            Permission::Links => Some(Guards::start(Arc::clone(&ledger), Arc::clone(&metrics))?),
            Permission::Observe | Permission::Clamp => None,
        };
        let planner = Planner::new(policy, ledger, metrics, guards);
        let (surveys, latest) = watch::channel(None);
        Ok(Self { surveys, following: tokio::spawn(follow(latest, opt_ins, planner)) })
    }

    /// Has this survey acted upon, unless a later one comes first.
    pub(super) fn tell(&self, survey: &Arc<Survey>) {
        self.surveys.send_replace(Some(Arc::clone(survey)));
    }
}

impl Drop for Tuner {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// What this process can do of it.
fn permitted(policy: Policy, metrics: &Metrics) -> Policy {
    if policy.permission == Permission::Observe {
        return policy;
    }
    let missing = requirements::missing();
    if missing.is_empty() {
        metrics.tuning_begins();
        info!(tune = policy.permission.name(), all_docker = policy.all_docker, "tuning where it is opted in");
        return policy;
    }
    warn!(
        tune = policy.permission.name(),
        missing = missing.join(", "),
        "nothing is tuned, for capabilities are missing; what would be is told"
    );
    Policy { permission: Permission::Observe, ..policy }
}

async fn follow(
    mut surveys: watch::Receiver<Option<Arc<Survey>>>,
    opt_ins: Option<watch::Receiver<OptIns>>,
    mut planner: Planner,
) {
    // Without a cluster nobody else asks, and that is known.
    let (_nobody, nobodys) = watch::channel(OptIns { is_known: true, ..OptIns::default() });
    let mut opt_ins = opt_ins.unwrap_or(nobodys);
    loop {
        tokio::select! {
            changed = surveys.changed() => if changed.is_err() { return },
            Ok(()) = opt_ins.changed() => {}
        }
        let Some(survey) = surveys.borrow_and_update().clone() else { continue };
        let opt_ins = opt_ins.borrow_and_update().clone();
        let pass = spawn_blocking(move || {
            planner.pass(&survey, &opt_ins);
            planner
        });
        planner = pass.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
}
