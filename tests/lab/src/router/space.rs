//! A network namespace that a thread of ours holds, and nobody else: no name in the file system, no process.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::gettid;

type Job = Box<dyn FnOnce() + Send>;

/// A fresh network namespace with its loopback up. It ends with this value, or with the process.
#[derive(Debug)]
pub struct Space {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    thread_id: i32,
}

impl Space {
    /// Makes one. Needs `CAP_SYS_ADMIN`.
    pub fn new() -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
            let joined = unshare(CloneFlags::CLONE_NEWNET).map(|()| gettid().as_raw());
            let is_made = joined.is_ok();
            if ready.send(joined).is_ok() && is_made {
                for job in inbox {
                    job();
                }
            }
        })?;
        let thread_id = is_ready.recv()?.context("make a network namespace: needs CAP_SYS_ADMIN")?;
        let space = Self { jobs: Some(jobs), thread: Some(thread), thread_id };
        // Else a router's own addresses are tentative for a second or two, and it asks for no neighbour.
        space.sysctl("ipv6/conf/default/accept_dad", "0")?;
        space.sysctl("ipv6/conf/all/accept_dad", "0")?;
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// What `ip link … netns` takes to name this namespace: a thread's id does as well as a process's.
    pub fn id(&self) -> i32 {
        self.thread_id
    }

    /// Runs `f` on the thread in this namespace and waits for it. Threads that `f` starts stay in it.
    pub fn run<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (answer, is_done) = mpsc::channel();
        let job = Box::new(move || {
            let _ = answer.send(f());
        });
        let jobs = self.jobs.as_ref().context("the namespace is being dropped")?;
        jobs.send(job).map_err(|_| anyhow!("the thread of the namespace has ended"))?;
        is_done.recv().context("the job in the namespace panicked")
    }

    /// Runs `ip ARGUMENTS` in it.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        self.command("ip", arguments.split_whitespace().map(str::to_owned).collect(), None).map(drop)
    }

    /// Output of `ip ARGUMENTS` in it.
    pub fn ip_output(&self, arguments: &str) -> Result<String> {
        self.command("ip", arguments.split_whitespace().map(str::to_owned).collect(), None)
    }

    /// Loads a ruleset with `nft -f -` in it.
    pub fn nft(&self, ruleset: &str) -> Result<()> {
        self.command("nft", vec!["-f".to_owned(), "-".to_owned()], Some(ruleset.to_owned())).map(drop)
    }

    /// Sets a `net.*` variable, by its path below `/proc/sys/net`. The kernel shows each thread its own.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<()> {
        let (path, value) = (format!("/proc/sys/net/{path}"), value.to_owned());
        self.run(move || std::fs::write(&path, value).with_context(|| format!("write {path}")))?
    }

    fn command(
        &self,
        program: &'static str,
        arguments: Vec<String>,
        input: Option<String>,
    ) -> Result<String> {
        self.run(move || {
            let mut command = Command::new(program);
            command.args(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
            let mut child = command.spawn().with_context(|| format!("start {program}"))?;
            if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
                std::io::Write::write_all(&mut stdin, input.as_bytes())?;
            }
            let output = child.wait_with_output()?;
            ensure!(
                output.status.success(),
                "{program} {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })?
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // The thread ends when nothing more can be asked of it.
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
