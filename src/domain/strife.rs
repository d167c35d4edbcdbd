//! Whether somebody else keeps undoing what is written: then it is left alone for a while, lest two programs keep a
//! machine busy with each other. A firewall that starts anew now and then is no such one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many times within [`SPAN`] are a strife.
pub const TIMES: usize = 8;
/// A strife is over so long after the first of its writes.
pub const SPAN: Duration = Duration::from_mins(1);

/// When it was written last, because somebody had undone it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strife {
    writes: VecDeque<Instant>,
    is_said: bool,
}

impl Strife {
    /// It is written.
    pub fn written(&mut self, now: Instant) {
        self.is_said &= self.is_on(now);
        self.writes.push_back(now);
        if self.writes.len() > TIMES {
            self.writes.pop_front();
        }
    }

    /// The last time it was not written after all.
    pub fn unwritten(&mut self) {
        self.writes.pop_back();
    }

    /// Until when it is better not written; `None` if it may be now.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        let first = self.writes.front().filter(|_| self.writes.len() == TIMES)?;
        Some(*first + SPAN).filter(|end| now < *end)
    }

    /// Whether it is better not written now.
    pub fn is_on(&self, now: Instant) -> bool {
        self.until(now).is_some()
    }

    /// The same, but only the first time that it is asked.
    pub fn is_news(&mut self, now: Instant) -> bool {
        let is_news = self.is_on(now) && !self.is_said;
        self.is_said |= is_news;
        is_news
    }

    /// Whether nothing of it counts any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.writes.back().is_none_or(|last| now.saturating_duration_since(*last) >= SPAN)
    }
}

#[cfg(test)]
mod tests;
