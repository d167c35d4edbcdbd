//! Durations as people give them.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::SpanPrinter;

/// As they may be given.
const WRITTEN: SpanPrinter = SpanPrinter::new();

/// A duration that is none, or is out of range.
#[derive(Debug, thiserror::Error)]
#[error(
    "{knob} is {value:?}: give a duration from {} to {}, such as 90s, 10m or 1h 30m",
    WRITTEN.unsigned_duration_to_string(allowed.start()),
    WRITTEN.unsigned_duration_to_string(allowed.end())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_told_as_it_may_be_given() {
        let [day, hour] = [24, 1].map(Duration::from_hours);
        for (end, written) in [
            (Duration::ZERO, "0s"),
            (Duration::from_millis(500), "500ms"),
            (Duration::from_secs(90), "1m 30s"),
            (Duration::from_mins(10), "10m"),
            (hour, "1h"),
            (day, "24h"),
        ] {
            let given = |text: &str| duration("drain", Some(text.into()), hour, end..=end);
            assert_eq!(given(written).unwrap(), end);
            let refused = given("soon").unwrap_err().to_string();
            assert!(refused.contains(&format!(" from {written} to {written}, ")), "{refused}");
        }
    }
}
