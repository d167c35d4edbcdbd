//! A known path MTU stays true: two packets tell, and a larger one is tried from time to time (RFC 8899 §4.3, §5.1.1).
//!
//! ```text
//!         the large one is answered: true; neither is: loss or an outage, which is no size
//!   ┌───────────────────────────────────┐
//!   ▼  60 s                             │
//!  idle ───► two packets: as large as the path MTU, and small ◄─┐
//!   │                                   │ only the small one    │ once: the large one
//!   │                                   │ is answered ──────────┘ may be lost
//!   │ 600 s, or a PTB                   ▼ twice
//!   └────────────────────────────► search again
//! ```
//!
//! Pure, like the search itself: whoever drives it sends, and says what came back.

use std::time::{Duration, Instant};

use crate::domain::mtu::PathMtu;

/// How often a path that does not confirm its packets by itself is checked (RFC 8899 §5.1.1,
/// `CONFIRMATION_TIMER`): often enough that a black hole does not last for minutes.
pub const CHECK_INTERVAL: Duration = Duration::from_mins(1);

/// How often a larger size is tried (RFC 8899 §5.1.1, `PMTU_RAISE_TIMER`).
pub const RAISE_INTERVAL: Duration = Duration::from_mins(10);

/// Least time that an answer gets, whatever the round trip.
const LEAST_WAIT: Duration = Duration::from_millis(300);

/// The two packets of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// As large as the path MTU.
    pub full: PathMtu,
    /// Small: it says whether the path carries anything.
    pub control: PathMtu,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send these two, once.
    Check(Pair),
    /// Search again, up to the largest size: something changed, or may have.
    Search,
    /// Nothing before that instant.
    Nothing {
        /// When to ask again.
        until: Instant,
    },
}

/// What a check in flight has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Check {
    sent_at: Instant,
    is_full_answered: bool,
    is_control_answered: bool,
    /// Whether the large packet was missing just before, too.
    is_repeat: bool,
}

impl Check {
    fn new(sent_at: Instant, is_repeat: bool) -> Self {
        Self { sent_at, is_full_answered: false, is_control_answered: false, is_repeat }
    }
}

/// A path MTU that was measured, and how it is kept true.
#[derive(Clone, Debug)]
pub struct Confirm {
    pair: Pair,
    is_largest: bool,
    wait: Duration,
    next_check_at: Instant,
    raise_at: Instant,
    check: Option<Check>,
    is_search_due: bool,
    check_interval: Duration,
}

impl Confirm {
    /// For a path on which `full` passed at `now`, with that round trip. `is_largest`: no larger size is possible,
    /// so none will be tried.
    pub fn new(
        full: PathMtu,
        control: PathMtu,
        is_largest: bool,
        rtt: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self {
            pair: Pair { full, control: control.min(full) },
            is_largest,
            wait: rtt.map_or(Duration::from_secs(1), |rtt| (rtt * 2).max(LEAST_WAIT)),
            next_check_at: now + CHECK_INTERVAL,
            raise_at: now + RAISE_INTERVAL,
            check: None,
            is_search_due: false,
            check_interval: CHECK_INTERVAL,
        }
    }

    /// Checked so often, instead of every [`CHECK_INTERVAL`].
    #[must_use]
    pub fn every(self, check_interval: Duration, now: Instant) -> Self {
        Self { next_check_at: now + check_interval, check_interval, ..self }
    }

    /// What to do at `now`. A pair is told once; then its answers are waited for.
    pub fn poll(&mut self, now: Instant) -> Due {
        if let Some(check) = self.check {
            let until = check.sent_at + self.wait;
            let is_over = check.is_full_answered || self.is_search_due || now >= until;
            if !is_over {
                return Due::Nothing { until };
            }
            self.check = None;
            self.next_check_at = check.sent_at + self.check_interval;
            // A missing control says that packets are lost, not that they are too large.
            let is_missing = check.is_control_answered && !check.is_full_answered;
            if is_missing && !check.is_repeat && !self.is_search_due {
                self.check = Some(Check::new(now, true));
                return Due::Check(self.pair);
            }
            self.is_search_due |= is_missing;
            // Whoever waits for this check is to see that it is over, even if the next one is due.
            if !self.is_search_due {
                return Due::Nothing { until: self.wakes_at() };
            }
        }
        if self.is_search_due || (!self.is_largest && now >= self.raise_at) {
            self.is_search_due = false;
            self.raise_at = now + RAISE_INTERVAL;
            return Due::Search;
        }
        if now >= self.next_check_at {
            self.check = Some(Check::new(now, false));
            return Due::Check(self.pair);
        }
        Due::Nothing { until: self.wakes_at() }
    }

    fn wakes_at(&self) -> Instant {
        if self.is_largest { self.next_check_at } else { self.next_check_at.min(self.raise_at) }
    }

    /// Whether answers to a pair are waited for.
    pub fn is_checking(&self) -> bool {
        self.check.is_some()
    }

    /// The packet of path MTU size was answered.
    pub fn handle_full(&mut self) {
        if let Some(check) = &mut self.check {
            check.is_full_answered = true;
        }
    }

    /// The control was answered.
    pub fn handle_control(&mut self) {
        if let Some(check) = &mut self.check {
            check.is_control_answered = true;
        }
    }

    /// A PTB for a packet of this path named less than the path MTU: searches at once, and believes nothing yet.
    pub fn handle_ptb(&mut self, mtu: u32) {
        self.is_search_due |= mtu < u32::from(self.pair.full.get());
    }
}

#[cfg(test)]
mod tests;
