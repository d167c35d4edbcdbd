//! What a watch of the API server tells, for as long as anybody listens. What goes wrong with it stays here: it is
//! logged once, waited out, and tried again.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use kube::runtime::watcher::{self, Event};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::domain::error::with_sources;

/// A watch that goes well for so long has recovered. That a list was answered says little: every try begins with one.
const RECOVERED: Duration = Duration::from_mins(2);

/// What a watch tells.
pub trait Told {
    /// It is no part of a list whose rest may still fail.
    fn is_answer(&self) -> bool;
}

impl<K> Told for Event<K> {
    fn is_answer(&self) -> bool {
        !matches!(self, Self::Init | Self::InitApply(_))
    }
}

/// Of one object there is no rest.
impl<K> Told for Option<K> {
    fn is_answer(&self) -> bool {
        true
    }
}

/// What is told of `what`, as the log calls it. Before the watch is tried again, it waits as long as `pause` says of the
/// number of failures in a row that were before this one.
pub fn heard<T: Told>(
    what: &'static str,
    told: impl Stream<Item = watcher::Result<T>>,
    pause: impl FnMut(u32) -> Duration,
) -> impl Stream<Item = T> {
    let mut trouble = Trouble::new(what, pause);
    told.filter_map(move |told| {
        let told = told.inspect(|told| trouble.heard(told)).map_err(|error| trouble.failed(&error, clock()));
        async move {
            if let Err(pause) = told {
                sleep(pause).await;
            }
            told.ok()
        }
    })
}

/// What goes wrong with one watch.
struct Trouble<P> {
    what: &'static str,
    pause: P,
    /// It was told, and nobody has answered since.
    is_known: bool,
    /// In a row.
    failures: u32,
    tried_at: Option<Instant>,
    forgotten_at: Option<Instant>,
}

impl<P: FnMut(u32) -> Duration> Trouble<P> {
    fn new(what: &'static str, pause: P) -> Self {
        Self { what, pause, is_known: false, failures: 0, tried_at: None, forgotten_at: None }
    }

    fn heard(&mut self, told: &impl Told) {
        if self.is_known && told.is_answer() {
            self.is_known = false;
            info!(what = self.what, "changes are heard again");
        }
    }

    /// How long to wait before it is tried again.
    fn failed(&mut self, error: &watcher::Error, now: Instant) -> Duration {
        let what = self.what;
        if is_forgotten(error) {
            debug!(what, "the API server has forgotten where a watch was; all is listed again");
            // So does every one that was started anew, and it answers: the first time costs no pause.
            if has_recovered(self.forgotten_at.replace(now), now) {
                return Duration::ZERO;
            }
        } else {
            let error = with_sources(error);
            if std::mem::replace(&mut self.is_known, true) {
                debug!(what, error, "changes are still not heard");
            } else {
                warn!(what, error, "changes are not heard; what is known stays, and it is tried again");
            }
        }
        if has_recovered(self.tried_at, now) {
            self.failures = 0;
        }
        let pause = (self.pause)(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.tried_at = Some(now + pause);
        pause
    }
}

/// A watch that lasted so long that the API server does not know any more what came after its last change.
fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

fn has_recovered(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.duration_since(last) > RECOVERED)
}

#[expect(clippy::disallowed_methods, reason = "a watch is an edge: what paces it takes `now`")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use kube::core::Status;
    use watcher::Error::{NoResourceVersion, WatchError};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(8);

    fn pause(failures: u32) -> Duration {
        (SECOND * 2_u32.saturating_pow(failures)).min(LONGEST)
    }

    fn forgotten() -> watcher::Error {
        WatchError(Box::new(Status { code: 410, ..Status::default() }))
    }

    #[test]
    fn pauses_are_those_of_failures_in_a_row_and_begin_anew_after_two_good_minutes() {
        let (mut trouble, mut now) = (Trouble::new("words", pause), clock());
        let mut told = Vec::new();
        for _ in 0..5 {
            trouble.heard(&Event::<()>::InitDone);
            let pause = trouble.failed(&NoResourceVersion, now);
            told.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(told, [1, 2, 4, 8, 8]);
        now += RECOVERED;
        assert_eq!(trouble.failed(&NoResourceVersion, now), LONGEST);
        now += LONGEST + RECOVERED + SECOND;
        assert_eq!(trouble.failed(&NoResourceVersion, now), SECOND);
    }

    #[test]
    fn a_pause_is_no_good_minute() {
        let (mut trouble, now) = (Trouble::new("words", |failures| RECOVERED * (failures + 2)), clock());
        let first = trouble.failed(&NoResourceVersion, now);
        assert_eq!(trouble.failed(&NoResourceVersion, now + first), RECOVERED * 3);
    }

    #[test]
    fn an_api_server_that_is_back_and_has_forgotten_is_asked_at_once() {
        let (mut trouble, mut now) = (Trouble::new("words", pause), clock());
        for _ in 0..9 {
            now += trouble.failed(&NoResourceVersion, now);
        }
        assert_eq!(trouble.failed(&forgotten(), now), Duration::ZERO);
    }

    #[test]
    fn one_that_forgets_each_time_is_not_asked_without_end() {
        let (mut trouble, mut now) = (Trouble::new("words", pause), clock());
        let mut asked = 0;
        let end = now + Duration::from_mins(10);
        while now < end {
            now += trouble.failed(&forgotten(), now);
            asked += 1;
            assert!(asked < 90, "lists of all objects in ten minutes");
        }
        now += RECOVERED + SECOND;
        assert_eq!(trouble.failed(&forgotten(), now), Duration::ZERO);
    }

    #[test]
    fn a_failure_is_over_when_somebody_answers_and_no_part_of_a_list_does() {
        let mut trouble = Trouble::new("words", pause);
        trouble.failed(&forgotten(), clock());
        assert!(!trouble.is_known, "that is none");
        trouble.failed(&NoResourceVersion, clock());
        for part in [Event::Init, Event::InitApply(())] {
            trouble.heard(&part);
            assert!(trouble.is_known, "{part:?}");
        }
        for answer in [Event::InitDone, Event::Apply(()), Event::Delete(())] {
            trouble.failed(&NoResourceVersion, clock());
            trouble.heard(&answer);
            assert!(!trouble.is_known, "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_is_passed_on_in_its_order_and_failures_are_waited_out() {
        let told = [Err(forgotten()), Ok(Some(1)), Err(NoResourceVersion), Err(NoResourceVersion), Ok(None)];
        let began = clock();
        let heard: Vec<_> = heard("words", stream::iter(told), pause).collect().await;
        assert_eq!(heard, [Some(1), None]);
        assert_eq!(began.elapsed().as_secs(), 1 + 2);
    }
}
