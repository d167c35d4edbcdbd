//! What a process uses of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// In mebibytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) resident: f64,
    /// Since the process started.
    pub(super) highest: f64,
    pub(super) cpu: Duration,
}

impl Memory {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")?;
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
            number.map(|number| number / 1024.0).with_context(|| format!("{name} in\n{status}"))
        };
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?)).context("find its clock")?;
        Ok(Self {
            resident: mebibytes("VmRSS:")?,
            highest: mebibytes("VmHWM:")?,
            cpu: clock.now().context("read its clock")?.into(),
        })
    }
}
