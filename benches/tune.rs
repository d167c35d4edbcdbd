//! What live tuning promises, measured with real dockerds: how soon a new link is answered, that none is missed, that
//! nothing is lost when the agent is killed, and that it costs nothing while nothing happens.
//!
//! `cargo bench --bench tune`, as root, in some twenty minutes; `-- --quick` in two, with fewer of everything. It
//! fails when a bar is missed. `.ci/run trixie` makes the second Docker.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

#[path = "tune/answer.rs"]
mod answer;
#[path = "../tests/lab_tune_live/checks.rs"]
mod checks;
#[path = "tune/idle.rs"]
mod idle;
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../tests/lab_tune_live/site.rs"]
mod site;
#[expect(dead_code, reason = "what the tests alone use")]
#[path = "../tests/lab_tune/state.rs"]
mod state;
#[path = "tune/storm.rs"]
mod storm;
#[path = "agent/table.rs"]
mod table;
#[expect(dead_code, reason = "what the bench of the agent alone uses")]
#[path = "agent/usage.rs"]
mod usage;

use checks::{SERVICE, fresh_containers_complete, killed_at_any_moment};
use mtu_lab::docker::Release;
use site::Site;
use table::Table;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    /// Pairs of links, made one after the other.
    pairs: usize,
    /// Containers that are started as fast as dockerd can.
    storm: usize,
    /// Containers at each level, one after the other.
    fresh: usize,
    kills: usize,
    idle: Duration,
}

const FULL: Amounts =
    Amounts { pairs: 1000, storm: 200, fresh: 100, kills: 200, idle: Duration::from_mins(1) };
const QUICK: Amounts = Amounts { pairs: 100, storm: 20, fresh: 6, kills: 4, idle: Duration::from_secs(10) };

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    let amounts = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    match measure(amounts) {
        Ok(table) => {
            println!("{table}");
            if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench of live tuning: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(amounts: Amounts) -> Result<Table> {
    let mut table = Table::default();
    idle::measure(&Site::machine(Release::Machine)?, amounts.idle, &mut table)?;
    for release in Release::ALL {
        let site = Site::pod(release)?;
        let docker = docker(&site)?;
        answer::measure(&site, &docker, amounts.pairs, &mut table)?;
        storm::measure(&site, &docker, amounts.storm, &mut table)?;
    }
    for release in Release::ALL {
        let site = Site::pod(release)?;
        let docker = docker(&site)?;
        let began = now();
        let in_the_middle = killed_at_any_moment(&site, amounts.kills)?;
        let what = format!("{docker}: {} kills: all finished, all taken back", amounts.kills);
        table.holds(what, format!("{:.0} s", began.elapsed().as_secs_f64()), true);
        let of = amounts.kills / 2;
        table.shown("  between two links", format!("{in_the_middle} of {of} that were not to finish"));

        let _agent = site.start("links")?;
        for level in &site.levels {
            site.lab.create_network(*level, SERVICE, None)?;
            fresh_containers_complete(&site, *level, amounts.fresh)?;
            let what = format!("{docker}, level {level}: right before their first packet");
            table.holds(what, format!("{0} of {0} containers", amounts.fresh), true);
        }
    }
    Ok(table)
}

/// The version of its dockerds.
fn docker(site: &Site) -> Result<String> {
    let version = site.lab.docker(site.levels[0], &["version", "--format", "{{.Server.Version}}"])?;
    Ok(format!("Docker {}", version.trim().trim_end_matches("+dfsg1")))
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
