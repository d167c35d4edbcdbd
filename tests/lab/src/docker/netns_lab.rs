//! A lab without docker: network namespaces with private names, and commands in them.

use std::{
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result};

use super::{
    Container, LabError, Process,
    machine::{self, Machine, Mounts},
    needs,
};

/// A network namespace of a lab.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The host: process 1 of the lab is in it, and `/sys` shows its links.
    Node,
    /// What a node downloads from. It has no name in `/run/netns`: it is outside of the host.
    Server,
    /// The hop in front of a virtual machine's uplink. No name either.
    Router,
    /// A pod of the host, `pod` in `/run/netns`.
    Pod,
    /// The one with this name in `/run/netns`.
    Netns(&'a str),
    /// That of a container.
    Container(&'a Container),
}

impl<'a> From<&'a Container> for Place<'a> {
    fn from(container: &'a Container) -> Self {
        Self::Container(container)
    }
}

/// Namespaces to build links in: a pid, mount and network namespace with its own `/proc`, `/run`, `/etc` and
/// `/sys`, so that no name is global and labs do not meet.
///
/// Nothing of it is left when it is dropped, nor when the test dies by any signal.
#[derive(Debug)]
pub struct NetnsLab {
    machine: Arc<Machine>,
}

impl NetnsLab {
    /// A lab with one network namespace, [`Place::Node`], in which only `lo` is up.
    pub fn new() -> Result<Self> {
        needs::check(needs::NETNS)?;
        Ok(Self { machine: Arc::new(Machine::start()?) })
    }

    /// Makes a network namespace with this name in `/run/netns`. Many at once: [`Self::ip_batch`].
    pub fn netns(&self, name: &str) -> Result<()> {
        self.ip(&["netns", "add", name]).map(drop)
    }

    /// Runs `ip` in [`Place::Node`], and returns what it says.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        self.check_in(Place::Node, &[&["ip"], arguments].concat())
    }

    /// Runs the lines of `script` as commands of one `ip` in `place`: quick for hundreds of links.
    pub fn ip_batch<'a>(&self, place: impl Into<Place<'a>>, script: &str) -> Result<()> {
        self.pipe(place, &["ip", "-batch", "-"], script).map(drop)
    }

    /// Runs `nft` with `script` in `place`.
    pub fn nft<'a>(&self, place: impl Into<Place<'a>>, script: &str) -> Result<()> {
        self.pipe(place, &["nft", "-f", "-"], script).map(drop)
    }

    /// Runs a program of the machine in `place` and in the lab's pid and mount namespace, to its end.
    pub fn run<'a>(&self, place: impl Into<Place<'a>>, words: &[&str]) -> Result<Output> {
        self.output(place, &mut Self::command(words))
    }

    /// Runs a program as [`Self::run`] does, and returns its stdout. Its failure is an error.
    pub fn check_in<'a>(&self, place: impl Into<Place<'a>>, words: &[&str]) -> Result<String> {
        let output = self.run(place, words)?;
        checked(words, output)
    }

    /// Starts a command in `place` that the caller has set up: environment, pipes, user. See [`Self::command`].
    pub fn spawn<'a>(&self, place: impl Into<Place<'a>>, command: &mut Command) -> Result<Process> {
        let netns = self.open(place.into())?;
        self.machine.start_process(netns.as_fd(), Mounts::Lab, command)
    }

    /// Runs a command that the caller has set up in `place`, to its end.
    pub fn output<'a>(&self, place: impl Into<Place<'a>>, command: &mut Command) -> Result<Output> {
        let netns = self.open(place.into())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.machine.spawn(netns.as_fd(), Mounts::Lab, command)?;
        child.wait_with_output().with_context(|| format!("wait for `{}`", machine::words(command)))
    }

    /// A command with nothing in its environment that would differ between machines (proxies!).
    pub fn command(words: &[&str]) -> Command {
        let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", needs::PATH)
            .env("HOME", "/run/lab/home")
            .env("TMPDIR", "/run/tmp")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Runs `f` on a new thread of the test that is in the network namespace of `place`: to open sockets there.
    pub fn enter<'a, T: Send>(&self, place: impl Into<Place<'a>>, f: impl FnOnce() -> T + Send) -> Result<T> {
        let netns = self.open(place.into())?;
        machine::in_netns(netns.as_fd(), f)
    }

    /// Sets `net.…`, written with slashes (`net/ipv4/ip_forward`), in `place`.
    pub fn sysctl<'a>(&self, place: impl Into<Place<'a>>, key: &str, value: &str) -> Result<()> {
        self.sysctls(place, &[(key, value)])
    }

    /// Sets several [`Self::sysctl`]s in `place`, in this order.
    pub fn sysctls<'a>(&self, place: impl Into<Place<'a>>, values: &[(&str, &str)]) -> Result<()> {
        let directory = self.path("/proc/sys");
        self.enter(place, || {
            values.iter().try_for_each(|(key, value)| {
                std::fs::write(directory.join(key), value).with_context(|| format!("set {key} to {value}"))
            })
        })?
    }

    /// Sets the MTU of a link.
    pub fn set_link_mtu<'a>(&self, place: impl Into<Place<'a>>, link: &str, mtu: u16) -> Result<()> {
        self.check_in(place, &["ip", "link", "set", "dev", link, "mtu", &mtu.to_string()]).map(drop)
    }

    /// The MTU of a link, as the kernel reports it.
    pub fn link_mtu<'a>(&self, place: impl Into<Place<'a>>, link: &str) -> Result<u32> {
        let json = self.check_in(place, &["ip", "-j", "link", "show", "dev", link])?;
        let links: serde_json::Value = serde_json::from_str(&json).context("parse `ip -j link`")?;
        let mtu = links[0]["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
        mtu.with_context(|| format!("an MTU of {link} in {json}"))
    }

    /// Forgets what `place` has learned of path MTUs.
    pub fn flush_route_cache<'a>(&self, place: impl Into<Place<'a>>) -> Result<()> {
        let place = place.into();
        self.check_in(place, &["ip", "-4", "route", "flush", "cache"])?;
        self.check_in(place, &["ip", "-6", "route", "flush", "cache"]).map(drop)
    }

    /// Where the test finds the lab's file `in_lab`.
    pub fn path(&self, in_lab: impl AsRef<Path>) -> PathBuf {
        self.machine.path(&in_lab.as_ref().to_string_lossy())
    }

    /// The network namespace of `place`, which lives at least as long as this descriptor.
    pub fn open(&self, place: Place<'_>) -> Result<OwnedFd> {
        match place {
            Place::Node => {
                let namespaces = self.machine.namespaces()?;
                namespaces.net().try_clone_to_owned().context("copy a descriptor")
            }
            Place::Server => self.machine.open_netns(&unnamed("server")),
            Place::Router => self.machine.open_netns(&unnamed("router")),
            Place::Pod => self.machine.open_netns("/run/netns/pod"),
            Place::Netns(name) => self.machine.open_netns(&format!("/run/netns/{name}")),
            Place::Container(container) => container.netns().try_clone().context("copy a descriptor"),
        }
    }

    /// What everything of this lab that has a global name has in it.
    pub fn name(&self) -> &str {
        self.machine.name()
    }

    /// The process that ends when nothing of the lab is left, even if the test is killed.
    pub fn supervisor(&self) -> Result<u32, LabError> {
        self.machine.supervisor()
    }

    /// Ends everything, and says what was wrong with it; dropping the lab does the same in silence.
    pub fn shut_down(&self) -> Result<()> {
        self.machine.shut_down()
    }

    pub(super) fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Makes a network namespace that is not in `/run/netns`, and returns the file that keeps it.
    pub(super) fn unnamed_netns(&self, name: &str) -> Result<String> {
        let path = unnamed(name);
        std::fs::write(self.path(&path), "").with_context(|| format!("make {path} in the lab"))?;
        self.check_in(Place::Node, &["unshare", &format!("--net={path}"), "true"])?;
        Ok(path)
    }

    fn pipe<'a>(&self, place: impl Into<Place<'a>>, words: &[&str], input: &str) -> Result<String> {
        let netns = self.open(place.into())?;
        let output = self.machine.pipe(netns.as_fd(), &mut Self::command(words), input)?;
        checked(words, output).with_context(|| format!("with the input\n{input}"))
    }
}

impl Drop for NetnsLab {
    fn drop(&mut self) {
        // A test that wants to know calls `shut_down` itself; a panic in a drop would hide the test's own.
        drop(self.machine.shut_down());
    }
}

fn unnamed(name: &str) -> String {
    format!("/run/lab/netns/{name}")
}

/// The stdout of a command that did not fail.
pub(super) fn checked(words: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(LabError::Command { command: words.join(" "), status: output.status, stderr }.into());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what `{}` says", words.join(" ")))
}
