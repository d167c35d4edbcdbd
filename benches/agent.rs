//! What the agent promises, measured on real namespaces and real dockerds: how soon it tells a change, what it costs
//! while nothing happens, that it holds on to nothing, how large it is.
//!
//! `cargo bench --bench agent`, as root, in some five minutes; `-- --quick` in under one, with fewer of everything.
//! It fails when a bar is missed. Debian's node exporter (`benches/packages`) runs beside it for comparison.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

#[path = "agent/binary.rs"]
mod binary;
#[path = "agent/events.rs"]
mod events;
#[path = "agent/idle.rs"]
mod idle;
#[path = "agent/latency.rs"]
mod latency;
#[path = "agent/storm.rs"]
mod storm;
#[path = "agent/table.rs"]
mod table;
#[path = "agent/usage.rs"]
mod usage;

use table::Table;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    containers: usize,
    events: usize,
    storms: usize,
    idle: Duration,
}

const FULL: Amounts = Amounts { containers: 100, events: 100_000, storms: 10, idle: Duration::from_secs(20) };
const QUICK: Amounts = Amounts { containers: 10, events: 10_000, storms: 2, idle: Duration::from_secs(10) };

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    let amounts = if std::env::args().any(|argument| argument == "--quick") { QUICK } else { FULL };
    match measure(amounts) {
        Ok(table) => {
            println!("{table}");
            if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench of the agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(amounts: Amounts) -> Result<Table> {
    let mut table = Table::default();
    binary::measure(&mut table)?;
    latency::measure(amounts.containers, 0, &mut table)?;
    latency::measure(amounts.containers.div_ceil(10), idle::PODS, &mut table)?;
    storm::measure(amounts.storms, &mut table)?;
    events::measure(amounts.events, &mut table)?;
    idle::measure(amounts.idle, &mut table)?;
    Ok(table)
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
