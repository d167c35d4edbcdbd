//! What goes wrong on purpose.

use std::fmt;

use super::record::Recorded;

/// What is done to a request instead of answering it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is answered with this status, and told when to come again.
    Status {
        /// 409, 429, 500, 503, …
        code: u16,
        /// `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// It is not answered until [`super::ApiServer::release`], and then as usual.
    Hang,
    /// It is done, and half of the answer comes; the rest never does.
    Stall,
    /// The connection is reset, and nothing is done.
    Reset,
    /// It is done, and the connection is reset instead of an answer.
    AnswerLost,
}

impl Fault {
    /// This status, without a `Retry-After`.
    pub fn status(code: u16) -> Self {
        Self::Status { code, retry_after: None }
    }
}

type Matches = Box<dyn Fn(&Recorded) -> bool + Send>;

/// Faults that are still to come.
#[derive(Default)]
pub(super) struct Faults(Vec<(usize, Matches, Fault)>);

impl Faults {
    pub(super) fn add(&mut self, times: usize, matches: Matches, fault: Fault) {
        self.0.push((times, matches, fault));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// What this request meets.
    pub(super) fn take(&mut self, request: &Recorded) -> Option<Fault> {
        let (left, _, fault) = self.0.iter_mut().find(|(left, matches, _)| *left > 0 && matches(request))?;
        *left -= 1;
        Some(fault.clone())
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.0.iter().all(|(left, _, _)| *left == 0)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.iter().map(|(left, _, fault)| (left, fault))).finish()
    }
}
