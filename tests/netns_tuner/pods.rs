//! Pods that opt in, and leave again. Who asks for what is told to a planner in the lab by hand.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use mtu_agent::agent::tuner::{Guards, Known, News, Planner, Policy};
use mtu_agent::discovery::identity::Identity;
use mtu_agent::discovery::opt_in::OptIns;
use mtu_agent::discovery::survey::{Sources, Survey, look};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::metrics::Metrics;
use mtu_agent::publish::tune::Ledger;
use mtu_lab::docker::{NetnsLab, Place, Process, Signal};

use crate::*;

const PODS: [&str; 2] = ["pod1", "pod2"];

/// Two pods on a host with an uplink of 1400, each behind a CNI's veth of 1500, with docker's bridge and a container.
fn lab_with_pods() -> Result<NetnsLab> {
    let lab = lab()?;
    for (number, pod) in PODS.iter().enumerate() {
        lab.netns(pod)?;
        lab.netns(&format!("{pod}-c"))?;
        lab.ip_batch(
            Place::Node,
            &format!(
                "link add cali{number} type veth peer name eth0 netns {pod}
                 link set cali{number} up
                 route add 10.244.0.{number}/32 dev cali{number}"
            ),
        )?;
        lab.ip_batch(
            Place::Netns(pod),
            &format!(
                "link set eth0 up
                 addr add 10.244.0.{number}/32 dev eth0
                 route add 169.254.1.1 dev eth0 scope link
                 route add default via 169.254.1.1 dev eth0
                 link add docker0 type bridge
                 addr add 172.17.0.1/16 dev docker0
                 link set docker0 up
                 link add {STAYS} type veth peer name eth0 netns {pod}-c
                 link set {STAYS} master docker0
                 link set {STAYS} up"
            ),
        )?;
        lab.ip_batch(
            Place::Netns(&format!("{pod}-c")),
            "link set eth0 up
             addr add 172.17.0.2/16 dev eth0
             route add default via 172.17.0.1",
        )?;
    }
    Ok(lab)
}

/// MTUs of what is nested in a pod: bridge, outer end, inner end. And whether it is clamped.
fn state(lab: &NetnsLab, pod: &str) -> Result<([u32; 3], bool)> {
    let place = Place::Netns(pod);
    let inside = format!("{pod}-c");
    let links = [(place, "docker0"), (place, STAYS), (Place::Netns(&inside), "eth0")];
    let mut mtus = [0; 3];
    for (mtu, (place, link)) in mtus.iter_mut().zip(links) {
        *mtu = lab.link_mtu(place, link)?;
    }
    assert_eq!(lab.link_mtu(place, "eth0")?, DOCKER, "the CNI's stays");
    Ok((mtus, is_clamped(lab, place)?))
}

const AS_DOCKER_MADE_IT: ([u32; 3], bool) = ([DOCKER; 3], false);
const CLAMPED: ([u32; 3], bool) = ([DOCKER; 3], true);
const TUNED: ([u32; 3], bool) = ([UPLINK; 3], true);

/// A planner in the lab, which does one pass for each line that it is told.
struct Told {
    _process: Process,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Told {
    fn start(lab: &NetnsLab, permission: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let test = "pods::a_planner_does_one_pass_for_each_line";
        let words = [program.to_str().context("text")?, "--ignored", "--exact", test, "--nocapture"];
        let mut command = NetnsLab::command(&words);
        let process = lab.spawn(Place::Node, command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = process.take_stdin().context("it has a stdin")?;
        let stdout = BufReader::new(process.take_stdout().context("it has a stdout")?);
        let mut told = Self { _process: process, stdin, stdout };
        writeln!(told.stdin, "{permission}")?;
        Ok(told)
    }

    /// What the pods ask for: `pod1=links pod2=observe`, and `unknown` if that may not be all. A pod is known by the file
    /// of its namespace, if no control group tells it, unless `pod1-is-not-told`. With `stale` the look is one at `pod1`
    /// alone, which has ended since, and `pod2` has got its inode; with `no-cookies` nothing tells them from each other.
    fn pass(&mut self, asked: &str) -> Result<()> {
        writeln!(self.stdin, "{asked}")?;
        let mut said = String::new();
        while said.trim() != "done" {
            said.clear();
            ensure!(self.stdout.read_line(&mut said)? > 0, "it ended");
        }
        Ok(())
    }
}

/// No test, but what the tests below start in the lab: `.config/nextest.toml` leaves it out.
#[test]
#[ignore = "the tests below start it"]
fn a_planner_does_one_pass_for_each_line() -> Result<()> {
    let mut lines = io::stdin().lines();
    let permission = lines.next().context("nobody tells what it may do: the tests beside it start it")??;
    let permission = permission.parse()?;
    let ledger = Arc::new(Ledger::new(Path::new("/run/mtu-agent")));
    let metrics = Arc::new(Metrics::new());
    let news = News::default();
    let guards = Guards::start(Arc::clone(&ledger), Arc::clone(&metrics), news.clone())?;
    let policy = Policy { permission, all_docker: false };
    let mut planner = Planner::new(policy, ledger, metrics, Some(guards), news);
    for line in lines {
        let line = line?;
        let mut look = look(&Sources::default())?;
        for identity in &mut look.identities {
            let pod = identity.pinned.first().filter(|name| PODS.contains(&name.as_str()));
            let pod = pod.filter(|pod| !line.contains(&format!("{pod}-is-not-told")));
            identity.pod_uid = identity.pod_uid.take().or(pod.cloned());
            identity.cookie = identity.cookie.filter(|_| !line.contains("no-cookies"));
        }
        if line.contains("stale") {
            age(&mut look.identities)?;
        }
        let asked = line.split_whitespace().filter_map(|word| word.split_once('='));
        let pods = asked.map(|(pod, asked)| anyhow::Ok((pod.to_owned(), asked.parse()?)));
        let opt_ins = OptIns { pods: pods.collect::<Result<_>>()?, is_known: !line.contains("unknown") };
        let when = jiff::Timestamp::UNIX_EPOCH;
        let survey = Arc::new(Survey::conclude(look, Vec::new(), LinkMtu::DOCKER_DEFAULT, when));
        planner.pass(&Known { survey, maximum: LinkMtu::LARGEST_USEFUL }, opt_ins);
        writeln!(io::stdout(), "done")?;
    }
    Ok(())
}

/// Makes `pod1`, with what is in it, be where `pod2` is.
fn age(identities: &mut [Identity]) -> Result<()> {
    for [ended, next] in [PODS, ["pod1-c", "pod2-c"]] {
        let position = |name| identities.iter().position(|it| it.pinned.iter().any(|file| file == name));
        let (ended, next) = position(ended).zip(position(next)).context("both pods are there")?;
        identities[ended].inode = identities[next].inode.take();
        identities[next].pod_uid = None;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_got_the_inode_of_one_that_was_looked_at_is_not_taken_for_it() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links stale")?;
    assert_eq!(state(&lab, "pod2")?, AS_DOCKER_MADE_IT, "it did not ask");
    told.pass("pod2=links")?;
    assert_eq!(state(&lab, "pod2")?, TUNED);
    told.pass("pod2=links stale")?;
    assert_eq!(state(&lab, "pod2")?, TUNED, "it asks still");

    // Without the cookies they are the same.
    told.pass("pod2=links stale no-cookies")?;
    assert_eq!(state(&lab, "pod2")?, AS_DOCKER_MADE_IT);
    told.pass("pod1=links stale no-cookies")?;
    assert_eq!(state(&lab, "pod2")?, TUNED);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_is_tuned_as_far_as_both_it_and_the_agent_allow() -> Result<()> {
    let lab = lab_with_pods()?;
    for (permission, asked, expected) in [
        ("observe", "links", AS_DOCKER_MADE_IT),
        ("links", "observe", AS_DOCKER_MADE_IT),
        ("clamp", "links", CLAMPED),
        ("links", "clamp", CLAMPED),
        ("links", "links", TUNED),
    ] {
        Told::start(&lab, permission)?.pass(&format!("pod1={asked}"))?;
        assert_eq!(state(&lab, "pod1")?, expected, "{permission} {asked}");
        assert_eq!(state(&lab, "pod2")?, AS_DOCKER_MADE_IT, "it did not ask");
        revert(&lab)?;
        assert_eq!(state(&lab, "pod1")?, AS_DOCKER_MADE_IT);
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_leaves_the_scope_is_given_back_what_it_had_and_no_other() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links pod2=links")?;
    assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (TUNED, TUNED));
    told.pass("pod2=links unknown")?;
    assert_eq!(state(&lab, "pod1")?, TUNED, "nobody knows yet whether it asks");
    for (asked, expected) in
        [("pod1=clamp", CLAMPED), ("pod1=links", TUNED), ("pod1=observe", AS_DOCKER_MADE_IT)]
    {
        told.pass(&format!("{asked} pod2=links"))?;
        assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (expected, TUNED), "{asked}");
    }
    told.pass("")?;
    assert_eq!(state(&lab, "pod2")?, AS_DOCKER_MADE_IT);
    assert!(recorded(&lab).is_err(), "nothing is left to take back");
    Ok(())
}

/// As where an agent may not see what namespaces say.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_that_says_so_itself_is_given_back_what_it_had_whatever_others_may_say() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links pod2=links unknown")?;
    assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (TUNED, TUNED));
    for (asked, expected) in [("clamp", CLAMPED), ("links", TUNED), ("observe", AS_DOCKER_MADE_IT)] {
        told.pass(&format!("pod1={asked} unknown"))?;
        assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (expected, TUNED), "{asked}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_ended_is_forgotten_by_the_next_pass() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    let recorded = || -> Result<_> {
        let record = recorded(&lab)?;
        let of = |kind: &str| record[kind].as_array().map(Vec::len);
        Ok((of("links"), of("clamps")))
    };
    told.pass("pod1=links pod2=links")?;
    assert_eq!(recorded()?, (Some(4), Some(2)));
    lab.ip(&["netns", "delete", "pod1-c"])?;
    lab.ip(&["netns", "delete", "pod1"])?;
    told.pass("pod1=links pod2=links")?;
    assert_eq!(recorded()?, (Some(2), Some(1)));
    drop(told);
    revert(&lab)?;
    assert_eq!(state(&lab, "pod2")?, AS_DOCKER_MADE_IT);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_cannot_be_told_for_a_moment_stays_as_it_is() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links pod2=links")?;
    for (asked, expected) in
        [("pod2=links", TUNED), ("pod2=observe", AS_DOCKER_MADE_IT), ("", AS_DOCKER_MADE_IT)]
    {
        told.pass(&format!("pod1=links pod1-is-not-told {asked}"))?;
        assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (TUNED, expected), "{asked}");
    }
    told.pass("pod1=observe")?;
    assert_eq!(state(&lab, "pod1")?, AS_DOCKER_MADE_IT);
    Ok(())
}

/// A process that does nothing.
fn sleeper(lab: &NetnsLab, netns: &str) -> Result<Process> {
    lab.spawn(Place::Netns(netns), &mut NetnsLab::command(&["sleep", "infinity"]))
}

/// Puts it into the control group that a kubelet would have made for the pod.
fn join_pod(lab: &NetnsLab, process: &Process, uid: &str) -> Result<()> {
    // Version 2, or beside it 1.
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists());
    let root = root.context("find control groups of version 2")?;
    let group = root.join(lab.name()).join(format!("kubepods/pod{uid}/pause"));
    fs::create_dir_all(&group)?;
    fs::write(group.join("cgroup.procs"), process.pid().to_string()).context("put a process into its group")
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_is_known_by_its_own_processes_whoever_came_first_and_stays_tuned_when_they_end() -> Result<()> {
    const UID: &str = "0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11";
    let lab = lab_with_pods()?;
    let _guest = sleeper(&lab, "pod1")?;
    let own = sleeper(&lab, "pod1")?;
    join_pod(&lab, &own, UID)?;
    let mut told = Told::start(&lab, "links")?;
    let asked = format!("{UID}=links pod1-is-not-told");
    told.pass(&asked)?;
    assert_eq!(state(&lab, "pod1")?, TUNED);
    own.signal(Signal::KILL)?;
    own.wait()?;
    told.pass(&asked)?;
    assert_eq!(state(&lab, "pod1")?, TUNED, "the guest tells nothing");
    let another = sleeper(&lab, "pod1")?;
    join_pod(&lab, &another, UID)?;
    told.pass(&format!("{UID}=observe"))?;
    assert_eq!(state(&lab, "pod1")?, AS_DOCKER_MADE_IT);
    Ok(())
}

/// Makes a namespace behind the pod's bridge that only a file in another mount namespace holds, as an `ip netns add` in
/// a container does. It says `made`, and after a word that a process is `in`.
const HIDDEN: &str = "
    set -e
    mount -t tmpfs none /run/netns
    ip netns add hidden
    ip link add vethaaaaaaa type veth peer name eth0 netns hidden
    ip link set vethaaaaaaa master docker0
    ip link set vethaaaaaaa up
    ip -n hidden link set eth0 up
    ip -n hidden addr add 172.17.0.3/16 dev eth0
    ip -n hidden route add default via 172.17.0.1
    echo made
    read -r word
    exec ip netns exec hidden sh -c 'echo in; exec sleep infinity'";

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_nothing_leads_into_is_left_and_all_the_rest_is_right() -> Result<()> {
    let lab = lab_with_pods()?;
    let pod = Place::Netns("pod1");
    let mut command =
        NetnsLab::command(&["unshare", "--mount", "--propagation", "private", "sh", "-c", HIDDEN]);
    let hidden = lab.spawn(pod, command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let mut says = BufReader::new(hidden.take_stdout().context("it has a stdout")?).lines();
    let mut says = || says.next().context("it ended")?.context("it speaks");
    assert_eq!(says()?, "made");
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links")?;
    assert_eq!(state(&lab, "pod1")?, TUNED);
    // After this the guard has heard of all that was there before.
    pair(&lab, pod, "left", "right")?;
    until_tuned(&lab, pod, &["left", "right"])?;
    assert_eq!(lab.link_mtu(pod, "vethaaaaaaa")?, DOCKER, "it would drop what comes from inside");
    writeln!(hidden.take_stdin().context("it has a stdin")?, "enter")?;
    assert_eq!(says()?, "in");
    told.pass("pod1=links")?;
    assert_eq!(lab.link_mtu(pod, "vethaaaaaaa")?, UPLINK);
    assert_eq!(state(&lab, "pod1")?, TUNED);
    Ok(())
}

/// Waits until links of a namespace have the uplink's MTU.
fn until_tuned(lab: &NetnsLab, place: Place<'_>, names: &[&str]) -> Result<()> {
    let mut socket = lab.enter(place, mtu_agent::kernel::RouteSocket::open)??;
    loop {
        let links = socket.links(None)?;
        let mtu = |name: &str| links.iter().find(|link| link.name == name).map(|link| link.mtu.get());
        if names.iter().all(|name| mtu(name) == Some(UPLINK)) {
            return Ok(());
        }
    }
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_somebody_applied_by_hand_is_not_the_agents_to_take_back() -> Result<()> {
    let lab = lab_with_pods()?;
    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--netns", "pod1", "--apply"])?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod2=links")?;
    told.pass("")?;
    assert_eq!((state(&lab, "pod1")?, state(&lab, "pod2")?), (TUNED, AS_DOCKER_MADE_IT));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn in_a_pod_what_a_daemon_makes_is_answered_and_what_a_cni_brings_is_not() -> Result<()> {
    let lab = lab_with_pods()?;
    let mut told = Told::start(&lab, "links")?;
    told.pass("pod1=links")?;
    let pod = Place::Netns("pod1");
    // What a CNI adds to a running pod: one end here, the other on the host.
    lab.ip(&["link", "add", "cali9", "type", "veth", "peer", "name", "net1", "netns", "pod1"])?;
    lab.check_in(pod, &["ip", "link", "add", "br-anybodys", "type", "bridge"])?;
    lab.check_in(pod, &["ip", "link", "set", "br-anybodys", "mtu", "1500"])?;
    pair(&lab, pod, "left", "right")?;
    lab.check_in(pod, &["ip", "link", "set", "left", "master", "br-anybodys"])?;
    until_tuned(&lab, pod, &["left", "right", "br-anybodys"])?;
    assert_eq!(lab.link_mtu(pod, "net1")?, DOCKER);
    assert_eq!(lab.link_mtu(Place::Node, "cali9")?, DOCKER);
    assert_eq!(state(&lab, "pod1")?, TUNED);
    Ok(())
}
