//! Real dockerds, one in a container of the other, and their clients.

use std::{
    fmt, fs,
    os::fd::{AsFd as _, BorrowedFd},
    os::unix::net::UnixDatagram,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::{
    Container, LabError, NetnsLab, Place, Process,
    client::Client,
    machine::Mounts,
    pod,
    process::wait_readable,
    release::{self, Iptables, Release},
};

/// How deep a dockerd's containers are: the host is level 0, its pods and containers are level 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Containers of a dockerd on the host itself.
    One,
    /// Containers of a dockerd in a pod, or in a container of level 1.
    Two,
    /// Containers of a dockerd in a container of level 2.
    Three,
}

impl Level {
    /// Outermost first.
    pub const ALL: [Self; 3] = [Self::One, Self::Two, Self::Three];

    /// As a number.
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The level that the daemon itself is at, if that is a container's.
    pub(super) fn outward(self) -> Option<Self> {
        match self {
            Self::One => None,
            Self::Two => Some(Self::One),
            Self::Three => Some(Self::Two),
        }
    }

    /// Where a daemon keeps its files, in the lab as in its container.
    pub(super) fn directory(self) -> String {
        format!("/run/lab/level{}", self.number())
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// The configuration of a dockerd. The default is docker's: bridges of 1500.
#[derive(Clone, Debug, Default)]
pub struct Dockerd {
    arguments: Vec<String>,
    daemon_json: Option<String>,
    release: Release,
    iptables: Iptables,
}

impl Dockerd {
    /// A dockerd as it is without configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `--mtu`.
    #[must_use]
    pub fn mtu(self, mtu: u16) -> Self {
        self.arg(&format!("--mtu={mtu}"))
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Whose it is; without, the machine's.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// What it makes its rules with; without, iptables-nft.
    #[must_use]
    pub fn iptables(mut self, iptables: Iptables) -> Self {
        self.iptables = iptables;
        self
    }

    /// The text of its daemon.json. Without, it reads `/etc/docker/daemon.json` of the lab, or of its container.
    #[must_use]
    pub fn daemon_json(mut self, json: &str) -> Self {
        self.daemon_json = Some(json.to_owned());
        self
    }
}

/// The image that containers are made of: a static shell, and mount points.
pub(super) const IMAGE: &str = "lab";

/// The machine's programs, in a container, whatever dockerd it is of.
pub(super) const USERLAND: [&str; 4] =
    ["-v", "/run/lab/usr/machine:/usr:ro", "-v", "/etc/alternatives:/etc/alternatives:ro"];

/// All that a dockerd needs inside of a container, short of `--privileged`, which needs every capability that
/// exists and so fails where the machine itself lacks one.
const NESTED: &str = "--cap-add=NET_ADMIN --cap-add=NET_RAW --cap-add=SYS_ADMIN --cap-add=SYS_CHROOT \
    --cap-add=SYS_PTRACE --cap-add=MKNOD --cap-add=DAC_READ_SEARCH --cap-add=SYS_MODULE --cap-add=IPC_LOCK \
    --cap-add=LINUX_IMMUTABLE --cap-add=AUDIT_CONTROL --cap-add=SYSLOG --security-opt=seccomp=unconfined \
    --security-opt=apparmor=unconfined --security-opt=systempaths=unconfined --cgroupns=host \
    --volume=/sys/fs/cgroup:/sys/fs/cgroup --sysctl=net.ipv6.conf.default.accept_dad=0";

/// How long a daemon may take to start, or to stop, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where a daemon is to run.
pub(super) enum Host<'a> {
    /// In a network namespace of the lab, as a sidecar: what it mounts is its own.
    Sidecar(Place<'a>),
    /// The same in the pod, with its containers in the pod's control group.
    PodsSidecar,
    /// On the node, as on a virtual machine: what it mounts is the node's, and `/run/docker` too.
    Node,
    /// In a container of the daemon of this level.
    Container(Level),
}

/// A dockerd that is ready.
#[derive(Debug)]
pub(super) struct Daemon {
    process: Process,
    /// What it runs in, if that is a container.
    container: Option<Container>,
}

/// What runc says, rarely and on a busy machine, when the process that was to become a container ended under its hands
/// (<https://github.com/concourse/concourse/issues/6180>).
const RUNC_LOST_ITS_INIT: &str = "waiting for init preliminary setup: read init-p: connection reset by peer";

impl Daemon {
    /// Starts a dockerd and returns when it is ready, with the lab's image.
    ///
    /// `outer` is the pid of the container that the daemon of the level outward runs in.
    pub(super) fn start(
        lab: &NetnsLab,
        level: Level,
        host: &Host<'_>,
        outer: Option<u32>,
        dockerd: &Dockerd,
        ipv6: bool,
    ) -> Result<Self> {
        release::check(dockerd.release)?;
        let directory = level.directory();
        let at = lab.path(&directory);
        fs::create_dir_all(at.join("data")).with_context(|| format!("make {directory} in the lab"))?;
        if let Some(json) = &dockerd.daemon_json {
            fs::write(at.join("daemon.json"), json).context("write daemon.json")?;
        }
        let notify = at.join("notify");
        drop(fs::remove_file(&notify));
        let ready = UnixDatagram::bind(&notify).with_context(|| format!("bind {}", notify.display()))?;
        let words = words(lab.name(), level, host, dockerd, ipv6);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let launch = || -> Result<Process> {
            let (mut command, netns, mounts) = match host {
                Host::Sidecar(place) => (of_release(dockerd, &words), lab.open(*place)?, Mounts::Own),
                Host::PodsSidecar => (of_release(dockerd, &words), lab.open(Place::Pod)?, Mounts::Own),
                Host::Node => (of_release(dockerd, &words), lab.open(Place::Node)?, Mounts::OwnButRun),
                Host::Container(outward) => {
                    let client = Client::new(lab.machine(), *outward);
                    (nested(&client, level, dockerd, &words), lab.open(Place::Node)?, Mounts::Lab)
                }
            };
            let log = fs::File::create(at.join("log")).context("make a log")?;
            command.env("NOTIFY_SOCKET", format!("{directory}/notify"));
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
            let process = lab.machine().start_process(netns.as_fd(), mounts, &mut command)?;
            wait_until_ready(&ready, process.exit().fd(), &|what| failure(lab, level, what))?;
            Ok(process)
        };
        let process = match launch() {
            // Its container did not begin: there was no dockerd yet.
            Err(_) if log(lab, level)?.contains(RUNC_LOST_ITS_INIT) => launch()?,
            launched => launched?,
        };
        let client = Client::new(lab.machine(), level);
        if client.run(&["image", "ls", "--quiet", IMAGE])?.is_empty() {
            client.run(&["import", "/run/lab/image.tar", IMAGE])?;
        }
        let container = match host {
            Host::Sidecar(_) | Host::PodsSidecar | Host::Node => None,
            Host::Container(outward) => {
                Some(Container::find(Client::new(lab.machine(), *outward), outer, &nested_name(level))?)
            }
        };
        Ok(Self { process, container })
    }

    /// Stops it as an init system would, and waits for its end.
    pub(super) fn stop(self, lab: &NetnsLab, level: Level) -> Result<()> {
        self.process.signal(Signal::TERM)?;
        match self.process.wait_for(PATIENCE)? {
            Some(_ended) => Ok(()),
            None => Err(failure(lab, level, format!("still runs {PATIENCE:?} after SIGTERM")).into()),
        }
    }

    /// The pid of the dockerd, as processes in the lab see it.
    pub(super) fn pid(&self) -> Result<u32> {
        self.container.as_ref().map_or_else(|| self.process.lab_pid(), |container| Ok(container.pid()))
    }

    pub(super) fn container(&self) -> Option<&Container> {
        self.container.as_ref()
    }
}

/// The log of the daemon of a level, so far.
pub(super) fn log(lab: &NetnsLab, level: Level) -> Result<String> {
    let path = lab.path(format!("{}/log", level.directory()));
    fs::read_to_string(path).with_context(|| format!("read the log of dockerd of level {level}"))
}

fn words(lab: &str, level: Level, host: &Host<'_>, dockerd: &Dockerd, ipv6: bool) -> Vec<String> {
    let directory = level.directory();
    let mut words: Vec<String> = [
        "dockerd",
        "--host",
        &format!("unix://{directory}/sock"),
        "--pidfile",
        &format!("{directory}/pid"),
        "--exec-opt",
        "native.cgroupdriver=cgroupfs",
        "--cgroup-parent",
        &group(lab, level, host),
    ]
    .map(str::to_owned)
    .into();
    if let Host::Sidecar(_) | Host::PodsSidecar | Host::Node = host {
        words.extend(["--data-root".to_owned(), format!("{directory}/data")]);
    }
    if let Host::Sidecar(_) | Host::PodsSidecar = host {
        words.extend(["--exec-root".to_owned(), format!("{directory}/exec")]);
    }
    if dockerd.daemon_json.is_some() {
        words.extend(["--config-file".to_owned(), format!("{directory}/daemon.json")]);
    }
    if ipv6 {
        // Experimental in docker 20.10, and without it containers would have addresses that nobody routes.
        words.extend(["--ipv6", "--experimental", "--ip6tables", "--fixed-cidr-v6"].map(str::to_owned));
        words.push(format!("fd00:{level}::/64"));
    }
    words.extend(dockerd.arguments.iter().cloned());
    words
}

/// Where the control groups of its containers are: those of a pod's are in the pod's.
fn group(lab: &str, level: Level, host: &Host<'_>) -> String {
    match host {
        Host::PodsSidecar => format!("/{}/level{level}", pod::group(lab)),
        Host::Sidecar(_) | Host::Node | Host::Container(_) => format!("/{lab}/level{level}"),
    }
}

/// Started in mounts of its own: what it is of is its `/usr`.
fn of_release(dockerd: &Dockerd, words: &[&str]) -> Command {
    let mount = r#"mount --rbind "$0" /usr && exec "$@""#;
    let mut command = NetnsLab::command(&[&["sh", "-c", mount, dockerd.release.usr()], words].concat());
    match dockerd.iptables {
        Iptables::Nft => {}
        Iptables::Legacy => drop(command.env("PATH", release::LEGACY)),
    }
    command
}

/// `docker run`, attached: it ends when the dockerd in its container does, and passes a signal on.
fn nested(client: &Client, level: Level, dockerd: &Dockerd, words: &[&str]) -> Command {
    let directory = level.directory();
    let (name, data) = (nested_name(level), format!("{directory}/data:/var/lib/docker"));
    let (usr, path) = (format!("{}:/usr:ro", dockerd.release.usr()), format!("PATH={}", release::LEGACY));
    // Its files, and those of what is nested in it.
    let inner = Level::ALL.into_iter().filter(|inner| *inner >= level);
    let files: Vec<_> = inner.map(|inner| format!("{0}:{0}", inner.directory())).collect();
    let mut run = vec!["run", "--rm", "--name", &name, "--env", "NOTIFY_SOCKET"];
    // All the releases, for what is nested in it.
    let programs = ["/run/lab/usr:/run/lab/usr:ro", "/run/lab/legacy:/run/lab/legacy:ro"];
    let volumes = [&usr, "/etc/alternatives:/etc/alternatives:ro", &data].into_iter().chain(programs);
    let volumes = volumes.chain(files.iter().map(String::as_str));
    run.extend(volumes.flat_map(|volume| ["-v", volume]));
    match dockerd.iptables {
        Iptables::Nft => {}
        Iptables::Legacy => run.extend(["--env", &path]),
    }
    run.extend(NESTED.split_whitespace());
    run.extend(["--device-cgroup-rule", "a *:* rwm", IMAGE, "sh", "-c"]);
    run.push(r#"mkdir -p /etc/docker && exec "$@""#);
    run.push("sh");
    run.extend(words);
    client.command(&run)
}

fn nested_name(level: Level) -> String {
    format!("dockerd{level}")
}

fn wait_until_ready(
    ready: &UnixDatagram,
    exit: BorrowedFd<'_>,
    fail: &impl Fn(String) -> LabError,
) -> Result<()> {
    let mut message = [0; 4096];
    loop {
        match wait_readable(&[ready.as_fd(), exit], Some(PATIENCE))? {
            None => return Err(fail(format!("was not ready after {PATIENCE:?}")).into()),
            Some(0) => {
                let length = ready.recv(&mut message).context("read what dockerd notifies")?;
                if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    return Ok(());
                }
            }
            Some(_) => return Err(fail("ended before it was ready".to_owned()).into()),
        }
    }
}

fn failure(lab: &NetnsLab, level: Level, what: String) -> LabError {
    let log = log(lab, level).unwrap_or_else(|error| format!("{error:#}"));
    let lines: Vec<_> = log.lines().collect();
    let tail = lines[lines.len().saturating_sub(20)..].join("\n");
    LabError::Daemon { level: level.number(), what, log: tail }
}
