//! What came of telling Kubernetes something.

/// What came of a write, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishResult {
    /// It is as it was meant to be.
    Success,
    /// Somebody else wrote at the same time (409).
    Conflict,
    /// The API server has too much to do (429).
    Throttled,
    /// It does not want it: no permission, no such kind, a policy, a value that is not valid.
    Refused,
    /// It did not answer, or said that it cannot at the moment (502, 503, 504).
    Unreachable,
    /// It failed, or said what nobody understands.
    Error,
}

impl PublishResult {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Success, Self::Conflict, Self::Throttled, Self::Refused, Self::Unreachable, Self::Error];

    /// Its name in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Error => "error",
        }
    }

    /// Of an HTTP status.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Success,
            409 => Self::Conflict,
            429 => Self::Throttled,
            400..=499 => Self::Refused,
            502..=504 => Self::Unreachable,
            _ => Self::Error,
        }
    }
}
