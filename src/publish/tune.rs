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

use std::path::Path;

use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::survey::Look;
use crate::domain::link::LinkRef;
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::{Change, Turn, taken_back};
use crate::domain::topology::NetnsIx;
use crate::kernel::RouteSocket;

mod record;
mod step;

pub use record::{NetnsId, Record, RecordError, RecordFile, RecordedClamp, RecordedLink, TUNE_JSON};
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
    /// A word for a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Record(_) => "record",
            Self::NoDoor { .. } => "no_door",
            Self::Refused { .. } => "refused",
        }
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

    fn netns(&self) -> NetnsId {
        match self {
            Self::Link { link, .. } => link.netns,
            Self::Clamp(clamp) => clamp.netns,
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
    let recorded = |at: LinkRef<NetnsIx>, from, to| {
        let link = look.topology.link(at)?;
        let (name, kind) = (link.name.clone(), link.kind.name().to_owned());
        let linked = link.linked.map(|linked| linked.ifindex);
        let (called, ifindex) = (called.clone(), link.ifindex);
        let link = RecordedLink { netns, called, ifindex, name, kind, linked, was: from, written: vec![to] };
        Some(Step::Link { link, to })
    };
    Ok(match change {
        Change::LinkMtu { at, from, to } => recorded(at, from, to),
        Change::Clamp { netns: _ } => Some(Step::Clamp(RecordedClamp { netns, called })),
        Change::Unclamp { netns: _ } => None, // what is taken back comes from the record
    })
}

/// `None` for a namespace that ended since it was looked at.
fn netns_id(look: &Look, doors: &Doors, netns: NetnsIx) -> Result<Option<NetnsId>, TuneError> {
    let inode = look.identities[netns.0].inode;
    match inode.and_then(|inode| doors.get(inode)) {
        Some(door) => Ok(Some(NetnsId::of(door))),
        None if inode.is_some() && doors.are_all => Ok(None),
        None => Err(TuneError::NoDoor { called: called(&look.topology, &look.identities, netns) }),
    }
}

/// Carries the steps out in their order, and calls `before` each; what was there is recorded in `directory` first.
pub fn apply(
    directory: &Path,
    doors: &Doors,
    steps: &[Step],
    mut before: impl FnMut(&Step),
) -> Result<(), TuneError> {
    if steps.is_empty() {
        return Ok(());
    }
    let file = RecordFile::lock(directory)?;
    let known = file.load()?;
    let mut record = known.clone();
    prune(&mut record, doors);
    for step in steps {
        match step {
            Step::Link { link, .. } => record.add_link(link.clone()),
            Step::Clamp(clamp) => record.add_clamp(clamp.clone()),
        }
    }
    file.store(&record)?;
    let mut written = Vec::new();
    for step in steps {
        before(step);
        let done = carry_out(doors, step);
        // What was written and then read back as something else is taken back too.
        if needs_taking_back(step, &done) {
            written.push(step);
        }
        if let Err(source) = done {
            let left = take_back(doors, written);
            if left.is_empty() {
                file.store(&known)?;
            }
            return Err(TuneError::Refused { what: step.what(), left, source });
        }
    }
    Ok(())
}

/// A bridge was not written if it followed its ports, and does not follow them back if somebody set it before.
fn needs_taking_back(step: &Step, done: &Result<Done, StepError>) -> bool {
    match step {
        Step::Link { .. } => true,
        Step::Clamp(_) => !matches!(done, Ok(Done::WasSo | Done::Gone)),
    }
}

/// Forgets what is gone, so that the record of a pod that lives for months does not grow with its containers.
fn prune(record: &mut Record, doors: &Doors) {
    record.forget_namespaces(doors);
    let namespaces: Vec<_> = record.links.iter().map(|link| link.netns).collect();
    for netns in namespaces {
        let links =
            netns.door(doors).and_then(|door| door.run(|| RouteSocket::open()?.links(None)).ok()?.ok());
        let Some(links) = links else { continue };
        record.links.retain(|recorded| recorded.netns != netns || links.iter().any(|link| recorded.is(link)));
    }
}

fn carry_out(doors: &Doors, step: &Step) -> Result<Done, StepError> {
    let Some(netns) = step.netns().door(doors) else { return Ok(Done::Gone) };
    match step {
        Step::Link { link, to } => step::lower(netns, link, (link.was, *to)),
        Step::Clamp(_) => step::clamp(netns),
    }
}

/// What this run did, to what was there when it began. Tells what could not be taken back.
fn take_back(doors: &Doors, written: Vec<&Step>) -> Vec<String> {
    let failed = |step: &Step| {
        let netns = step.netns().door(doors)?;
        let restored = match step {
            Step::Link { link, .. } => step::restore(netns, link, link.was),
            Step::Clamp(_) => step::unclamp(netns),
        };
        restored.err().map(|error| format!("{} ({})", step.what(), whole(&error)))
    };
    taken_back(written, |step| step.turn()).into_iter().filter_map(failed).collect()
}

/// One thing that was recorded, and what came of taking it back.
#[derive(Debug)]
pub struct Reverted {
    /// What people called its namespace.
    pub called: String,
    /// The link with the MTU that it had; `None` for the clamp.
    pub link: Option<(String, LinkMtu)>,
    /// What came of it. What was refused, or cannot be reached from here, stays recorded.
    pub outcome: Result<Done, RevertError>,
}

/// Something that was not taken back.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// Refused.
    #[error(transparent)]
    Step(#[from] StepError),
    /// It may be there, where it cannot be seen.
    #[error(
        "no process and no file that is seen here leads into its namespace: run with the host's pids (hostPID, docker \
         run --pid=host) and CAP_SYS_PTRACE"
    )]
    NoDoor,
}

/// Takes back everything that the record in `directory` tells of.
pub fn revert(directory: &Path, doors: &Doors) -> Result<Vec<Reverted>, TuneError> {
    let file = RecordFile::lock(directory)?;
    let record = file.load()?;
    let mut left = record.clone();
    left.links.clear();
    left.clamps.clear();
    let mut reverted = Vec::new();
    for link in taken_back(record.links, turn) {
        let outcome = in_netns(doors, link.netns, |netns| step::restore(netns, &link, link.was));
        let (called, name, was) = (link.called.clone(), link.name.clone(), link.was);
        if outcome.is_err() {
            left.links.insert(0, link); // in the order in which they were written
        }
        reverted.push(Reverted { called, link: Some((name, was)), outcome });
    }
    for clamp in record.clamps {
        let outcome = in_netns(doors, clamp.netns, step::unclamp);
        let called = clamp.called.clone();
        if outcome.is_err() {
            left.clamps.push(clamp);
        }
        reverted.push(Reverted { called, link: None, outcome });
    }
    file.store(&left)?;
    Ok(reverted)
}

/// An error with its causes, in one line.
pub(super) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn in_netns(
    doors: &Doors,
    netns: NetnsId,
    work: impl FnOnce(&crate::kernel::netns::NetnsFile) -> Result<Done, StepError>,
) -> Result<Done, RevertError> {
    match netns.door(doors) {
        Some(netns) => Ok(work(netns)?),
        None if doors.are_all => Ok(Done::Gone),
        None => Err(RevertError::NoDoor),
    }
}
