//! Forgets what is gone, so that the record of a pod that lives for months does not grow with its containers.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use super::record::{NetnsId, RecordError, RecordedLink};
use crate::discovery::doors::Doors;
use crate::domain::link::Link;
use crate::kernel::RouteSocket;
use crate::kernel::links::Linked;

/// Forgets links that are gone, with or without their namespaces, unless they may be where nothing can be seen. Tells
/// how many are left.
pub fn prune(ledger: &Ledger, doors: &Doors) -> Result<usize, RecordError> {
    let session = ledger.session()?;
    // What is recorded while this looks is not gone.
    let record = session.load()?;
    let mut seen: BTreeMap<NetnsId, Option<Vec<Link<Linked>>>> = BTreeMap::new();
    let mut is_gone = |link: &RecordedLink| {
        let links = seen.entry(link.netns).or_insert_with(|| links(doors, link.netns));
        links.as_ref().is_some_and(|links| !links.iter().any(|it| link.is(it) || is_other_end(link, it)))
    };
    let links: Vec<_> = record.links.into_iter().filter(|link| is_gone(link)).collect();
    let is_gone = |netns: NetnsId| doors.are_all && netns.door(doors).is_none();
    let clamps: Vec<_> = record.clamps.into_iter().filter(|clamp| is_gone(clamp.netns)).collect();
    session.update(|record| record.forget(&links, &clamps))?;
    Ok(session.load()?.links.len())
}

/// What a namespace has: nothing if it ended; `None` if that cannot be told.
fn links(doors: &Doors, netns: NetnsId) -> Option<Vec<Link<Linked>>> {
    match netns.door(doors) {
        Some(door) => door.run(|| RouteSocket::open()?.links(None)).ok()?.ok(),
        None => doors.are_all.then(Vec::new),
    }
}

/// The ends of a pair end together: where one is, the other has only moved.
fn is_other_end(recorded: &RecordedLink, link: &Link<Linked>) -> bool {
    recorded.is_whole_pair && recorded.linked == Some(link.ifindex) && recorded.kind == link.kind.name()
}
