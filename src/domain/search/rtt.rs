//! How long to wait for an answer, learned from the answers that came.

use std::time::Duration;

/// Least time that is waited beyond the round trip before a verdict: what a busy host's scheduler takes.
const GRANULARITY: Duration = Duration::from_millis(4);

/// Least time that a packet may come behind one that was sent later, before the search goes on without it.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);

/// Round-trip times of this search.
#[derive(Clone, Debug, Default)]
pub(super) struct Rtt {
    range: Option<(Duration, Duration)>,
    /// Most that an answer came behind the answer to a packet that was sent after it.
    overtaken_by: Duration,
}

impl Rtt {
    pub(super) fn sample(&mut self, rtt: Duration) {
        let (min, max) = self.range.unwrap_or((rtt, rtt));
        self.range = Some((min.min(rtt), max.max(rtt)));
    }

    /// An answer came `by` after the answer to a packet that was sent later.
    pub(super) fn overtaken(&mut self, by: Duration) {
        self.overtaken_by = self.overtaken_by.max(by);
    }

    pub(super) fn min(&self) -> Option<Duration> {
        self.range.map(|(min, _)| min)
    }

    /// When a packet counts as unanswered, counted from when it was sent. `None` while nothing is known.
    pub(super) fn deadline(&self) -> Option<Duration> {
        let (min, max) = self.range?;
        Some(max + max / 4 + max.saturating_sub(min) + GRANULARITY)
    }

    /// When a packet is suspected to be lost, counted from when the answer to a later one came: on most paths
    /// packets do not overtake each other.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (min, max) = self.range?;
        let usual = LEAST_PATIENCE.max(min / 64);
        Some(usual.max(self.overtaken_by * 2).max(max.saturating_sub(min) / 2).min(max + usual))
    }
}

#[cfg(test)]
mod tests;
