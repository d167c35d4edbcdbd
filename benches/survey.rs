//! What a survey of 300 nested namespaces costs, as ratios: against a shell loop of `ip`, and against the bare
//! kernel dumps of the same things, which no survey can do without.
//!
//! `cargo bench --bench survey`, as root. It fails when a ratio misses its bar. `--bare` is for itself: it runs
//! inside of the lab, so that all three contestants start a process.

use std::{
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use mtu_lab::docker::{NetnsLab, Place};

#[path = "survey/bare.rs"]
mod bare;
#[path = "survey/nested.rs"]
mod nested;

use nested::{PODS, nested_host};

/// The shell loop takes seconds, and its ratio is far from its bar.
const SHELL_RUNS: usize = 3;
const RUNS: usize = 21;

/// The survey takes at most one 20th of what the shell loop does.
const FASTER_THAN_SHELL: f64 = 20.0;
/// The survey takes at most 2.5 times what the bare dumps do.
const SLOWER_THAN_BARE: f64 = 2.5;

/// What people do without mtu-agent.
const SHELL_LOOP: &str = r#"set -e
ip -j link; ip -j route; ip -j -6 route
for name in $(ls /run/netns); do
    ip -n "$name" -j link; ip -n "$name" -j route; ip -n "$name" -j -6 route
done"#;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--bare") {
        return match bare::dump_everything() {
            Ok(bytes) => {
                println!("{bytes}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("bare dumps: {error:#}");
                ExitCode::FAILURE
            }
        };
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench of the survey: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether both bars are met.
#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn compare() -> Result<bool> {
    let lab = nested_host()?;
    let survey = Contestant {
        name: "survey",
        words: vec![
            env!("CARGO_BIN_EXE_mtu-agent").into(),
            "survey".into(),
            "--no-probe".into(),
            "--output".into(),
            "json".into(),
        ],
    };
    let this = std::env::current_exe().context("find this bench's own program")?;
    let bare = Contestant {
        name: "bare dumps",
        words: vec![this.to_str().context("a path in UTF-8")?.to_owned(), "--bare".into()],
    };
    let shell = Contestant { name: "shell loop", words: vec!["sh".into(), "-c".into(), SHELL_LOOP.into()] };

    sees_everything(&survey.run(&lab)?.1)?;
    bare.run(&lab)?;
    let (mut of_survey, mut of_bare) = (Times::default(), Times::default());
    for run in 0..RUNS {
        // Who comes first finds other things in the caches.
        let mut turns = [(&survey, &mut of_survey), (&bare, &mut of_bare)];
        turns.rotate_left(run % 2);
        for (contestant, times) in turns {
            times.0.push(contestant.run(&lab)?.0);
        }
    }
    let mut of_shell = Times::default();
    for _ in 0..SHELL_RUNS {
        of_shell.0.push(shell.run(&lab)?.0);
    }

    println!("{} namespaces beside the host's, {RUNS} runs (shell loop: {SHELL_RUNS})", PODS * 3);
    println!("{:<12} {:>10} {:>10} {:>10}", "ms", "min", "median", "max");
    for (contestant, times) in [(&survey, &of_survey), (&bare, &of_bare), (&shell, &of_shell)] {
        let [min, median, max] = times.spread();
        println!("{:<12} {min:>10.1} {median:>10.1} {max:>10.1}", contestant.name);
    }
    let against_shell = of_shell.median() / of_survey.median();
    let against_bare = of_survey.median() / of_bare.median();
    let (fast, lean) = (against_shell >= FASTER_THAN_SHELL, against_bare <= SLOWER_THAN_BARE);
    let verdict = |met| if met { "met" } else { "MISSED" };
    println!("shell loop / survey  {against_shell:>6.1}  (at least {FASTER_THAN_SHELL}: {})", verdict(fast));
    println!("survey / bare dumps  {against_bare:>6.2}  (at most {SLOWER_THAN_BARE}: {})", verdict(lean));
    Ok(fast && lean)
}

struct Contestant {
    name: &'static str,
    words: Vec<String>,
}

impl Contestant {
    /// From the start of its process to its end, with what it printed. It runs where the host of the lab is.
    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    fn run(&self, lab: &NetnsLab) -> Result<(Duration, Vec<u8>)> {
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        let mut command: Command = NetnsLab::command(&words);
        let began = Instant::now();
        let output = lab.output(Place::Node, &mut command)?;
        let took = began.elapsed();
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} ended with {}: {stderr}", self.name, output.status);
        Ok((took, output.stdout))
    }
}

/// A survey that overlooks half of it would be a quick one.
fn sees_everything(json: &[u8]) -> Result<()> {
    let survey: serde_json::Value = serde_json::from_slice(json).context("parse the survey")?;
    let namespaces = survey["namespaces"].as_array().context("a list of namespaces")?;
    for (level, expected) in [(0, 1), (1, PODS), (2, PODS * 2)] {
        let seen = namespaces.iter().filter(|netns| netns["level"] == level).count();
        ensure!(seen == expected, "{seen} namespaces of level {level}, and not {expected}");
    }
    let read = namespaces.iter().filter(|netns| netns["default_route"]["evidence"] == "configured").count();
    ensure!(read == namespaces.len(), "the routes of {read} namespaces were read, of {}", namespaces.len());
    Ok(())
}

#[derive(Default)]
struct Times(Vec<Duration>);

impl Times {
    /// Smallest, median and largest, in milliseconds.
    fn spread(&self) -> [f64; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        [0, sorted.len() / 2, sorted.len() - 1].map(|position| sorted[position].as_secs_f64() * 1000.0)
    }

    fn median(&self) -> f64 {
        self.spread()[1]
    }
}
