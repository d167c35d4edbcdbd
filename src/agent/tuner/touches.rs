//! Touches of clamps, each of which has all looked at again: at once, but not as often as somebody likes to touch one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

/// So many are heard as they come: a strife twice over, since each clamp that is put back is touched by that.
const AT_ONCE: u32 = 16;
/// Later ones, so far apart.
const EACH: Duration = Duration::from_secs(1);

/// All touches there are, as they are heard.
#[derive(Debug)]
pub(super) struct Touches {
    touched: Arc<Notify>,
    pace: Pace,
}

impl Touches {
    pub(super) fn new(touched: Arc<Notify>) -> Self {
        Self { touched, pace: Pace::default() }
    }

    /// Waits for one, or several together. Nothing is lost if it is dropped meanwhile.
    pub(super) async fn next(&mut self, clock: impl Fn() -> Instant) {
        let wait = self.pace.wait(clock());
        if !wait.is_zero() {
            sleep(wait).await;
        }
        self.touched.notified().await;
        self.pace.heard(clock());
    }
}

/// Each that was heard takes [`EACH`] to be forgotten; until when all of them are.
#[derive(Debug, Default)]
struct Pace(Option<Instant>);

impl Pace {
    fn wait(&self, now: Instant) -> Duration {
        let left = self.0.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        left.saturating_sub((AT_ONCE - 1) * EACH)
    }

    fn heard(&mut self, now: Instant) {
        self.0 = Some(self.0.map_or(now, |until| until.max(now)) + EACH);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "of tokio, which is paused")]
    fn clock() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// How many are heard of those that come all the time.
    async fn heard(touches: &mut Touches, within: Duration) -> u32 {
        let somebody = Arc::clone(&touches.touched);
        let touching = tokio::spawn(async move {
            loop {
                somebody.notify_one();
                sleep(Duration::from_millis(1)).await;
            }
        });
        let mut heard = 0;
        let _ends_in_time = timeout(within, async {
            loop {
                touches.next(clock).await;
                heard += 1;
            }
        })
        .await;
        touching.abort();
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_are_heard_at_once_and_then_one_a_second() {
        let mut touches = Touches::new(Arc::default());
        let began = clock();
        assert_eq!(heard(&mut touches, Duration::from_millis(100)).await, AT_ONCE);
        assert_eq!(clock() - began, Duration::from_millis(100));
        assert_eq!(heard(&mut touches, Duration::from_mins(1)).await, 60);
        sleep(Duration::from_mins(1)).await;
        assert_eq!(heard(&mut touches, Duration::from_millis(100)).await, AT_ONCE, "all is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_while_nobody_may_hear_is_heard_later() {
        let mut touches = Touches::new(Arc::default());
        heard(&mut touches, Duration::from_millis(100)).await;
        touches.touched.notify_one();
        assert!(timeout(Duration::from_millis(100), touches.next(clock)).await.is_err());
        let began = clock();
        touches.next(clock).await;
        assert!(clock() - began <= EACH);
    }
}
