//! A published MTU that goes down at once, and up only when it is sure.

use std::time::{Duration, Instant};

use super::mtu::LinkMtu;

/// A value with hysteresis, which outlives the loss of what it was drawn from. Pure: takes `now`.
#[derive(Clone, Debug)]
pub struct SteadyMtu {
    raise_after: Duration,
    value: Option<LinkMtu>,
    /// The least that was seen since larger values began, and when they did.
    larger: Option<(LinkMtu, Instant)>,
    lost_since: Option<Instant>,
}

impl SteadyMtu {
    /// A larger value must have lasted for `raise_after` before it is taken.
    pub fn new(raise_after: Duration) -> Self {
        Self { raise_after, value: None, larger: None, lost_since: None }
    }

    /// Goes on from a value of an earlier run: it is old until it is observed again.
    pub fn resume(raise_after: Duration, value: LinkMtu, now: Instant) -> Self {
        Self { value: Some(value), lost_since: Some(now), ..Self::new(raise_after) }
    }

    /// Takes an observation; `None` when the network does not tell any more.
    pub fn observe(&mut self, now: Instant, observed: Option<LinkMtu>) {
        let Some(observed) = observed else {
            self.larger = None;
            if self.value.is_some() {
                self.lost_since.get_or_insert(now);
            }
            return;
        };
        self.lost_since = None;
        match self.value {
            Some(value) if observed > value => {
                let (least, since) =
                    self.larger.map_or((observed, now), |(least, since)| (least.min(observed), since));
                if now.saturating_duration_since(since) >= self.raise_after {
                    self.value = Some(least);
                    self.larger = (observed > least).then_some((observed, now));
                } else {
                    self.larger = Some((least, since));
                }
            }
            Some(_) | None => {
                self.value = Some(observed);
                self.larger = None;
            }
        }
    }

    /// The value to publish.
    pub fn value(&self) -> Option<LinkMtu> {
        self.value
    }

    /// Since when the value has not been observed any more: it is the last good one.
    pub fn lost_since(&self) -> Option<Instant> {
        self.lost_since
    }

    /// When a larger value will have lasted long enough, if it lasts: observe again then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.larger.map(|(_, since)| since + self.raise_after)
    }

    /// Takes another delay, from now on.
    pub fn set_raise_after(&mut self, raise_after: Duration) {
        self.raise_after = raise_after;
    }
}

#[cfg(test)]
mod tests;
