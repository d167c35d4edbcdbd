//! What can go wrong with a lab, for a test that wants to tell one from another. All else is `anyhow`.

use std::process::ExitStatus;

/// Why a lab, or something in it, does not work.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program that the lab starts is not installed.
    #[error("`{program}` is not installed: `apt-get install {package}` (tests/lab/packages has all)")]
    Missing {
        /// The program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Debian trixie was not made.
    #[error("Debian trixie is not in the target directory: `.ci/run trixie` makes it, once")]
    NoTrixie,
    /// A command ended with a failure.
    #[error("`{command}` ended with {status}: {stderr}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last that it said.
        stderr: String,
    },
    /// A daemon ended before it was ready, or was not ready in time.
    #[error("dockerd of level {level} {what}; the end of its log:\n{log}")]
    Daemon {
        /// The level that its containers are at.
        level: u8,
        /// What it did.
        what: String,
        /// The tail of its log.
        log: String,
    },
    /// The lab was dropped before.
    #[error("the lab is gone")]
    Gone,
}
