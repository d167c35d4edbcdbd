//! How fast and how truly a path MTU is found, by mtu-agent and by the tools that Debian has, on the same paths.
//!
//! `cargo bench --bench probe`, as root. It fails when a bar is missed. Behind `--`:
//!
//! - `--quick` takes fewer runs, and the slow peers on one case only;
//! - `--no-peers` leaves the peers out;
//! - `--only TEXT` takes the cases with TEXT in their titles.
//!
//! Times are of whole processes, so that all start alike; "to verdict" is from the first packet on, as our JSON
//! tells it, and that is what the bars in milliseconds are about. A bar in milliseconds is met by the median: this
//! host may take the core away from any single run. Each run has a path of its own, in namespaces of its own.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

#[path = "probe/bars.rs"]
mod bars;
#[path = "probe/cases.rs"]
mod cases;
#[path = "probe/lane.rs"]
mod lane;
#[path = "probe/measure.rs"]
mod measure;
#[path = "probe/parse.rs"]
mod parse;
#[path = "probe/table.rs"]
mod table;
#[path = "probe/tool.rs"]
mod tool;

use cases::{Case, Effort};
use measure::Series;
use tool::Tool;

#[expect(clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| compare(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench of the probe: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, Default)]
struct Options {
    is_quick: bool,
    has_no_peers: bool,
    only: Option<String>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // From cargo.
                "--bench" => {}
                "--quick" => options.is_quick = true,
                "--no-peers" => options.has_no_peers = true,
                "--only" => options.only = Some(arguments.next().context("--only needs a text")?),
                other => bail!("{other} is none of --quick, --no-peers, --only TEXT"),
            }
        }
        Ok(options)
    }
}

/// Whether all bars are met.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn compare(options: &Options) -> Result<bool> {
    let mut cases = cases::all(Effort { is_quick: options.is_quick })?;
    if let Some(text) = &options.only {
        cases.retain(|case| table::title(case).contains(text.as_str()));
    }
    let absent = absent_peers(options);
    for case in &mut cases {
        case.quick_peers.retain(|(tool, _)| !absent.contains(tool));
        case.slow_peers.retain(|(tool, _)| !absent.contains(tool));
    }

    let mut measured = Vec::new();
    for case in &cases {
        eprintln!("measuring: {}", table::title(case));
        measured.push(measure::by_turns(case)?);
    }
    let waiting: usize = cases.iter().flat_map(|case| &case.slow_peers).map(|(_, runs)| runs).sum();
    if waiting > 0 {
        eprintln!("measuring: {waiting} runs of slow peers, side by side");
    }
    for (of_case, of_slow) in measured.iter_mut().zip(measure::all_together(&cases)?) {
        of_case.extend(of_slow);
    }

    let mut missed = 0;
    for (case, all) in cases.iter().zip(&measured) {
        println!("\n== {}\n{}", table::title(case), table::render(case, all).trim_end());
        missed += judge(case, all);
    }
    println!("\n{missed} bars missed");
    Ok(missed == 0)
}

/// Prints how each bar of a case is met, and tells how many are not.
#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn judge(case: &Case, all: &[Series]) -> usize {
    let judged: Vec<_> = case.bars.iter().map(|bar| bar.judge(case, all)).collect();
    for judgement in &judged {
        println!("{judgement}");
    }
    print!("{}", table::misses(case, all));
    judged.iter().filter(|judgement| judgement.is_met == Some(false)).count()
}

/// The peers that do not take part; says why where that is not on request.
#[expect(clippy::print_stderr, reason = "a bench prints what it lacks")]
fn absent_peers(options: &Options) -> Vec<Tool> {
    if options.has_no_peers {
        return Tool::PEERS.to_vec();
    }
    let missing = |tool: &Tool| {
        let package = tool.missing()?;
        eprintln!("no {} here, so nothing is compared with it: install Debian's {package}", tool.name());
        Some(*tool)
    };
    Tool::PEERS.iter().filter_map(missing).collect()
}
