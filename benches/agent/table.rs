//! What was measured beside what was promised.

use std::fmt;
use std::time::Duration;

/// Rows in the order in which they were measured.
#[derive(Debug, Default)]
pub(super) struct Table(Vec<Row>);

#[derive(Debug)]
struct Row {
    what: String,
    measured: String,
    /// What is promised, and whether it is kept; `None`: for comparison only.
    promise: Option<(String, bool)>,
}

impl Table {
    /// A number that is to be `most` at most, with as many decimals as make sense.
    pub(super) fn at_most(&mut self, what: impl Into<String>, measured: f64, most: f64, unit: &str) {
        let promise = Some((format!("≤ {most} {unit}"), measured <= most));
        self.0.push(Row { what: what.into(), measured: format!("{measured:.3} {unit}"), promise });
    }

    /// Something that is to be true.
    pub(super) fn holds(&mut self, what: impl Into<String>, measured: impl Into<String>, met: bool) {
        let promise = Some(("yes".to_owned(), met));
        self.0.push(Row { what: what.into(), measured: measured.into(), promise });
    }

    /// Something to compare with.
    pub(super) fn shown(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.0.push(Row { what: what.into(), measured: measured.into(), promise: None });
    }

    pub(super) fn all_met(&self) -> bool {
        self.0.iter().all(|row| row.promise.as_ref().is_none_or(|(_, met)| *met))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<62} {:>24} {:>14}", "", "measured", "promised")?;
        for Row { what, measured, promise } in &self.0 {
            let (promised, verdict) = match promise {
                Some((promised, true)) => (promised.as_str(), "PASS"),
                Some((promised, false)) => (promised.as_str(), "MISS"),
                None => ("", ""),
            };
            writeln!(f, "{what:<62} {measured:>24} {promised:>14} {verdict}")?;
        }
        Ok(())
    }
}

/// Middle, 99th percentile and largest, in milliseconds.
pub(super) fn spread(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1) - 1;
    [50, 99, 100].map(|percent| times[rank(percent)].as_secs_f64() * 1000.0)
}
