//! Durations as people give them.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;

/// A duration that is none, or is out of range.
#[derive(Debug, thiserror::Error)]
#[error(
    "{knob} is {value:?}: give a duration from {:?} to {:?}, such as 90s, 10m or 1h 30m",
    allowed.start(),
    allowed.end()
)]
pub struct DurationError {
    /// What it is for.
    pub knob: &'static str,
    /// What was given.
    pub value: String,
    /// What may be given.
    pub allowed: RangeInclusive<Duration>,
}

/// What was `given` for `knob`: `90s`, `10m`, `1h 30m`, or as ISO 8601 has it; or else the default.
pub fn duration(
    knob: &'static str,
    given: Option<String>,
    default: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<Duration, DurationError> {
    let Some(value) = given else { return Ok(default) };
    let parsed = value.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.filter(|duration| allowed.contains(duration)).ok_or(DurationError { knob, value, allowed })
}
