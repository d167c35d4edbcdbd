//! When to write. Pure: takes `now`.
//!
//! A change of the value goes out at once, if the last write is a second ago. What else changes does so with every container of a busy node, and waits until
//! the last write is some time ago. What does not change is repeated about hourly. After a failure everything waits.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::{Backoff, LONGEST};
use crate::agent::spread::seed;

/// The first write is so late at most: 5,000 agents that start together do not meet at the API server.
pub(super) const SPREAD: Duration = Duration::from_secs(10);
/// From one write to the next, whatever changes: a default route that comes and goes is no reason to flood the server.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// From one write to the next, if the value is the same.
pub(super) const DETAILS: Duration = Duration::from_secs(30);
/// From one write to the next, if all is the same; up to a fifth more, by the name of the node.
pub(super) const REFRESH: Duration = Duration::from_hours(1);

/// What there is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// All is as it was written.
    Nothing,
    /// Something that nobody waits for.
    Details,
    /// The value, or what it is worth; or nothing is known to be written.
    Value,
}

/// When one node may write.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    refresh: Duration,
    backoff: Backoff,
    /// In a row.
    failures: u32,
    /// Nothing before.
    earliest: Instant,
    written_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(node_name: &str, now: Instant) -> Self {
        let seed = seed(node_name, "publish");
        Self {
            refresh: REFRESH.mul_f64(1.0 + 0.2 * seed),
            backoff: Backoff::new(node_name, "publish"),
            failures: 0,
            earliest: now + SPREAD.mul_f64(seed),
            written_at: None,
        }
    }

    /// When to write; `None`: not before something changes.
    pub(super) fn due(&self, change: Change) -> Option<Instant> {
        let due = match (change, self.written_at) {
            (Change::Value | Change::Details, None) => self.earliest,
            (Change::Value, Some(at)) => at + LEAST,
            (Change::Details, Some(at)) => at + DETAILS,
            (Change::Nothing, at) => at? + self.refresh,
        };
        Some(due.max(self.earliest))
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.failures = 0;
        self.written_at = Some(now);
    }

    /// `retry_after` is what the server asks for: never before, and apart from others who were told the same.
    pub(super) fn failed(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.earliest = now + retry_after.unwrap_or_default().min(LONGEST) + self.backoff.wait(self.failures);
        self.failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn now() -> Instant {
        Instant::now()
    }

    fn written(now: Instant) -> Pace {
        let mut pace = Pace::new("node-1", now - SPREAD);
        pace.succeeded(now);
        pace
    }

    #[test]
    fn the_first_write_is_within_ten_seconds_and_not_that_of_another_node() {
        let now = now();
        let [one, other] = ["node-1", "node-2"].map(|node| Pace::new(node, now).due(Change::Value).unwrap());
        assert!(now <= one && one <= now + SPREAD);
        assert_ne!(one, other);
    }

    #[test]
    fn a_value_goes_out_at_once_and_details_when_the_last_write_is_some_time_ago() {
        let now = now();
        let pace = written(now);
        assert_eq!(pace.due(Change::Value), Some(now + LEAST));
        assert_eq!(pace.due(Change::Details), Some(now + DETAILS));
    }

    #[test]
    fn what_is_unchanged_is_repeated_after_an_hour_and_up_to_a_fifth_more() {
        let now = now();
        let due = written(now).due(Change::Nothing).unwrap();
        assert!(now + REFRESH <= due && due <= now + REFRESH.mul_f64(1.2));
    }

    #[test]
    fn after_a_failure_all_wait_and_never_less_than_the_server_asks_for() {
        let now = now();
        let mut pace = written(now);
        pace.failed(now, Some(Duration::from_secs(7)));
        let due = pace.due(Change::Value).unwrap();
        assert!(now + Duration::from_secs(7) <= due && due <= now + Duration::from_secs(8));
        assert!(pace.due(Change::Nothing).unwrap() > due);
        pace.failed(now, Some(Duration::from_hours(24)));
        assert!(
            pace.due(Change::Value).unwrap() <= now + LONGEST + Duration::from_secs(2),
            "nobody knows a day ahead"
        );
    }
}
