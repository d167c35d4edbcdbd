//! When a watch that failed is begun anew. Pure.

use std::time::{Duration, Instant};

/// After the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(500);
/// Two replicas burden no API server, and a value that fell while it was away is to be heard soon.
const LONGEST: Duration = Duration::from_secs(8);
/// What has gone well for so long has recovered. That a list was answered says little: every try begins with one.
const RECOVERED: Duration = Duration::from_mins(2);

/// The pauses of one watch.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    failed_at: Option<Instant>,
    forgotten_at: Option<Instant>,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self { next: FIRST, failed_at: None, forgotten_at: None }
    }

    /// Before the next try.
    pub(super) fn after_failure(&mut self, now: Instant) -> Duration {
        if has_passed(self.failed_at.replace(now), now) {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (self.next * 2).min(LONGEST);
        pause
    }

    /// Before all is listed, since the API server has forgotten where the watch was (410). So does every one that was
    /// started anew, and it answers: the first time costs no pause.
    pub(super) fn after_forgetting(&mut self, now: Instant) -> Duration {
        if has_passed(self.forgotten_at.replace(now), now) {
            return Duration::ZERO;
        }
        self.after_failure(now)
    }
}

fn has_passed(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.duration_since(last) > RECOVERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        super::super::clock()
    }

    #[test]
    fn pauses_double_up_to_eight_seconds_and_begin_anew_after_two_good_minutes() {
        let (mut pauses, mut now) = (Pauses::new(), start());
        let mut told = Vec::new();
        for _ in 0..7 {
            let pause = pauses.after_failure(now);
            told.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(told, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
        now += RECOVERED + SECOND;
        assert_eq!(pauses.after_failure(now), FIRST);
    }

    #[test]
    fn an_api_server_that_is_back_and_has_forgotten_is_asked_at_once() {
        let (mut pauses, mut now) = (Pauses::new(), start());
        for _ in 0..9 {
            now += pauses.after_failure(now);
        }
        assert_eq!(pauses.after_forgetting(now), Duration::ZERO);
    }

    #[test]
    fn one_that_forgets_each_time_is_not_asked_without_end() {
        let (mut pauses, mut now) = (Pauses::new(), start());
        let mut asked = 0;
        let end = now + Duration::from_mins(10);
        while now < end {
            now += pauses.after_forgetting(now);
            asked += 1;
        }
        assert!(asked < 90, "{asked} lists of all objects in ten minutes");
        now += RECOVERED + SECOND;
        assert_eq!(pauses.after_forgetting(now), Duration::ZERO);
    }
}
