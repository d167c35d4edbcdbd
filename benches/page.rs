//! How soon the status page of a host with 300 nested namespaces is drawn, in a real browser: where they look alike,
//! and where each differs from each and is wrong.
//!
//! `cargo bench --bench page`, as root. It fails when the bar is missed. The picture is kept under `target/tmp/page`.

use std::{fmt::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use mtu_lab::{
    agent::AgentSpec,
    browser::{Browser, Sight},
    docker::{NetnsLab, Place},
};

#[path = "survey/nested.rs"]
mod nested;

use nested::{PODS, nested_host};

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const RUNS: usize = 9;
/// From the request to the last of it drawn, of the slowest run.
const MILLISECONDS: f64 = 1000.0;

/// Milliseconds since the navigation began: until all is loaded, and until something is drawn; the page is drawn as
/// a whole.
const DRAWN: &str = "new Promise((done) => new PerformanceObserver((list) => {
    const painted = list.getEntriesByName('first-contentful-paint')[0];
    if (!painted) return;
    const loaded = performance.getEntriesByType('navigation')[0].loadEventEnd;
    done(Math.max(painted.startTime, loaded));
}).observe({type: 'paint', buffered: true}))";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    let mut met = true;
    for (name, wrong) in [("alike", false), ("different", true)] {
        match measure(name, wrong) {
            Ok(times) => {
                let [least, median, largest] = times;
                let is_met = largest < MILLISECONDS;
                met &= is_met;
                let verdict = if is_met { "met" } else { "MISSED" };
                println!(
                    "{} namespaces, {name}: {least:.0} ms at least, {median:.0} median, {largest:.0} at most (under \
                     {MILLISECONDS}: {verdict})",
                    PODS * 3
                );
            }
            Err(error) => {
                eprintln!("bench of the page: {error:#}");
                return ExitCode::FAILURE;
            }
        }
    }
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Least, median and largest of some runs, each in a tab of its own.
fn measure(name: &str, wrong: bool) -> Result<[f64; 3]> {
    let lab = nested_host()?;
    if wrong {
        narrow(&lab)?;
    }
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_mismatched(if wrong { PODS * OF_A_POD } else { 0 })?;
    let browser = Browser::start(&lab)?;
    let url = format!("http://{}/", agent.address());
    browser.open(&url, Sight::DESK).context("a first page, with which the browser itself starts")?.close()?;
    let mut times = Vec::new();
    for run in 0..RUNS {
        let tab = browser.open(&url, Sight::DESK)?;
        times.push(tab.evaluate(DRAWN)?.as_f64().context("a time")?);
        let text = tab.text()?;
        ensure!(text.contains("host") && text.contains("level 2"), "{text}");
        if run == 0 {
            tab.screenshot(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page/{name}.png")))?;
        }
        tab.close()?;
    }
    times.sort_by(f64::total_cmp);
    Ok([times[0], times[RUNS / 2], times[RUNS - 1]])
}

/// docker0, and both ends of two veths.
const OF_A_POD: usize = 5;

/// Gives each pod an MTU of its own, which what is nested in it exceeds.
fn narrow(lab: &NetnsLab) -> Result<()> {
    let mut outer = String::new();
    for pod in 0..PODS {
        let mtu = 1300 + pod;
        let _infallible = writeln!(outer, "link set veth{pod} mtu {mtu}");
        lab.ip_batch(Place::Netns(&format!("pod{pod}")), &format!("link set eth0 mtu {mtu}\n"))?;
    }
    lab.ip_batch(Place::Node, &outer)
}
