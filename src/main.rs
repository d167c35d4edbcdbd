//! Command line of `mtu-agent`.

mod agent_command;
mod cli;
mod controller_command;
mod probe;
mod survey;
mod terminal;
mod tune;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mtu_agent::kernel::limits;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

/// All is well.
const FINE: u8 = 0;
/// A mismatch or a black hole was found.
const MISMATCH: u8 = 1;
/// There is something to change.
const CHANGES: u8 = 1;
/// It could not be told.
const UNKNOWN: u8 = 2;
/// `EX_USAGE` of sysexits.h; clap's own 2 means something else here.
const USAGE: u8 = 64;

/// The client of the API server logs each failure of each try: what comes of them is told once, by who tries.
const LASTING_LOG: &str = "info,kube_client=off,kube_runtime=off";

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            let _nobody_reads_it = answer.print();
            let asked_for = matches!(answer.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return ExitCode::from(if asked_for { FINE } else { USAGE });
        }
    };
    let lasts = matches!(cli.command, Command::Agent(_) | Command::Controller(_));
    let log = cli.log.as_deref().unwrap_or(if lasts { LASTING_LOG } else { "warn" });
    let Ok(filter) = EnvFilter::try_new(log) else {
        terminal::complain(&format!("--log {log:?} is no filter: give a level, or TARGET=LEVEL"));
        return ExitCode::from(USAGE);
    };
    terminal::log(filter, lasts);
    limits::raise_open_files();
    let done = match cli.command {
        Command::Survey(args) => survey::run(args, cli.color),
        Command::Agent(args) => agent_command::run(args),
        Command::Controller(args) => controller_command::run(args),
        Command::Probe(args) => probe::run(args, cli.color),
        Command::Tune(args) => tune::run(args, cli.color),
    };
    ExitCode::from(done.unwrap_or_else(|error| {
        terminal::complain(&format!("{error:#}"));
        UNKNOWN
    }))
}
