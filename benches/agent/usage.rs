//! What a process uses of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// What a process uses now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    /// Of it, what is no page of a file: what the process itself has written.
    pub(super) anonymous_bytes: u64,
    pub(super) open_files: usize,
    pub(super) threads: usize,
}

impl Usage {
    pub(super) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            number.map(|number| number * 1024).with_context(|| format!("{name} in\n{status}"))
        };
        // In nanoseconds, and with the threads that have ended: /proc counts in ticks of 10 ms.
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?)).context("find its clock")?;
        Ok(Self {
            cpu: clock.now().context("read its clock")?.into(),
            resident_bytes: kilobytes("VmRSS:")?,
            anonymous_bytes: kilobytes("RssAnon:")?,
            open_files: fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            threads: fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        })
    }
}

pub(super) fn mebibytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 1024).map_or(f64::INFINITY, f64::from) / 1024.0
}
