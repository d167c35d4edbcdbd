//! When to probe from inside of which namespace. Pure: takes `now`.
//!
//! What is new, or not what was probed any more, goes first, the oldest before the others; what was probed is probed
//! again after an interval. However many there are, a target hears from a node [`FRESH`] apart, and [`AGAIN`] packets'
//! worth an interval where nothing is new: those that are not reached in time are late.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::spread::seed;

/// Probes that are under way at most.
pub(super) const AT_ONCE: usize = 4;
/// From the begin of one probe to that of the next.
pub(super) const FRESH: Duration = Duration::from_millis(250);
/// Namespaces that are probed again in one interval at most.
pub(super) const AGAIN: u32 = 20;
/// A namespace of which nothing could be told is tried again so soon, if its turn comes: it may just be made.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Whose turn it is, of namespaces by inode; `K` is what a probe is of.
#[derive(Clone, Debug)]
pub(super) struct Schedule<K> {
    node_name: String,
    interval: Duration,
    namespaces: BTreeMap<u64, Turn<K>>,
    under_way: usize,
    /// No probe begins before.
    next: Instant,
    /// None is repeated before.
    next_again: Instant,
}

#[derive(Clone, Debug)]
struct Turn<K> {
    is_of: K,
    due: Instant,
    is_fresh: bool,
    /// What the probe under way is of.
    probed: Option<K>,
}

impl<K: Clone + PartialEq> Schedule<K> {
    /// Without any. The node's name spreads what many nodes do.
    pub(super) fn new(node_name: &str, now: Instant) -> Self {
        let (interval, namespaces) = (Duration::ZERO, BTreeMap::new());
        let node_name = node_name.to_owned();
        Self { node_name, interval, namespaces, under_way: 0, next: now, next_again: now }
    }

    /// These from now on, and nothing of others.
    pub(super) fn want(
        &mut self,
        namespaces: impl IntoIterator<Item = (u64, K)>,
        interval: Duration,
        now: Instant,
    ) {
        self.interval = interval;
        let mut earlier = std::mem::take(&mut self.namespaces);
        for (inode, is_of) in namespaces {
            let turn = match earlier.remove(&inode) {
                Some(turn) if turn.is_of == is_of => turn,
                turn => {
                    let probed = turn.and_then(|turn| turn.probed);
                    Turn { is_of, due: now, is_fresh: true, probed }
                }
            };
            self.namespaces.insert(inode, turn);
        }
    }

    /// A namespace to probe at `now`, and what that is a probe of.
    pub(super) fn poll(&mut self, now: Instant) -> Option<(u64, K)> {
        let (inode, begins) = self.first()?;
        if begins > now {
            return None;
        }
        let turn = self.namespaces.get_mut(&inode)?;
        turn.probed = Some(turn.is_of.clone());
        self.under_way += 1;
        self.next = now + FRESH;
        if !turn.is_fresh {
            self.next_again = now + self.interval / AGAIN;
        }
        Some((inode, turn.is_of.clone()))
    }

    /// When to poll again, unless a probe ends before.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.first().map(|(_, begins)| begins)
    }

    /// The probe of a namespace is over, and told something or not.
    pub(super) fn done(&mut self, inode: u64, is_known: bool, now: Instant) {
        self.under_way -= 1;
        let wait = if is_known { self.interval } else { self.interval.min(SOON) };
        let wait = wait.mul_f64(1.0 + 0.1 * seed(&self.node_name, inode));
        let Some(turn) = self.namespaces.get_mut(&inode) else { return };
        // It may have become another meanwhile: then it is still to be probed.
        if turn.probed.take().as_ref() == Some(&turn.is_of) {
            (turn.due, turn.is_fresh) = (now + wait, false);
        }
    }

    /// Whose turn is next, and from when on.
    fn first(&self) -> Option<(u64, Instant)> {
        if self.under_way >= AT_ONCE {
            return None;
        }
        let waiting = self.namespaces.iter().filter(|(_, turn)| turn.probed.is_none());
        let (inode, turn) = waiting.min_by_key(|(inode, turn)| (!turn.is_fresh, turn.due, **inode))?;
        let begins = if turn.is_fresh { turn.due } else { turn.due.max(self.next_again) };
        Some((*inode, begins.max(self.next)))
    }
}

#[cfg(test)]
mod tests;
