//! The lab itself: what it shows is the seed problem, and nothing of it is left.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::UdpSocket,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};
use mtu_lab::docker::{
    Container, DockerLab, Dockerd, Download, Exit, Family, HOST_END, LabError, Level, NetnsLab, POD6, Place,
    Ptb, UPLINK,
};
use rustix::process::{Pid, Signal, kill_process_group};

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_ptbs_blocked_a_download_works_in_the_pod_and_hangs_at_levels_2_and_3() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    assert_eq!(lab.link_mtu(Place::Node, UPLINK)?, 1500);
    assert_eq!(lab.link_mtu(Place::Node, HOST_END)?, 1450);
    assert_eq!(lab.link_mtu(Place::Pod, "eth0")?, 1450);
    assert_eq!(lab.link_mtu(Place::Pod, "docker0")?, 1500);
    assert_eq!(lab.download(Place::Pod)?, Download::Completed);
    for level in [Level::Two, Level::Three] {
        let container = lab.start_container(level, &Container::on_network("bridge"))?;
        assert_eq!(lab.download(&container)?, Download::Hung, "level {level}");
        assert_eq!(lab.download_in_build(level, &[])?, Download::Hung, "build at level {level}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_ptbs_let_through_a_download_works_at_every_level() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    lab.set_ptb(Ptb::Allowed)?;
    assert_eq!(lab.download(Place::Pod)?, Download::Completed);
    for level in [Level::Two, Level::Three] {
        let container = lab.start_container(level, &Container::on_network("bridge"))?;
        assert_eq!(lab.link_mtu(&container, "eth0")?, 1500);
        assert_eq!(lab.download(&container)?, Download::Completed, "level {level}");
        assert_eq!(lab.download_in_build(level, &[])?, Download::Completed, "build at level {level}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn dockerds_and_networks_that_know_the_mtu_work_with_ptbs_blocked() -> Result<()> {
    let dockerd = Dockerd::new().mtu(1450);
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level2(dockerd.clone()).level3(dockerd).build()?;
    for level in [Level::Two, Level::Three] {
        lab.create_network(level, "told", Some(1450))?;
        lab.create_network(level, "untold", None)?;
        for network in ["bridge", "told"] {
            let container = lab.start_container(level, &Container::on_network(network))?;
            assert_eq!(lab.link_mtu(&container, "eth0")?, 1450);
            assert_eq!(lab.download(&container)?, Download::Completed, "{network} of level {level}");
        }
        // The flag is not for networks that users define.
        let container = lab.start_container(level, &Container::on_network("untold"))?;
        assert_eq!(lab.link_mtu(&container, "eth0")?, 1500);
        assert_eq!(lab.download(&container)?, Download::Hung, "untold of level {level}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn ipv6_downloads_work_at_every_level_that_knows_the_mtu_and_hang_at_others() -> Result<()> {
    let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true);
    let lab = builder.level2(Dockerd::new().mtu(1450)).level3(Dockerd::new().mtu(1450)).build()?;
    assert_eq!(lab.download_over(Family::V6, Place::Pod)?, Download::Completed);
    for level in [Level::Two, Level::Three] {
        lab.create_network(level, "told", Some(1450))?;
        lab.create_network(level, "untold", None)?;
        for (network, expected) in
            [("bridge", Download::Completed), ("told", Download::Completed), ("untold", Download::Hung)]
        {
            let container = lab.start_container(level, &Container::on_network(network))?;
            assert_eq!(lab.download_over(Family::V6, &container)?, expected, "{network} of level {level}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_virtual_machine_has_bridges_of_1500_under_an_uplink_of_1460() -> Result<()> {
    let lab = DockerLab::vm().ptb(Ptb::Blocked).ipv6(true).level2(Dockerd::new()).build()?;
    assert_eq!(lab.link_mtu(Place::Node, UPLINK)?, 1460);
    assert_eq!(lab.link_mtu(Place::Node, "docker0")?, 1500);
    assert_eq!(lab.download(Place::Node)?, Download::Completed);
    let containers =
        [Level::One, Level::Two].map(|level| lab.start_container(level, &Container::on_network("bridge")));
    for container in &containers {
        let container = container.as_ref().expect("it starts");
        assert_eq!(lab.link_mtu(container, "eth0")?, 1500);
        lab.set_ptb(Ptb::Blocked)?;
        assert_eq!(lab.download(container)?, Download::Hung);
        lab.set_ptb(Ptb::Allowed)?;
        assert_eq!(lab.download(container)?, Download::Completed);
        assert_eq!(lab.download_over(Family::V6, container)?, Download::Completed);
        lab.flush_route_cache(Place::Server)?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn dockerds_start_and_stop_while_the_lab_runs_and_keep_their_images() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    assert!(lab.link_mtu(Place::Pod, "docker0").is_err());
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    lab.start_dockerd(Level::Three, &Dockerd::new())?;
    let image = lab.docker(Level::Three, &["image", "ls", "--quiet"])?;
    lab.stop_dockerd(Level::Two)?;
    lab.start_dockerd(Level::Two, &Dockerd::new().daemon_json(r#"{"mtu":1400}"#))?;
    lab.start_dockerd(Level::Three, &Dockerd::new())?;
    assert_eq!(lab.docker(Level::Three, &["image", "ls", "--quiet"])?, image);
    assert_eq!(lab.link_mtu(&lab.dockerd_container(Level::Three)?, "eth0")?, 1400);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_dockerd_that_does_not_start_says_why() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let refused = lab.start_dockerd(Level::Two, &Dockerd::new().arg("--mtu=")).expect_err("it has no value");
    match refused.downcast_ref() {
        Some(LabError::Daemon { level: 2, log, .. }) => assert!(log.contains("--mtu"), "{log}"),
        _ => panic!("{refused:?}"),
    }
    lab.start_dockerd(Level::Two, &Dockerd::new())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_container_is_known_by_the_pid_that_the_lab_sees() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    for level in [Level::Two, Level::Three] {
        let spec = Container::on_network("bridge").name("known");
        let container = lab.start_container(level, &spec)?;
        assert_eq!(container.name(), "known");
        let command = fs::read(lab.path(format!("/proc/{}/cmdline", container.pid())))?;
        assert_eq!(command, b"sleep\0infinity\0");
        assert_eq!(container.exec(&["cat", "/proc/1/cmdline"])?.as_bytes(), command);
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn processes_in_a_lab_see_no_process_or_link_of_the_machine() -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    let pids = lab.check_in(Place::Node, &["sh", "-c", "cd /proc && echo [0-9]*"])?;
    assert!(
        pids.split_whitespace().count() <= 4,
        "process 1, what it waits for, the pod's, the shell: {pids}"
    );
    let links = lab.check_in(Place::Node, &["ls", "/sys/class/net"])?;
    assert_eq!(links.split_whitespace().collect::<Vec<_>>(), [HOST_END, UPLINK, "lo"]);
    assert_eq!(lab.ip(&["netns", "list"])?.split_whitespace().next(), Some("pod"));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_test_opens_sockets_and_runs_commands_as_if_it_were_in_the_place() -> Result<()> {
    let lab = DockerLab::builder().uplink_mtu(1400).pod_mtu(1300).ipv6(true).level2(None).build()?;
    let bind = || UdpSocket::bind((POD6, 0)).is_ok();
    assert!(lab.enter(Place::Pod, bind)?);
    assert!(!lab.enter(Place::Node, bind)?);
    let mut nobody = NetnsLab::command(&["sh", "-c", "id -u; cat; echo $$"]);
    let sh = lab.spawn(Place::Pod, nobody.uid(65534).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let pid = sh.lab_pid()?;
    sh.take_stdin().context("it has a stdin")?.write_all(b"told\n")?;
    let said = io::read_to_string(sh.take_stdout().context("it has a stdout")?)?;
    assert_eq!(said, format!("65534\ntold\n{pid}\n"));
    assert!(sh.wait()?.success());
    for family in [Family::V4, Family::V6] {
        assert_eq!(lab.download_over(family, Place::Pod)?, Download::Completed);
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn labs_in_parallel_do_not_meet() -> Result<()> {
    let (blocked, allowed) = std::thread::scope(|scope| {
        let blocked = scope.spawn(|| DockerLab::builder().ptb(Ptb::Blocked).build());
        let allowed = scope.spawn(|| DockerLab::builder().pod_mtu(1400).build());
        (blocked.join().expect("no panic"), allowed.join().expect("no panic"))
    });
    let (blocked, allowed) = (blocked?, allowed?);
    let spec = Container::on_network("bridge").name("same");
    let hangs = blocked.start_container(Level::Two, &spec)?;
    let works = allowed.start_container(Level::Two, &spec)?;
    assert_eq!(allowed.link_mtu(Place::Pod, "eth0")?, 1400);
    assert_eq!(blocked.download(&hangs)?, Download::Hung);
    assert_eq!(allowed.download(&works)?, Download::Completed);
    blocked.shut_down()?;
    assert_eq!(allowed.download(&works)?, Download::Completed);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_lab_without_docker_has_names_of_its_own() -> Result<()> {
    let (one, other) = (NetnsLab::new()?, NetnsLab::new()?);
    one.netns("same")?;
    other.netns("same")?;
    one.ip(&["link", "add", "one0", "mtu", "1300", "type", "veth", "peer", "name", "one1", "netns", "same"])?;
    assert_eq!(one.link_mtu(Place::Node, "one0")?, 1300);
    assert!(other.link_mtu(Place::Netns("same"), "one1").is_err());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_lab_with_300_namespaces_is_one_batch() -> Result<()> {
    let lab = NetnsLab::new()?;
    let mut script = String::new();
    for number in 0..300 {
        use std::fmt::Write as _;
        writeln!(script, "netns add n{number}")?;
        writeln!(script, "link add v{number} type veth peer name eth0 netns n{number}")?;
    }
    lab.ip_batch(Place::Node, &script)?;
    assert_eq!(lab.link_mtu(Place::Netns("n299"), "eth0")?, 1500);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nothing_is_left_of_a_lab_that_was_dropped() -> Result<()> {
    let before = machine();
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let container = lab.start_container(Level::Three, &Container::on_network("bridge"))?;
    let running = lab.spawn(Place::Node, &mut NetnsLab::command(&["sleep", "infinity"]))?;
    let traces = Traces::of(lab.name(), lab.supervisor()?)?;
    assert!(!traces.left()?.is_empty());
    lab.shut_down()?;
    assert_eq!(traces.left()?, [""; 0]);
    assert_eq!(machine(), before);
    // Handles that outlive their lab are harmless.
    drop((container, running));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nothing_is_left_of_a_lab_whose_test_panicked() -> Result<()> {
    let lab = DockerLab::builder().build()?;
    let traces = Traces::of(lab.name(), lab.supervisor()?)?;
    let test = std::thread::spawn(move || {
        let _hanging = lab.spawn(Place::Node, &mut NetnsLab::command(&["sleep", "infinity"]));
        panic!("a test that fails");
    });
    assert!(test.join().is_err());
    assert_eq!(traces.left()?, [""; 0]);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nothing_is_left_of_a_lab_whose_test_was_killed() -> Result<()> {
    nothing_is_left_after(Signal::KILL)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nothing_is_left_of_a_lab_whose_test_was_interrupted() -> Result<()> {
    nothing_is_left_after(Signal::INT)
}

/// As a terminal and a test runner do it, the signal is for the whole process group.
fn nothing_is_left_after(signal: Signal) -> Result<()> {
    let before = machine();
    let mut test = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "a_lab_is_held_until_its_test_ends", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let said = BufReader::new(test.stdout.take().context("it has a stdout")?);
    let holds = said.lines().find_map(|line| Some(line.ok()?.split_once("holds ")?.1.to_owned()));
    let holds = holds.context("the test says which lab it holds")?;
    let (name, supervisor) = holds.split_once(' ').context("a name and a pid")?;
    let supervisor = supervisor.parse()?;
    let (traces, cleaned_up) = (Traces::of(name, supervisor)?, Exit::of(supervisor)?);
    assert!(!traces.left()?.is_empty());
    kill_process_group(Pid::from_child(&test), signal)?;
    assert!(!test.wait()?.success());
    assert!(cleaned_up.wait(Duration::from_secs(30))?, "the supervisor still runs");
    assert_eq!(traces.left()?, [""; 0]);
    assert_eq!(machine(), before);
    Ok(())
}

/// What [`nothing_is_left_after`] ends. Run with the others it ends at once.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_lab_is_held_until_its_test_ends() -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let container = lab.start_container(Level::Three, &Container::on_network("bridge"))?;
    let _hanging = lab.spawn(&container, &mut NetnsLab::command(&["curl", "-s", &lab.url(Family::V4)]))?;
    writeln!(io::stdout(), "holds {} {}", lab.name(), lab.supervisor()?)?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What a lab could leave on the machine.
struct Traces {
    name: String,
    pid_namespace: Held,
    mount_namespace: Held,
}

/// A namespace by its name, which no other one gets as long as this is open.
struct Held {
    name: PathBuf,
    _file: File,
}

impl Traces {
    fn of(name: &str, supervisor: u32) -> Result<Self> {
        // supervisor ── unshare ── process 1 of the lab
        let unshare = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
        let unshare = unshare.trim();
        let init = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"))?;
        let namespace = |kind| -> Result<Held> {
            let path = format!("/proc/{}/ns/{kind}", init.trim());
            Ok(Held { _file: File::open(&path)?, name: fs::read_link(path)? })
        };
        Ok(Self {
            name: name.to_owned(),
            pid_namespace: namespace("pid")?,
            mount_namespace: namespace("mnt")?,
        })
    }

    /// Processes, mounts, control groups and files of the lab.
    fn left(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let process = entry?.path();
            for (kind, of_lab) in [("pid", &self.pid_namespace), ("mnt", &self.mount_namespace)] {
                let namespace = fs::read_link(process.join("ns").join(kind));
                if namespace.is_ok_and(|namespace| namespace == of_lab.name) {
                    left.push(process.display().to_string());
                }
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        left.extend(mounts.lines().filter(|mount| mount.contains(&self.name)).map(str::to_owned));
        let groups = fs::read_dir("/sys/fs/cgroup")?.flatten().map(|entry| entry.path());
        left.extend(
            groups
                .flat_map(|controller| [controller.join(&self.name), controller])
                .filter(|group| group.ends_with(&self.name) && group.exists())
                .map(|group| group.display().to_string()),
        );
        Ok(left)
    }
}

/// What a careless lab would leave, of what is there: links, names, and files of daemons.
fn machine() -> Vec<&'static str> {
    let all = [
        "/sys/class/net/cali0a1b2c3d4e5",
        "/sys/class/net/docker0",
        "/sys/class/net/up0",
        "/run/netns/pod",
        "/run/lab",
        "/run/docker",
        "/run/containerd",
        "/etc/docker/key.json",
        "/opt/containerd",
        "/var/lib/docker",
        "/var/lib/containerd",
        "/root/.docker",
    ];
    all.into_iter().filter(|path| Path::new(path).exists()).collect()
}
