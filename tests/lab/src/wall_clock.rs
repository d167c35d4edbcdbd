//! A wall clock of a process's own: the machine's is in no namespace, and a test must not step it.
//!
//! libfaketime answers `clock_gettime(CLOCK_REALTIME)` for the process, and reads from a file what to add. The
//! monotonic clock stays the kernel's, as it does where an administrator or NTP steps the real one.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};

use crate::docker::{NetnsLab, needs};

/// In the lab.
const FILE: &str = "/run/wall-clock";
/// The loader puts the directory of its architecture for `$LIB`.
const PRELOAD: &str = "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1";
const HOUR: Duration = Duration::from_hours(1);

/// Whither it steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An hour is left out.
    Ahead,
    /// An hour comes once more.
    Back,
}

/// The clock of whatever is started through [`Self::program`].
#[derive(Debug)]
pub struct WallClock<'a> {
    lab: &'a NetnsLab,
    step: Step,
    steps: u32,
}

impl<'a> WallClock<'a> {
    /// The right time, until it steps.
    pub fn right(lab: &'a NetnsLab, step: Step) -> Result<Self> {
        needs::check(needs::CLOCK)?;
        let clock = Self { lab, step, steps: 0 };
        clock.set()?;
        Ok(clock)
    }

    /// Starts what follows with this clock.
    pub fn program(&self) -> [&'static str; 5] {
        let file = "FAKETIME_TIMESTAMP_FILE=/run/wall-clock";
        ["env", PRELOAD, file, "FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    }

    /// Steps it by an hour, once more.
    pub fn step(&mut self) -> Result<()> {
        self.steps += 1;
        self.set()
    }

    /// What it reads now.
    #[expect(clippy::disallowed_methods, reason = "the real clock, which this one follows")]
    pub fn now(&self) -> SystemTime {
        let now = SystemTime::now();
        match self.step {
            Step::Ahead => now + HOUR * self.steps,
            Step::Back => now - HOUR * self.steps,
        }
    }

    fn set(&self) -> Result<()> {
        let sign = match self.step {
            Step::Ahead => '+',
            Step::Back => '-',
        };
        let path = self.lab.path(FILE);
        let new = path.with_extension("new");
        fs::write(&new, format!("{sign}{}h\n", self.steps)).context("write the wall clock's file")?;
        fs::rename(new, path).context("replace the wall clock's file")
    }
}
