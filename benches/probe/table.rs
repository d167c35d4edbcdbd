//! The tables, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mtu_lab::scenario::Family;

use crate::bars::{is_above, is_exact, names_router};
use crate::cases::Case;
use crate::measure::{Sample, Series};
use crate::tool::{Answer, Tool};

/// Smallest, median and largest of some values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self { min, median: sorted[sorted.len() / 2], max })
    }
}

/// The name of a case, with its family and RTT.
pub(crate) fn title(case: &Case) -> String {
    let family = match case.family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    let rtt = if case.rtt_ms > 0.0 { format!("RTT {:.0} ms", case.rtt_ms) } else { "RTT ~0".to_owned() };
    format!("{}, {rtt}, {family}", case.name)
}

/// One row per tool, and one for our own clock.
pub(crate) fn render(case: &Case, all: &[Series]) -> String {
    let mut table = format!(
        "{:<14} {:>7} {:>9} {:>9} {:>9} {:>11} {:>8}  wrong answers\n",
        "ms", "right", "min", "median", "max", "packets", "ratio"
    );
    let wall = |series: &Series| Spread::of(series.samples.iter().map(Sample::wall_ms));
    let ours = all.iter().find(|series| series.tool == Tool::MtuAgent).and_then(wall);
    for series in all {
        let (Some(spread), Some(ours)) = (wall(series), ours) else { continue };
        let samples = &series.samples;
        let is_ours = series.tool == Tool::MtuAgent;
        let is_right = |sample: &&Sample| {
            if is_ours { is_exact(case, sample) } else { sample.reading.answer == Answer::Mtu(sample.truth) }
        };
        let right = format!("{}/{}", samples.iter().filter(is_right).count(), samples.len());
        let times = row(spread);
        let packets =
            Spread::of(samples.iter().filter_map(|it| u32::try_from(it.reading.packets).ok()).map(f64::from));
        let packets = packets.map(|it| format!("{:.0} (≤{:.0})", it.median, it.max)).unwrap_or_default();
        let ratio = format!("{:.1}", spread.median / ours.median);
        let wrong = wrong_answers(samples.iter().filter(|sample| !is_right(sample)));
        let line = format!("{:<14} {right:>7} {times} {packets:>11} {ratio:>8}  {wrong}", series.tool.name());
        let _infallible = writeln!(table, "{}", line.trim_end());
        if let Some(spread) = Spread::of(samples.iter().filter_map(Sample::elapsed_ms)) {
            let _infallible = writeln!(table, "{:<14} {:>7} {}", "  to verdict", "", row(spread));
        }
    }
    table
}

/// Each run of ours that was not wholly right, with the seed and the JSON to look into it.
pub(crate) fn misses(case: &Case, all: &[Series]) -> String {
    let mut lines = String::new();
    for sample in all.iter().filter(|series| series.tool == Tool::MtuAgent).flat_map(|series| &series.samples)
    {
        let is_right = is_exact(case, sample) && (names_router(sample) || !case.wants_router());
        if is_right && !is_above(sample) && sample.reading.packets <= 64 {
            continue;
        }
        let document = sample.reading.document.as_ref().map(ToString::to_string).unwrap_or_default();
        let _infallible = writeln!(
            lines,
            "      seed {}, truth {}, {} packets: {document}",
            sample.seed, sample.truth, sample.reading.packets
        );
    }
    lines
}

fn row(Spread { min, median, max }: Spread) -> String {
    format!("{min:>9.1} {median:>9.1} {max:>9.1}")
}

fn wrong_answers<'a>(samples: impl Iterator<Item = &'a Sample>) -> String {
    let mut counts: BTreeMap<(u16, &Answer), usize> = BTreeMap::new();
    for sample in samples {
        *counts.entry((sample.truth, &sample.reading.answer)).or_default() += 1;
    }
    let listed = counts.iter().map(|((truth, answer), count)| {
        let times = if *count > 1 { format!("{count}× ") } else { String::new() };
        format!("{times}{answer} for {truth}")
    });
    listed.collect::<Vec<_>>().join(", ")
}
