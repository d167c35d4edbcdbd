//! A process in a lab, and waiting for the end of any process by event.

use std::{
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The end of a process, which need not be a child, as an event.
#[derive(Debug)]
pub struct Exit(OwnedFd);

impl Exit {
    /// Watches the process that has this pid now.
    pub fn of(pid: u32) -> Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = number.with_context(|| format!("{pid} is not a pid"))?;
        let watched = pidfd_open(pid, PidfdFlags::empty());
        Ok(Self(watched.with_context(|| format!("open a pidfd of {}", pid.as_raw_nonzero()))?))
    }

    /// Waits for the end; `false` if the process still runs after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        wait_readable(&[self.0.as_fd()], Some(timeout)).map(|ready| ready.is_some())
    }

    pub(super) fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of `fds` is readable, and returns its index; `None` after `timeout`.
pub(super) fn wait_readable(
    fds: &[std::os::fd::BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> Result<Option<usize>> {
    let timeout = match timeout {
        None => PollTimeout::NONE,
        Some(timeout) => PollTimeout::try_from(timeout).context("a timeout that poll can wait for")?,
    };
    let mut polled: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut polled, timeout) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
            Ok(_) => return Ok(polled.iter().position(|fd| fd.any() == Some(true))),
        }
    }
}

/// A process that was started in a lab. Dropped, it is killed and reaped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    exit: Exit,
    pid: u32,
}

impl Process {
    pub(super) fn new(child: Child) -> Result<Self> {
        let pid = child.id();
        Ok(Self { exit: Exit::of(pid)?, pid, child: Arc::new(Mutex::new(child)) })
    }

    pub(super) fn child(&self) -> &Arc<Mutex<Child>> {
        &self.child
    }

    /// The end of this process.
    pub fn exit(&self) -> &Exit {
        &self.exit
    }

    /// The pid as the test sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The pid as processes in the lab see it.
    pub fn lab_pid(&self) -> Result<u32> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let pids = nspids(&status);
        // The test may be in a pid namespace itself, but never in one of the lab's: the lab's pid is the next.
        pids.get(1).copied().with_context(|| format!("process {} is not in a pid namespace", self.pid))
    }

    /// The pipe to the process, if its command had `stdin(Stdio::piped())`. Once.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        locked(&self.child).stdin.take()
    }

    /// The pipe from the process, if its command had `stdout(Stdio::piped())`. Once.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        locked(&self.child).stdout.take()
    }

    /// The pipe from the process, if its command had `stderr(Stdio::piped())`. Once.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        locked(&self.child).stderr.take()
    }

    /// Sends a signal. One that comes after the end is no failure.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.exit.0, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send {signal:?} to {}", self.pid)),
        }
    }

    /// Waits for the end.
    pub fn wait(&self) -> Result<ExitStatus> {
        wait_readable(&[self.exit.fd()], None)?;
        reap(&self.child).with_context(|| format!("reap {}", self.pid))
    }

    /// Waits for the end; `None` if the process still runs after `timeout`.
    pub fn wait_for(&self, timeout: Duration) -> Result<Option<ExitStatus>> {
        if self.exit.wait(timeout)? { self.wait().map(Some) } else { Ok(None) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.signal(Signal::KILL).is_ok() {
            drop(self.wait());
        }
    }
}

/// Waits for a child and takes its status. A poisoned lock holds a child that is as good as any.
pub(super) fn reap(child: &Mutex<Child>) -> io::Result<ExitStatus> {
    locked(child).wait()
}

fn locked(child: &Mutex<Child>) -> std::sync::MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pids of a process in each pid namespace, outermost first, from its `/proc/PID/status`.
pub(super) fn nspids(status: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
