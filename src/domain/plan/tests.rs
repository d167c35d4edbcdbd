use std::time::Instant;

use super::*;
use crate::domain::link::LinkKind;
use crate::domain::mtu::PathMtu;
use crate::domain::safe::{Bounds, MeasuredPath};
use crate::domain::scope::Most;
use crate::domain::topology::HOST;
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};

mod properties;

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn any_time() -> Instant {
    Instant::now()
}

fn opted_in(sample: &Sample, netns: NetnsIx) -> OptedIn {
    OptedIn::nested_in(sample.topology(), netns, None, None)
}

/// Nothing bounds what is nested besides the links and routes themselves.
fn unbounded() -> Bounds {
    let (overlays, measured) = (Vec::new(), Vec::new());
    Bounds { maximum: LinkMtu::LARGEST_USEFUL, overlays, expected: None, measured }
}

fn measured(bytes: u16) -> Bounds {
    let path = MeasuredPath { family: IpFamily::V4, path_mtu: PathMtu::new(bytes).unwrap() };
    Bounds { measured: vec![path], ..unbounded() }
}

fn is_dockers(topology: &Topology) -> impl Fn(LinkRef<NetnsIx>) -> bool {
    |at| topology.link(at).is_some_and(|link| link.name.starts_with("docker"))
}

fn links(plan: &Plan) -> Vec<(LinkRef<NetnsIx>, u32)> {
    let link = |change: &Change| match change {
        Change::LinkMtu { at, to, .. } => Some((*at, to.get())),
        Change::Clamp { .. } => None,
    };
    plan.changes.iter().filter_map(link).collect()
}

/// The topology as it is after one write, and what is clamped.
fn write(topology: &mut Topology, clamped: &mut BTreeSet<NetnsIx>, change: Change) {
    match change {
        Change::LinkMtu { at, from, to } => {
            let link = topology.namespaces[at.netns.0].links.get_mut(&at.ifindex).expect("it is there");
            assert_eq!(link.mtu, from, "a change says what it finds");
            link.mtu = to;
        }
        Change::Clamp { netns } => assert!(clamped.insert(netns), "it was not clamped"),
    }
}

#[test]
fn every_link_of_the_seed_problem_is_lowered_from_the_inside_out() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    let plan = Plan::new(sample.topology(), &[opted_in(&sample, pod)], Mode::Both, &BTreeSet::new());
    assert_eq!(plan.changes[0], Change::Clamp { netns: pod });
    let order = [level3.eth0, level3.outer, level3.bridge, level2.eth0, level2.outer, level2.bridge];
    assert_eq!(links(&plan), order.map(|at| (at, 1450)));
    assert_eq!(plan.withheld, []);
    let turn = |at: &LinkRef<_>| if level2.bridge == *at { Turn::Bridge } else { Turn::Link };
    let back = taken_back(order[3..].to_vec(), turn);
    assert_eq!(back, [level2.outer, level2.eth0, level2.bridge], "a bridge after its ports");
}

#[test]
fn what_is_clamped_and_right_needs_nothing() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    Docker::start(&mut sample, pod, 1450);
    let plan = Plan::new(sample.topology(), &[opted_in(&sample, pod)], Mode::Both, &BTreeSet::from([pod]));
    assert_eq!(plan, Plan::default());
}

#[test]
fn somebodys_smaller_value_stays_and_what_is_inside_of_it_follows() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1300);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    let plan = Plan::new(sample.topology(), &[opted_in(&sample, pod)], Mode::Links, &BTreeSet::new());
    assert_eq!(links(&plan), [level3.eth0, level3.outer, level3.bridge].map(|at| (at, 1300)));
}

#[test]
fn a_measured_path_lowers_links_that_fit_each_other() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1500);
    let docker = Docker::start(&mut sample, pod, 1500);
    let most = Some(Most::inside(sample.topology(), pod, &measured(1400)).expect("it has a default route"));
    let scope = OptedIn { most, ..opted_in(&sample, pod) };
    let plan = Plan::new(sample.topology(), &[scope], Mode::Links, &BTreeSet::new());
    assert_eq!(links(&plan), [docker.eth0, docker.outer, docker.bridge].map(|at| (at, 1400)));
}

#[test]
fn another_pod_is_not_touched() {
    let mut sample = machine(1500);
    let (tuned, _) = pod(&mut sample, 1450);
    let (other, _) = pod(&mut sample, 1450);
    let docker = Docker::start(&mut sample, tuned, 1500);
    Docker::start(&mut sample, other, 1500);
    let plan = Plan::new(sample.topology(), &[opted_in(&sample, tuned)], Mode::Both, &BTreeSet::new());
    assert_eq!(links(&plan).len(), 3);
    assert!(links(&plan).iter().all(|(at, _)| docker.links().contains(at)));
    assert_eq!(plan.changes.iter().filter(|it| matches!(it, Change::Clamp { .. })).count(), 1);
}

#[test]
fn a_containers_own_end_is_written_only_when_docker_made_it() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    let container = level2.container;
    let own = OptedIn::nested_in(sample.topology(), container, Some(level2.eth0), None);
    let plan = Plan::new(sample.topology(), &[own], Mode::Links, &BTreeSet::new());
    assert_eq!(links(&plan), [(level2.eth0, 1450)]);
    let without =
        Plan::new(sample.topology(), &[opted_in(&sample, container)], Mode::Links, &BTreeSet::new());
    assert_eq!(links(&without), []);
    let foreign = OptedIn::nested_in(sample.topology(), container, Some(level2.outer), None);
    assert_eq!(links(&Plan::new(sample.topology(), &[foreign], Mode::Links, &BTreeSet::new())), []);
}

#[test]
fn on_a_docker_host_the_bridges_of_docker_are_in_scope_and_those_of_others_are_not() {
    let mut sample = machine(1460);
    let docker = Docker::start(&mut sample, HOST, 1500);
    let inner = Docker::start(&mut sample, docker.container, 1500);
    let (_, other) = pod(&mut sample, 1500);
    let bridge = sample.link(HOST, "br0", LinkKind::Bridge, 1500);
    sample.enslave(other[1], bridge);
    let scope = OptedIn::docker_host(sample.topology(), is_dockers(sample.topology()), None);
    let plan = Plan::new(sample.topology(), &[scope], Mode::Both, &BTreeSet::new());
    assert_eq!(plan.changes[0], Change::Clamp { netns: HOST });
    let order = [inner.eth0, inner.outer, inner.bridge, docker.eth0, docker.outer, docker.bridge];
    assert_eq!(links(&plan), order.map(|at| (at, 1460)));
}

#[test]
fn no_link_goes_under_what_ipv6_needs() {
    let mut sample = machine(1200);
    let (pod, _) = pod(&mut sample, 1200);
    let docker = Docker::start(&mut sample, pod, 1500);
    let low = Docker::start(&mut sample, pod, 1250);
    let plan = Plan::new(sample.topology(), &[opted_in(&sample, pod)], Mode::Both, &BTreeSet::new());
    let withheld: Vec<_> = plan.withheld.iter().map(|it| (it.at, it.mtu.get(), it.should_be.get())).collect();
    assert_eq!(withheld, [docker.eth0, docker.outer, docker.bridge].map(|at| (at, 1500, 1200)));
    assert_eq!(links(&plan), [low.eth0, low.outer, low.bridge].map(|at| (at, 1200)), "it had no IPv6 before");
}

/// A docker host with a second uplink of 9000 that no default route uses, and a container at docker's bridge that has two
/// links there too: a macvlan, and a veth at a bridge that is no docker's.
fn storage_network() -> (Sample, Docker, [LinkRef<NetnsIx>; 2]) {
    let mut sample = machine(1500);
    let uplink = sample.link(HOST, "eth1", LinkKind::Device, 9000);
    let bridge = sample.link(HOST, "br1", LinkKind::Bridge, 9000);
    sample.enslave(uplink, bridge);
    let docker = Docker::start(&mut sample, HOST, 1500);
    let macvlan = sample.link(docker.container, "eth1", LinkKind::Macvlan, 9000);
    sample.link_mut(macvlan).linked = Some(uplink);
    let [veth, outer] = sample.veth((docker.container, "eth2"), (HOST, "storage"), 9000);
    sample.enslave(outer, bridge);
    (sample, docker, [macvlan, veth])
}

#[test]
fn what_was_measured_does_not_bound_what_leaves_by_another_uplink_and_what_the_user_says_does() {
    let (sample, docker, by_the_other) = storage_network();
    let topology = sample.topology();
    let plan = |bounds: &Bounds| {
        let most = Most::inside(topology, HOST, bounds);
        let scope = OptedIn::docker_host(topology, is_dockers(topology), most);
        Plan::new(topology, &[scope], Mode::Links, &BTreeSet::new())
    };
    assert_eq!(topology.mismatches(), []);
    assert_eq!(plan(&unbounded()), Plan::default());
    let lowered = [docker.eth0, docker.outer, docker.bridge].map(|at| (at, 1400));
    assert_eq!(links(&plan(&measured(1400))), lowered);
    let said = links(&plan(&Bounds { maximum: mtu(1300), ..unbounded() }));
    assert_eq!(said.len(), lowered.len() + by_the_other.len());
    assert!(said.iter().all(|(_, to)| *to == 1300), "{said:?}");
}

#[test]
fn guards_leave_to_the_plan_what_leaves_by_another_uplink() {
    let (sample, docker, by_the_other) = storage_network();
    let topology = sample.topology();
    let most = Most::inside(topology, HOST, &measured(1400));
    let scope = OptedIn::docker_host(topology, is_dockers(topology), most);
    let rules = &scope.rules(topology)[&docker.container];
    assert_eq!((rules.cap, rules.outward), (mtu(1400), mtu(1400)));
    assert_eq!(rules.apart, by_the_other.map(|at| at.ifindex).into());
}
