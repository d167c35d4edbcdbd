//! What is promised of mtu-agent, and whether it is kept.

use std::fmt;

use crate::cases::Case;
use crate::measure::{Sample, Series};
use crate::table::Spread;
use crate::tool::{Answer, Tool};

/// A promise about all runs of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bar {
    /// Number and verdict are right, in every run.
    Exact,
    /// They are in 49 of 50, and as many of fewer.
    ExactButOneIn50,
    /// No number is above the truth, whatever the verdict.
    NeverAbove,
    /// The router that limits the path is named.
    Hop,
    /// Median from the first packet to the verdict. Not the slowest: a core may be taken away at any time.
    Elapsed { rtts: f64, plus_ms: f64 },
    /// Most packets of any run, as the path saw them.
    Packets(u64),
    /// Their median.
    MedianPackets(u64),
    /// Most bytes of any run: 96 kB on a link up to 1500, else 256 kB.
    Bytes,
    /// Ratio of the medians of whole processes.
    Faster { tool: Tool, times: f64 },
}

/// A bar, judged.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) promised: String,
    pub(crate) found: String,
    /// `None` if nothing was measured to judge it by.
    pub(crate) is_met: Option<bool>,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.is_met {
            Some(true) => "PASS",
            Some(false) => "MISS",
            None => "not judged",
        };
        write!(f, "{word:<5} {}: {}", self.promised, self.found)
    }
}

/// Whether a run of ours gave the number and the verdict that are right here.
pub(crate) fn is_exact(case: &Case, sample: &Sample) -> bool {
    let verdict = sample.reading.document.as_ref().and_then(|document| document["verdict"].as_str());
    let is_final = match case.verdict {
        Some(right) => verdict == Some(right),
        None => matches!(verdict, Some("exact" | "black_hole")),
    };
    is_final && sample.reading.answer == Answer::Mtu(sample.truth)
}

/// Whether a run named the router, if the path has one to name.
pub(crate) fn names_router(sample: &Sample) -> bool {
    let named =
        sample.reading.document.as_ref().and_then(|document| document["limited_by"]["address"].as_str());
    named == sample.limit.map(|address| address.to_string()).as_deref()
}

/// Whether it gave a number above the truth.
pub(crate) fn is_above(sample: &Sample) -> bool {
    matches!(sample.reading.answer, Answer::Mtu(mtu) if mtu > sample.truth)
}

impl Bar {
    pub(crate) fn judge(self, case: &Case, all: &[Series]) -> Judgement {
        let ours = series(all, Tool::MtuAgent);
        let count = |is: &dyn Fn(&Sample) -> bool| ours.iter().filter(|sample| is(sample)).count();
        let runs = ours.len();
        let judge =
            |promised: String, found: String, is_met| Judgement { promised, found, is_met: Some(is_met) };
        match self {
            Self::Exact | Self::ExactButOneIn50 => {
                let right = count(&|sample| is_exact(case, sample));
                let spare = if matches!(self, Self::Exact) { 0 } else { runs.div_ceil(50) };
                let promised = format!("exact in at least {} of {runs} runs", runs - spare);
                judge(promised, right.to_string(), right + spare >= runs)
            }
            Self::NeverAbove => {
                let above = count(&is_above);
                judge("never above the truth".to_owned(), format!("{above} runs"), above == 0)
            }
            Self::Hop => {
                let right = count(&names_router);
                judge("router named".to_owned(), format!("{right} of {runs} runs"), right == runs)
            }
            Self::Elapsed { rtts, plus_ms } => {
                let limit = rtts * case.rtt_ms + plus_ms;
                let times = ours.iter().filter_map(Sample::elapsed_ms);
                let Some(Spread { median, max, .. }) = Spread::of(times) else {
                    return judge(format!("within {limit:.1} ms"), "no time at all".to_owned(), false);
                };
                let slowest = ours.iter().find(|sample| sample.elapsed_ms() == Some(max));
                let whose = slowest.map(|sample| format!(" (MTU {}, seed {})", sample.truth, sample.seed));
                let found =
                    format!("median {median:.1} ms, slowest {max:.1} ms{}", whose.unwrap_or_default());
                judge(format!("verdict within {limit:.1} ms"), found, median <= limit)
            }
            Self::Packets(limit) => {
                let most = ours.iter().map(|sample| sample.reading.packets).max().unwrap_or_default();
                judge(format!("at most {limit} packets"), format!("most {most}"), most <= limit)
            }
            Self::MedianPackets(limit) => {
                let mut packets: Vec<_> = ours.iter().map(|sample| sample.reading.packets).collect();
                packets.sort_unstable();
                let median = packets.get(runs / 2).copied().unwrap_or_default();
                judge(format!("median at most {limit} packets"), median.to_string(), median <= limit)
            }
            Self::Bytes => {
                let limit = |sample: &Sample| if sample.own <= 1500 { 96_000 } else { 256_000 };
                let sent = |sample: &Sample| {
                    let document = sample.reading.document.as_ref();
                    document.and_then(|document| document["bytes_sent"].as_u64()).unwrap_or_default()
                };
                let most = ours.iter().map(sent).max().unwrap_or_default();
                let is_met = ours.iter().all(|sample| sent(sample) <= limit(sample));
                let limit = ours.iter().map(limit).max().unwrap_or_default();
                judge(format!("at most {limit} bytes"), format!("most {most}"), is_met)
            }
            Self::Faster { tool, times } => {
                let promised = if times > 1.0 {
                    format!("{times:.0} times faster than {}", tool.name())
                } else {
                    format!("faster than {}", tool.name())
                };
                let median = |tool| Spread::of(series(all, tool).iter().map(Sample::wall_ms));
                match (median(tool), median(Tool::MtuAgent)) {
                    (Some(theirs), Some(ours)) => {
                        let ratio = theirs.median / ours.median;
                        judge(promised, format!("{ratio:.1} times"), ratio > times)
                    }
                    (Some(_) | None, Some(_) | None) => {
                        Judgement { promised, found: "it did not run".to_owned(), is_met: None }
                    }
                }
            }
        }
    }
}

fn series(all: &[Series], tool: Tool) -> &[Sample] {
    all.iter().find(|series| series.tool == tool).map_or(&[], |series| &series.samples)
}
