//! Forgets what is gone, so that the record of a pod that lives for months does not grow with its containers, and tells
//! of nothing that another namespace could be taken for.

use std::collections::BTreeMap;

use super::home::{Homes, Whereabouts};
use super::ledger::Ledger;
use super::record::{RecordError, RecordedClamp, RecordedLink};
use crate::discovery::doors::Doors;
use crate::domain::link::Link;
use crate::kernel::RouteSocket;
use crate::kernel::links::Linked;

/// Forgets what was recorded in namespaces that have ended, and joins none to see. Where the kernel gives no cookies,
/// that is to be done while nothing else can have got their inodes.
pub fn forget_ended(ledger: &Ledger, doors: &Doors) -> Result<(), RecordError> {
    let session = ledger.session()?;
    let record = session.load()?;
    let homes = Homes::new(doors, &record);
    let links: Vec<_> = record.links.into_iter().filter(|link| homes.has_ended(link.netns)).collect();
    let clamps: Vec<_> = record.clamps.into_iter().filter(|clamp| homes.has_ended(clamp.netns)).collect();
    session.update(|record| record.forget(&links, &clamps))
}

/// Forgets links that are gone, with or without their namespaces, unless they may be where nothing can be seen. Tells
/// how many are left.
pub fn prune(ledger: &Ledger, doors: &Doors) -> Result<usize, RecordError> {
    let session = ledger.session()?;
    // What is recorded while this looks is not gone.
    let record = session.load()?;
    let homes = Homes::new(doors, &record);
    let mut seen = BTreeMap::new();
    let mut is_gone = |link: &RecordedLink| {
        let home = (link.netns, link.cookie);
        let links = seen.entry(home).or_insert_with(|| links(&homes, link));
        links.as_ref().is_some_and(|links| !links.iter().any(|it| link.is(it) || is_other_end(link, it)))
    };
    let links: Vec<_> = record.links.into_iter().filter(|link| is_gone(link)).collect();
    let is_gone =
        |clamp: &RecordedClamp| matches!(homes.of(clamp.netns, clamp.cookie), Ok(Whereabouts::Gone));
    let clamps: Vec<_> = record.clamps.into_iter().filter(is_gone).collect();
    session.update(|record| record.forget(&links, &clamps))?;
    Ok(session.load()?.links.len())
}

/// What the namespace of a recorded link has: nothing if it ended; `None` if that cannot be told.
fn links(homes: &Homes<'_>, recorded: &RecordedLink) -> Option<Vec<Link<Linked>>> {
    match homes.of(recorded.netns, recorded.cookie).ok()? {
        Whereabouts::Found(door) => door.run(|| RouteSocket::open()?.links(None)).ok()?.ok(),
        Whereabouts::Gone => Some(Vec::new()),
        Whereabouts::Unseen => None,
    }
}

/// The ends of a pair end together: where one is, the other has only moved.
fn is_other_end(recorded: &RecordedLink, link: &Link<Linked>) -> bool {
    recorded.is_whole_pair && recorded.linked == Some(link.ifindex) && recorded.kind == link.kind.name()
}
