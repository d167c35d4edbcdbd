//! Runs the contestants of a case: those that answer at once by turns, those that wait all together.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Mutex;

use anyhow::{Context as _, Result};

use crate::cases::Case;
use crate::tool::{Reading, Tool};

/// So many slow peers wait side by side. They sleep nearly all the time.
const WAITING_AT_ONCE: usize = 16;

/// One run, with what would have been right.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) seed: usize,
    pub(crate) truth: u16,
    /// MTU of the client's own link.
    pub(crate) own: u16,
    pub(crate) limit: Option<IpAddr>,
    pub(crate) reading: Reading,
}

impl Sample {
    /// Of the whole process.
    pub(crate) fn wall_ms(&self) -> f64 {
        self.reading.wall.as_secs_f64() * 1000.0
    }

    /// From the first packet to the verdict; ours alone tells it.
    pub(crate) fn elapsed_ms(&self) -> Option<f64> {
        self.reading.document.as_ref()?["elapsed_ms"].as_f64()
    }
}

/// All runs of one tool on one case.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) tool: Tool,
    pub(crate) samples: Vec<Sample>,
}

/// Of mtu-agent and of the peers that answer at once. Who comes first changes from round to round.
pub(crate) fn by_turns(case: &Case) -> Result<Vec<Series>> {
    let mut contestants = vec![(Tool::MtuAgent, case.runs)];
    contestants.extend(&case.quick_peers);
    let mut all: Vec<_> =
        contestants.iter().map(|(tool, _)| Series { tool: *tool, samples: Vec::new() }).collect();
    let rounds = contestants.iter().map(|(_, runs)| *runs).max().unwrap_or_default();
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            let index = (round + turn) % contestants.len();
            if round < contestants[index].1 {
                all[index].samples.push(once(case, contestants[index].0, round)?);
            }
        }
    }
    Ok(all)
}

/// Of the slow peers of all cases: for each case, in the order of `cases`.
pub(crate) fn all_together(cases: &[Case]) -> Result<Vec<Vec<Series>>> {
    let runs_of = |(index, case): (usize, &Case)| -> Vec<_> {
        let of_tool =
            |(tool, runs): &(Tool, usize)| (0..*runs).map(|run| (index, *tool, run)).collect::<Vec<_>>();
        case.slow_peers.iter().flat_map(of_tool).collect()
    };
    let mut jobs: Vec<_> = cases.iter().enumerate().flat_map(runs_of).collect();
    // Those that take longest begin first.
    jobs.sort_by_key(|(_, tool, _)| *tool != Tool::Scamper);
    let jobs = Mutex::new(VecDeque::from(jobs));
    let next = || jobs.lock().expect("no job panics while it takes one").pop_front();
    let work = || -> Result<Vec<(usize, Tool, Sample)>> {
        let mut done = Vec::new();
        while let Some((index, tool, run)) = next() {
            done.push((index, tool, once(&cases[index], tool, run)?));
        }
        Ok(done)
    };
    let done = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WAITING_AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
        ended.collect::<Result<Vec<_>>>()
    })?;
    let mut all: Vec<Vec<Series>> = cases
        .iter()
        .map(|case| {
            case.slow_peers.iter().map(|(tool, _)| Series { tool: *tool, samples: Vec::new() }).collect()
        })
        .collect();
    for (index, tool, sample) in done.into_iter().flatten() {
        if let Some(series) = all[index].iter_mut().find(|series| series.tool == tool) {
            series.samples.push(sample);
        }
    }
    Ok(all)
}

/// On a path of its own.
fn once(case: &Case, tool: Tool, run: usize) -> Result<Sample> {
    let layout = &case.layouts[run % case.layouts.len()];
    let attempt = || -> Result<Sample> {
        let lane = layout.make(case.family, u64::try_from(run)?)?;
        let reading = tool.run(layout, &lane)?;
        let limit = lane.limit;
        lane.end()?;
        Ok(Sample { seed: run, truth: layout.truth(), own: layout.own(), limit, reading })
    };
    attempt().with_context(|| format!("{}: run {run} of {}", case.name, tool.name()))
}
