//! The namespaces of one lab, and the only code that joins them.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use anyhow::{Context as _, Result};
use nix::{mount::MsFlags, sched::CloneFlags};

use super::{LabError, needs, process};

/// What a process in the lab sees of its mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mounts {
    /// Those of the lab.
    Lab,
    /// A copy of its own: what it mounts, the rest of the lab does not see.
    Own,
    /// A copy of its own, but what it mounts in `/run` the lab sees too, as if it were on the node.
    OwnButRun,
}

/// A pid, mount and network namespace with a process 1 that ends when the test does.
#[derive(Debug)]
pub(super) struct Machine {
    name: String,
    /// The lab's process 1, as the test sees it.
    init: u32,
    running: Mutex<Option<Running>>,
    /// What the test started and may not have reaped: the kernel cannot end a pid namespace before. Where a test
    /// was killed, the machine's own process 1 reaps.
    children: Mutex<Vec<Weak<Mutex<Child>>>>,
}

#[derive(Debug)]
struct Running {
    namespaces: Arc<Namespaces>,
    /// Closed, it ends the lab; the kernel closes it when the test is killed.
    lifeline: ChildStdin,
    supervisor: Child,
}

#[derive(Debug)]
pub(super) struct Namespaces {
    pid: OwnedFd,
    mount: OwnedFd,
    net: OwnedFd,
}

impl Machine {
    /// Starts process 1 and waits until its mounts are there.
    pub(super) fn start() -> Result<Self> {
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("read a random name")?;
        let name = format!("mtu-lab-{}", &uuid[..8]);
        let mut supervisor = Command::new("sh")
            .args(["-c", include_str!("supervise.sh"), "lab-supervisor", &name, include_str!("init.sh")])
            .env_clear()
            .env("PATH", needs::PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C, or a test runner's kill of the test's process group, must not reach it: it cleans up.
            .process_group(0)
            .spawn()
            .context("start `sh` to supervise a lab")?;
        let lifeline = supervisor.stdin.take().context("the supervisor has a stdin")?;
        let said = supervisor.stdout.take().context("the supervisor has a stdout")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).context("read the pid of the lab's process 1")?;
        let Ok(init) = line.trim().parse() else {
            drop(lifeline);
            let status = supervisor.wait().context("wait for a lab that did not start")?;
            anyhow::bail!(
                "make the namespaces of a lab (root is needed): `unshare` or init.sh ended with {status}"
            );
        };
        let open = |kind| {
            let path = format!("/proc/{init}/ns/{kind}");
            File::open(&path).map(OwnedFd::from).with_context(|| format!("open {path}"))
        };
        let namespaces = Arc::new(Namespaces { pid: open("pid")?, mount: open("mnt")?, net: open("net")? });
        let running = Mutex::new(Some(Running { namespaces, lifeline, supervisor }));
        Ok(Self { name, init, running, children: Mutex::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Of the process that cleans up: it ends when nothing of the lab is left.
    pub(super) fn supervisor(&self) -> Result<u32, LabError> {
        self.running().as_ref().map(|running| running.supervisor.id()).ok_or(LabError::Gone)
    }

    /// Where the test finds a file of the lab.
    pub(super) fn path(&self, in_lab: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{in_lab}", self.init))
    }

    pub(super) fn namespaces(&self) -> Result<Arc<Namespaces>, LabError> {
        self.running().as_ref().map(|running| Arc::clone(&running.namespaces)).ok_or(LabError::Gone)
    }

    /// The network namespace that a file of the lab names.
    pub(super) fn open_netns(&self, in_lab: &str) -> Result<OwnedFd> {
        let opened = File::open(self.path(in_lab));
        opened.map(OwnedFd::from).with_context(|| format!("open the lab's network namespace {in_lab}"))
    }

    /// Starts `command` in the lab's pid and mount namespace and in `netns`.
    pub(super) fn spawn(
        &self,
        netns: BorrowedFd<'_>,
        mounts: Mounts,
        command: &mut Command,
    ) -> Result<Child> {
        let namespaces = self.namespaces()?;
        let what = words(command);
        let spawned = on_new_thread(|| {
            join(&namespaces, netns, mounts)?;
            command.spawn()
        });
        spawned.with_context(|| format!("start `{what}` in the lab"))
    }

    /// Runs `command` with this stdin, to its end.
    pub(super) fn pipe(&self, netns: BorrowedFd<'_>, command: &mut Command, input: &str) -> Result<Output> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.spawn(netns, Mounts::Lab, command)?;
        let mut stdin = child.stdin.take().context("the command has a stdin")?;
        let written = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().with_context(|| format!("wait for `{}`", words(command)))?;
        // One that fails early does not read all: its own error is the better one.
        if output.status.success() {
            written.with_context(|| format!("write the input of `{}`", words(command)))?;
        }
        Ok(output)
    }

    /// Starts `command` as [`Self::spawn`] does, for longer than a call.
    pub(super) fn start_process(
        &self,
        netns: BorrowedFd<'_>,
        mounts: Mounts,
        command: &mut Command,
    ) -> Result<process::Process> {
        let process = process::Process::new(self.spawn(netns, mounts, command)?)?;
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(process.child()));
        Ok(process)
    }

    /// Ends everything, and returns when it is gone. The second time it does nothing.
    pub(super) fn shut_down(&self) -> Result<()> {
        let Some(Running { namespaces, lifeline, mut supervisor }) = self.running().take() else {
            return Ok(());
        };
        drop(lifeline);
        drop(namespaces);
        for child in self.children.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if let Some(child) = child.upgrade() {
                process::reap(&child).context("reap a process of the lab")?;
            }
        }
        let status = supervisor.wait().context("wait for the end of the lab")?;
        anyhow::ensure!(status.success(), "clean up after lab {}: ended with {status}", self.name);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Namespaces {
    /// The network namespace that the lab's process 1 is in.
    pub(super) fn net(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }
}

/// Runs `f` on a new thread in `netns`, which ends with `f`.
pub(super) fn in_netns<T: Send>(netns: BorrowedFd<'_>, f: impl FnOnce() -> T + Send) -> Result<T> {
    let done = on_new_thread(|| {
        join_netns(netns)?;
        Ok(f())
    });
    done.context("join a network namespace of the lab")
}

/// A command line as one reads it.
pub(super) fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A thread that joined a namespace is never used for anything else.
fn on_new_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, f)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the lab's one place that joins namespaces, on threads that end"
)]
fn join_netns(netns: BorrowedFd<'_>) -> nix::Result<()> {
    nix::sched::setns(netns, CloneFlags::CLONE_NEWNET)
}

/// A joined pid namespace is that of the children only: the thread itself stays, so it may wait for them.
#[expect(
    clippy::disallowed_methods,
    reason = "the lab's one place that joins namespaces, on threads that end"
)]
fn join(namespaces: &Namespaces, netns: BorrowedFd<'_>, mounts: Mounts) -> nix::Result<()> {
    join_netns(netns)?;
    nix::sched::setns(&namespaces.pid, CloneFlags::CLONE_NEWPID)?;
    // A mount namespace is only joined by a thread that shares its root and working directory with no other.
    nix::sched::unshare(CloneFlags::CLONE_FS)?;
    nix::sched::setns(&namespaces.mount, CloneFlags::CLONE_NEWNS)?;
    match mounts {
        Mounts::Lab => Ok(()),
        // A lab with dockerds shares its `/run`.
        Mounts::OwnButRun => nix::sched::unshare(CloneFlags::CLONE_NEWNS),
        Mounts::Own => {
            nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
            let nothing = None::<&str>;
            nix::mount::mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)
        }
    }
}
