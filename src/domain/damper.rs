//! When to look again, so that a change is seen at once and a storm of changes costs little.
//!
//! Every look sees everything, so the only question is when. A look is due
//!
//! - soon after an event: when events pause for [`QUIET`], and at latest [`PATIENCE`] after the first one;
//! - in a storm, which lasts until [`STORM_QUIET`] after the last overrun: every [`STORM_INTERVAL`], and at its end;
//! - some time after the last look, whatever happens;
//!
//! and while events come, never before looks are within their [`SHARE`] of the time again. That share is of the clock's
//! time, since a look that waits for a lock of the kernel keeps others from it. So a storm of links, in which looks are
//! slow, runs up a debt that would delay the look which is to see its end: when events have paused for
//! [`STORM_QUIET`], whatever is owed is forgiven.
//!
//! A look that begins after an event has seen
//! its change; events that arrive while it runs are for the next one.

use std::time::{Duration, Instant};

/// A pause of this length ends a burst: what belongs together (a veth pair, its bridge, its address) is seen together.
pub const QUIET: Duration = Duration::from_millis(5);
/// No burst delays a look by more.
pub const PATIENCE: Duration = Duration::from_millis(40);
/// A storm lasts until so long after its last overrun, and what its looks have cost counts until so long after its last
/// event.
pub const STORM_QUIET: Duration = Duration::from_millis(250);
/// From the begin of one look to the begin of the next while a storm lasts.
pub const STORM_INTERVAL: Duration = Duration::from_secs(2);
/// Looks take at most one part in so many of the time while events come.
pub const SHARE: u32 = 5;
/// Looks may take so much at once before they are held to [`SHARE`]: a few in a row are the usual case, when a
/// container starts.
pub const ALLOWANCE: Duration = Duration::from_millis(100);

/// Why to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Something changed.
    Event,
    /// Something changed, and what it was has been lost.
    Overrun,
    /// The last look is old, or there was none.
    Timer,
    /// The last look is old where changes are not all heard.
    Walk,
}

/// How old a look may become when no event is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// Where all changes are heard. Some are missed all the same: a file in `/run/netns` makes no event.
    pub resync: Duration,
    /// Where only those of the own namespace are heard, the shorter one; `None`: all are heard.
    pub walk: Option<Duration>,
}

/// Decides when to look. Pure: takes `now`.
#[derive(Clone, Debug)]
pub struct Damper {
    ages: Ages,
    pending: Option<Pending>,
    storm_until: Option<Instant>,
    /// When the last look began; before the first one, nothing.
    looked_at: Option<Instant>,
    /// When all looks so far will have been paid for at their [`SHARE`].
    paid_at: Option<Instant>,
    opened_at: Instant,
}

/// What no look has seen yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    last: Instant,
    overrun: bool,
}

impl Damper {
    /// The first look is due at once.
    pub fn new(now: Instant, ages: Ages) -> Self {
        Self { ages, pending: None, storm_until: None, looked_at: None, paid_at: None, opened_at: now }
    }

    /// Takes other ages, from now on.
    pub fn set_ages(&mut self, ages: Ages) {
        self.ages = ages;
    }

    /// `count` events were heard; 0 is none.
    pub fn handle_events(&mut self, now: Instant, count: u32) {
        if count > 0 {
            self.add(now, false);
        }
    }

    /// Events were lost, all of them before `now`.
    pub fn handle_overrun(&mut self, now: Instant) {
        self.add(now, true);
        self.storm_until = Some(now + STORM_QUIET);
    }

    /// When to ask [`Self::should_look`] next, if nothing happens until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.due().0)
    }

    /// Whether to look now, and why.
    pub fn should_look(&self, now: Instant) -> Option<Reason> {
        let (due, reason) = self.due();
        (due <= now).then_some(reason)
    }

    /// A look ran. One that failed is to be told as well: the next one is to wait all the same.
    pub fn looked(&mut self, started: Instant, ended: Instant) {
        self.pending = self.pending.filter(|pending| pending.last > started);
        if let Some(pending) = &mut self.pending {
            pending.first = pending.first.max(started);
        }
        self.storm_until = self.storm_until.filter(|until| *until > started);
        self.looked_at = Some(started);
        let cost = ended.saturating_duration_since(started);
        // One that began before it was affordable has been forgiven what was owed.
        let owed = self.paid_at.filter(|_| self.affordable().is_none_or(|affordable| affordable <= started));
        let from = owed.map_or(started, |paid| paid.max(started));
        self.paid_at = Some(from + cost * SHARE);
    }

    fn add(&mut self, now: Instant, overrun: bool) {
        let pending = self.pending.get_or_insert(Pending { first: now, last: now, overrun });
        pending.last = pending.last.max(now);
        pending.overrun |= overrun;
    }

    fn due(&self) -> (Instant, Reason) {
        let timer = self.timer();
        let affordable = |due: Instant| self.affordable().map_or(due, |affordable| due.max(affordable));
        let timer = (affordable(timer.0), timer.1);
        let event = self.pending.map(|pending| {
            let (due, reason) = self.event(pending);
            (affordable(due).min(due.max(pending.last + STORM_QUIET)), reason)
        });
        match event {
            Some(event) if event.0 <= timer.0 => event,
            Some(_) | None => timer,
        }
    }

    fn event(&self, pending: Pending) -> (Instant, Reason) {
        let soon = (pending.last + QUIET).min(pending.first + PATIENCE);
        let due = match (self.storm_until, self.looked_at) {
            (Some(until), Some(looked)) => soon.max(until.min(looked + STORM_INTERVAL)),
            (Some(_) | None, _) => soon,
        };
        (due, if pending.overrun { Reason::Overrun } else { Reason::Event })
    }

    fn timer(&self) -> (Instant, Reason) {
        let Some(looked) = self.looked_at else { return (self.opened_at, Reason::Timer) };
        match self.ages.walk {
            Some(walk) if walk < self.ages.resync => (looked + walk, Reason::Walk),
            Some(_) | None => (looked + self.ages.resync, Reason::Timer),
        }
    }

    /// When looks are within their share again.
    fn affordable(&self) -> Option<Instant> {
        self.paid_at?.checked_sub(ALLOWANCE * SHARE)
    }
}

#[cfg(test)]
mod tests;
