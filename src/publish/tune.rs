//! Carries a plan out, and takes it back, in this process or another one.
//!
//! ```text
//! record what is there ─ write inner first, read each back ─┬─ done
//!                                                           └─ one refuses: what this run wrote is taken back
//! ```
//!
//! The record comes first and is on the disk before the first write, so that whatever kills this process leaves enough
//! to take everything back. What is recorded is restored only to the link that it was of (same namespace, name, kind
//! and other end), and only if that still has what we gave it.

use std::collections::BTreeSet;

use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::survey::Look;
use crate::domain::link::Ifindex;
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::{Change, Turn};
use crate::domain::topology::NetnsIx;
use crate::kernel::clamp::ClampError;

mod apply;
mod follow;
mod home;
mod ledger;
mod prune;
mod record;
pub mod requirements;
mod revert;
mod step;

pub use apply::apply;
pub use ledger::{Claim, Ledger, Session, TUNE_JSON};
pub use prune::{forget_ended, prune};
pub use record::{NetnsId, Record, RecordError, RecordedClamp, RecordedLink};
pub use revert::{RevertError, Reverted, revert, revert_some};
pub use step::{Done, StepError};

/// A plan that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum TuneError {
    /// The record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A namespace that cannot be entered.
    #[error(
        "write in {called}: no process and no file that is seen here leads into it; run with the host's pids \
         (hostPID, docker run --pid=host) and CAP_SYS_PTRACE. Nothing was changed"
    )]
    NoDoor {
        /// The namespace.
        called: String,
    },
    /// One write was refused.
    #[error("{what}: {}", fate(left))]
    Refused {
        /// Which.
        what: String,
        /// What could not be taken back either, and why.
        left: Vec<String>,
        /// Why.
        source: StepError,
    },
}

impl TuneError {
    /// Whether it was a clamp that this kernel cannot do. Links alone may do.
    pub fn lacks_nftables(&self) -> bool {
        matches!(self, Self::Refused { source: StepError::Clamp(ClampError::Unsupported { .. }), .. })
    }
}

fn fate(left: &[String]) -> String {
    if left.is_empty() {
        "refused, and what was written before is taken back".to_owned()
    } else {
        format!("refused, and this could not be taken back: {}; try --revert", left.join("; "))
    }
}

/// One thing to write, named such that another process finds it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A link's MTU.
    Link {
        /// The link.
        link: RecordedLink,
        /// What it gets.
        to: LinkMtu,
    },
    /// The clamp.
    Clamp(RecordedClamp),
}

impl Step {
    /// In words.
    pub fn what(&self) -> String {
        match self {
            Self::Link { link, to } => format!("give {} of {} the MTU {to}", link.name, link.called),
            Self::Clamp(clamp) => format!("clamp TCP in {}", clamp.called),
        }
    }

    /// As something that an agent does by itself.
    #[must_use]
    pub fn live(mut self) -> Self {
        match &mut self {
            Self::Link { link, .. } => link.is_live = true,
            Self::Clamp(clamp) => clamp.is_live = true,
        }
        self
    }

    /// What it writes: a link, or else the clamp of the namespace.
    pub fn at(&self) -> (NetnsId, Option<Ifindex>) {
        match self {
            Self::Link { link, .. } => (link.netns, Some(link.ifindex)),
            Self::Clamp(clamp) => (clamp.netns, None),
        }
    }

    /// Where it writes, told from what may have the same inode later.
    fn home(&mut self) -> (NetnsId, &mut Option<u64>) {
        match self {
            Self::Link { link, .. } => (link.netns, &mut link.cookie),
            Self::Clamp(clamp) => (clamp.netns, &mut clamp.cookie),
        }
    }

    fn turn(&self) -> Turn {
        match self {
            Self::Link { link, .. } => turn(link),
            Self::Clamp(_) => Turn::Clamp,
        }
    }
}

fn turn(link: &RecordedLink) -> Turn {
    if link.kind == "bridge" { Turn::Bridge } else { Turn::Link }
}

/// The changes, each with what identifies its link. One without a way into its namespace is
/// told before anything is written.
pub fn steps(look: &Look, doors: &Doors, changes: &[Change]) -> Result<Vec<Step>, TuneError> {
    changes.iter().filter_map(|change| step(look, doors, *change).transpose()).collect()
}

fn step(look: &Look, doors: &Doors, change: Change) -> Result<Option<Step>, TuneError> {
    let Some(netns) = netns_id(look, doors, change.netns())? else { return Ok(None) };
    let called = called(&look.topology, &look.identities, change.netns());
    Ok(match change {
        Change::LinkMtu { at, from: _, to } => look.topology.link(at).map(|link| {
            let link = RecordedLink::of((netns, called), link, to, |linked| *linked == at.netns);
            Step::Link { link, to }
        }),
        Change::Clamp { netns: _ } => {
            Some(Step::Clamp(RecordedClamp { netns, cookie: None, called, is_live: false }))
        }
    })
}

/// Namespaces of this host that are there and that nothing leads into: what would be written there cannot be.
pub fn without_door(look: &Look, doors: &Doors) -> BTreeSet<NetnsIx> {
    let of_this_host = look.topology.iter().filter(|(_, netns)| netns.place.level().is_some());
    of_this_host.map(|(ix, _)| ix).filter(|netns| doors.may_hide(&look.identities[netns.0])).collect()
}

/// `None` for a namespace that ended since it was looked at.
fn netns_id(look: &Look, doors: &Doors, netns: NetnsIx) -> Result<Option<NetnsId>, TuneError> {
    let identity = &look.identities[netns.0];
    if doors.may_hide(identity) {
        return Err(TuneError::NoDoor { called: called(&look.topology, &look.identities, netns) });
    }
    Ok(doors.to(identity).map(NetnsId::of))
}
