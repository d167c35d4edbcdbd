//! Gives back what the record tells of, in any process, as long as the links are there.

use super::follow::follow;
use super::home::{Homes, Whereabouts};
use super::ledger::Ledger;
use super::record::{RecordedClamp, RecordedLink};
use super::step::{self, Done, StepError};
use super::{TuneError, turn};
use crate::discovery::doors::Doors;
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::taken_back;

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
        "no process and no file that is seen here leads into its namespace, and not all are seen: run with the host's \
         pids (hostPID, docker run --pid=host) and CAP_SYS_PTRACE"
    )]
    NoDoor,
}

/// Takes back everything that is recorded.
pub fn revert(ledger: &Ledger, doors: &Doors) -> Result<Vec<Reverted>, TuneError> {
    revert_some(ledger, doors, |_| true, |_| true)
}

/// Takes back what is recorded of these links and clamps.
pub fn revert_some(
    ledger: &Ledger,
    doors: &Doors,
    has_link: impl Fn(&RecordedLink) -> bool,
    has_clamp: impl Fn(&RecordedClamp) -> bool,
) -> Result<Vec<Reverted>, TuneError> {
    let session = ledger.session()?;
    let record = session.load()?;
    let homes = Homes::new(doors, &record);
    let (mut links, mut clamps, mut reverted) = (Vec::new(), Vec::new(), Vec::new());
    for link in taken_back(record.links, turn).into_iter().filter(has_link) {
        let outcome = restore(&homes, &link);
        let (called, shown) = (link.called.clone(), Some((link.name.clone(), link.was)));
        links.extend(outcome.is_ok().then_some(link));
        reverted.push(Reverted { called, link: shown, outcome });
    }
    for clamp in record.clamps.into_iter().filter(has_clamp) {
        let outcome = unclamp(&homes, &clamp);
        let called = clamp.called.clone();
        clamps.extend(outcome.is_ok().then_some(clamp));
        reverted.push(Reverted { called, link: None, outcome });
    }
    session.update(|record| record.forget(&links, &clamps))?;
    Ok(reverted)
}

pub(super) fn restore(homes: &Homes<'_>, link: &RecordedLink) -> Result<Done, RevertError> {
    match follow(homes, link)? {
        Whereabouts::Found(at) => Ok(step::restore(&at, link)?),
        Whereabouts::Gone => Ok(Done::Gone),
        Whereabouts::Unseen => Err(RevertError::NoDoor),
    }
}

pub(super) fn unclamp(homes: &Homes<'_>, clamp: &RecordedClamp) -> Result<Done, RevertError> {
    match homes.of(clamp.netns, clamp.cookie).map_err(StepError::Netns)? {
        Whereabouts::Found(netns) => Ok(step::unclamp(netns)?),
        Whereabouts::Gone => Ok(Done::Gone),
        Whereabouts::Unseen => Err(RevertError::NoDoor),
    }
}
