//! What this process uses of the machine, as the kernel counts it.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Resource, getrlimit};

/// What a process uses. `None`: the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time on a processor, in user and kernel mode.
    pub cpu: Option<Duration>,
    /// Memory that is really there (`VmRSS`).
    pub resident_bytes: Option<u64>,
    /// Address space (`VmSize`).
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// How many there may be.
    pub max_open_files: Option<u64>,
}

/// What this process uses now.
pub fn usage() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let open_files = fs::read_dir("/proc/self/fd").ok().and_then(|fds| u64::try_from(fds.count()).ok());
    Usage {
        cpu: cpu(&stat),
        resident_bytes: kilobytes(&status, "VmRSS:"),
        virtual_bytes: kilobytes(&status, "VmSize:"),
        threads: field(&status, "Threads:").and_then(|threads| threads.parse().ok()),
        // The descriptor by which they are counted is one of them.
        open_files: open_files.map(|open| open.saturating_sub(1)),
        max_open_files: getrlimit(Resource::Nofile).current,
    }
}

/// When this process started, since the epoch. By the wall clock as it stands now: ask once.
pub fn started() -> Option<Duration> {
    let own = fs::read_to_string("/proc/self/stat").ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Duration::from_secs(booted.trim().parse().ok()?) + ticks(&own, 22)?)
}

/// `utime` and `stime`.
fn cpu(stat: &str) -> Option<Duration> {
    Some(ticks(stat, 14)? + ticks(stat, 15)?)
}

/// Field `number` of `/proc/PID/stat`, counted from 1 as `proc(5)` does, in clock ticks.
fn ticks(stat: &str, number: usize) -> Option<Duration> {
    // The second field is a name in parentheses that may hold anything, blanks and parentheses too.
    let (_pid_and_name, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()?;
    Some(Duration::from_millis(ticks.checked_mul(1000)? / clock_ticks_per_second()))
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    field(status, name)?.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests;
