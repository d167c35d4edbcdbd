//! Whether a loop turns.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a loop is to have turned again.
#[derive(Debug)]
pub struct Pulse(Mutex<Instant>);

impl Pulse {
    /// It is to turn before `due`.
    pub fn new(due: Instant) -> Self {
        Self(Mutex::new(due))
    }

    /// It turned, and is to turn again before `due`.
    pub fn turned(&self, due: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// How long ago it should have turned, if it did not.
    pub(super) fn overdue(&self, now: Instant) -> Option<Duration> {
        let due = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.checked_duration_since(due).filter(|overdue| !overdue.is_zero())
    }
}
