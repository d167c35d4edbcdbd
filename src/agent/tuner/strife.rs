//! Whether somebody else keeps undoing what is written: then it is left alone for a while, lest two programs keep a
//! machine busy with each other. A firewall that starts anew now and then is no such one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// So many times within [`SPAN`] are a strife.
const TIMES: usize = 8;
const SPAN: Duration = Duration::from_mins(1);

/// When it was written last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strife {
    writes: VecDeque<Instant>,
    is_said: bool,
}

impl Strife {
    /// It was written.
    pub(super) fn written(&mut self, now: Instant) {
        self.is_said &= self.is_on(now);
        self.writes.push_back(now);
        if self.writes.len() > TIMES {
            self.writes.pop_front();
        }
    }

    /// Whether it is better not written now.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.writes.len() == TIMES
            && self.writes.front().is_some_and(|first| now.saturating_duration_since(*first) < SPAN)
    }

    /// The same, but only the first time that it is asked.
    pub(super) fn is_news(&mut self, now: Instant) -> bool {
        let is_news = self.is_on(now) && !self.is_said;
        self.is_said |= is_news;
        is_news
    }

    /// Whether nothing of it counts any more.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.writes.back().is_none_or(|last| now.saturating_duration_since(*last) >= SPAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn many_in_a_short_time_are_a_strife_that_is_said_once_and_ends() {
        let began = Instant::now();
        let second = |second| began + Duration::from_secs(second);
        let mut strife = Strife::default();
        for write in 0..7 {
            strife.written(second(write));
            assert!(!strife.is_on(second(write)));
        }
        strife.written(second(7));
        assert!(strife.is_news(second(8)) && !strife.is_news(second(9)) && strife.is_on(second(59)));
        assert!(!strife.is_on(second(60)), "it is tried again");
        strife.written(second(60));
        assert!(strife.is_on(second(60)) && strife.is_news(second(60)), "and found so again");
        assert!(!strife.is_on(second(61)));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn a_firewall_that_starts_anew_now_and_then_is_none() {
        let began = Instant::now();
        let mut strife = Strife::default();
        for minute in 0..100 {
            let now = began + Duration::from_mins(minute);
            strife.written(now);
            assert!(!strife.is_on(now) && !strife.is_over(now));
        }
        assert!(strife.is_over(began + Duration::from_mins(100)));
    }
}
