use proptest::prelude::*;

use super::*;
use crate::domain::link::{Link, LinkKind};
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
use crate::domain::topology::{HOST, Place};

fn opted_in(sample: &Sample, netns: NetnsIx) -> OptedIn {
    OptedIn::nested_in(sample.topology(), netns, None, None)
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
    let most = OptedIn { most: Some(mtu(1400)), ..opted_in(&sample, pod) };
    let plan = Plan::new(sample.topology(), &[most], Mode::Links, &BTreeSet::new());
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

/// A namespace with dockers in it, each with containers that are such namespaces again.
#[derive(Clone, Debug)]
struct Nest {
    uplink: u32,
    outer: u32,
    bridge: u32,
    route: Option<u32>,
    default_route: bool,
    v6: bool,
    inside: Vec<Nest>,
}

fn any_mtu() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1500), Just(1450), Just(1300), Just(9001), 600_u32..2000]
}

fn any_nest() -> impl Strategy<Value = Nest> {
    let nest = |inside: Vec<Nest>| {
        let route = proptest::option::weighted(0.2, any_mtu());
        let flags = (proptest::bool::weighted(0.9), any::<bool>());
        (any_mtu(), any_mtu(), any_mtu(), route, flags).prop_map(
            move |(uplink, outer, bridge, route, (default_route, v6))| Nest {
                uplink,
                outer,
                bridge,
                route,
                default_route,
                v6,
                inside: inside.clone(),
            },
        )
    };
    nest(Vec::new())
        .prop_recursive(3, 24, 3, move |inner| proptest::collection::vec(inner, 0..3).prop_flat_map(nest))
}

/// A veth from `parent` into a new namespace, and all that is in there; at `bridge` or, as pods are, without one.
fn grow(sample: &mut Sample, parent: NetnsIx, bridge: Option<LinkRef<NetnsIx>>, nest: &Nest) -> NetnsIx {
    let netns = sample.nested_in(parent);
    let [inner, outer] = sample.veth((netns, "eth0"), (parent, "veth"), nest.uplink);
    sample.link_mut(outer).mtu = mtu(nest.outer);
    if let Some(bridge) = bridge {
        sample.enslave(outer, bridge);
    }
    sample.link(netns, "lo", LinkKind::Loopback, 65_536);
    if nest.default_route {
        sample.default_route(inner, IpFamily::V4, nest.route);
    } else {
        sample.routes(netns);
    }
    if nest.v6 {
        sample.default_route(inner, IpFamily::V6, None);
    }
    if !nest.inside.is_empty() {
        let bridge = sample.link(netns, "docker0", LinkKind::Bridge, nest.bridge);
        for inside in &nest.inside {
            grow(sample, netns, Some(bridge), inside);
        }
    }
    netns
}

/// A host with pods and a docker of its own; which of the pods are opted in, whether its docker is, and the cap.
fn any_host() -> impl Strategy<Value = (Sample, Vec<OptedIn>, Vec<NetnsIx>)> {
    let pods = proptest::collection::vec((any_nest(), any::<bool>()), 1..4);
    let most = proptest::option::weighted(0.4, any_mtu());
    (any_mtu(), pods, any_nest(), any::<bool>(), most).prop_map(|(uplink, pods, own, all_docker, most)| {
        let mut sample = machine(uplink);
        sample.link(HOST, "lo", LinkKind::Loopback, 65_536);
        let wanted: Vec<_> = pods
            .iter()
            .map(|(nest, wanted)| (grow(&mut sample, HOST, None, nest), *wanted))
            .filter(|(_, wanted)| *wanted)
            .map(|(pod, _)| pod)
            .collect();
        let bridge = sample.link(HOST, "docker0", LinkKind::Bridge, own.bridge);
        let container = grow(&mut sample, HOST, Some(bridge), &own);
        let most = most.map(mtu);
        let topology = sample.topology();
        let mut scopes: Vec<_> =
            wanted.iter().map(|pod| OptedIn::nested_in(topology, *pod, None, most)).collect();
        let mut roots = wanted;
        if all_docker {
            scopes.push(OptedIn::docker_host(topology, is_dockers(topology), most));
            roots.push(container);
        }
        (sample, scopes, roots)
    })
}

/// What the plan may touch, told another way than the plan tells it: by walking outward from the link's namespace.
fn is_allowed(topology: &Topology, roots: &[NetnsIx], at: LinkRef<NetnsIx>, link: &Link<NetnsIx>) -> bool {
    let outward = std::iter::successors(Some(at.netns), |netns| topology.netns(*netns).place.parent());
    let outward: Vec<_> = outward.collect();
    let leads_outward =
        |link: &Link<NetnsIx>| link.linked.is_some_and(|linked| Some(&linked.netns) == outward.get(1));
    if link.kind == LinkKind::Loopback || link.kind == LinkKind::Device {
        return false;
    }
    match topology.netns(at.netns).place {
        Place::Host => link.name == "docker0" || link.master.is_some(),
        Place::Nested { level: 1, .. } => {
            let is_dockers = link.linked.is_some_and(|linked| {
                topology.link(linked).is_some_and(|far| linked.netns == HOST && far.master.is_some())
            });
            roots.contains(&at.netns) && (is_dockers || !leads_outward(link))
        }
        Place::Nested { .. } => outward.iter().any(|netns| roots.contains(netns)),
        Place::Outside | Place::Unconnected => false,
    }
}

proptest! {
    #[test]
    fn when_it_is_applied_nothing_in_scope_is_a_mismatch_and_a_second_plan_is_empty((sample, scopes, _) in any_host()) {
        let before = sample.topology();
        let plan = Plan::new(before, &scopes, Mode::Both, &BTreeSet::new());
        let (mut now, mut clamped) = (before.clone(), BTreeSet::new());
        for change in &plan.changes {
            write(&mut now, &mut clamped, *change);
        }
        let again = Plan::new(&now, &scopes, Mode::Both, &clamped);
        prop_assert_eq!(again.changes, Vec::new());
        prop_assert_eq!(again.withheld.len(), plan.withheld.len());
        for mismatch in now.mismatches() {
            let in_scope = scopes.iter().any(|scope| scope.links.contains(&mismatch.at));
            let is_withheld = plan.withheld.iter().any(|it| it.at == mismatch.at);
            prop_assert!(!in_scope || is_withheld, "{mismatch:?}");
        }
    }

    #[test]
    fn no_link_is_raised_nor_above_what_is_further_out_nor_outside_of_the_scope((sample, scopes, roots) in any_host()) {
        let before = sample.topology();
        let plan = Plan::new(before, &scopes, Mode::Both, &BTreeSet::new());
        let (mut now, mut clamped) = (before.clone(), BTreeSet::new());
        for change in &plan.changes {
            write(&mut now, &mut clamped, *change);
            let Change::LinkMtu { at, from, to } = *change else { continue };
            prop_assert!(to < from);
            for limit in IpFamily::ALL.into_iter().flat_map(|family| now.beyond(at, family)) {
                prop_assert!(to <= limit.mtu, "{change:?} exceeds {limit:?}");
            }
            let link = before.link(at).expect("it is there");
            prop_assert!(is_allowed(before, &roots, at, link), "{change:?} of {link:?} is out of scope");
        }
    }

    #[test]
    fn no_moment_has_a_mismatch_that_was_not_there_before((sample, scopes, _) in any_host()) {
        let before = sample.topology();
        let plan = Plan::new(before, &scopes, Mode::Links, &BTreeSet::new());
        let (mut now, mut clamped) = (before.clone(), BTreeSet::new());
        let known: BTreeSet<_> = before.mismatches().iter().map(|it| it.at).collect();
        // What is inside of a link that is withheld cannot be made right.
        prop_assume!(plan.withheld.is_empty());
        for change in plan.changes {
            write(&mut now, &mut clamped, change);
            for mismatch in now.mismatches() {
                prop_assert!(known.contains(&mismatch.at), "{change:?} makes {mismatch:?}");
            }
        }
    }

    #[test]
    fn what_is_answered_gets_what_a_plan_would_give_it((sample, scopes, _) in any_host()) {
        let plan = Plan::new(sample.topology(), &scopes, Mode::Links, &BTreeSet::new());
        let (mut now, mut clamped) = (sample.topology().clone(), BTreeSet::new());
        for change in &plan.changes {
            write(&mut now, &mut clamped, *change);
        }
        prop_assume!(plan.withheld.is_empty());
        for scope in &scopes {
            let rules = scope.rules(&now, &[]);
            for change in &plan.changes {
                let Change::LinkMtu { at, to, .. } = *change else { continue };
                let Some(rules) = rules.get(&at.netns).filter(|_| scope.links.contains(&at)) else { continue };
                let cap = if rules.ways_out.contains(&at.ifindex) { rules.outward } else { rules.cap };
                // A smaller bridge is known only when the link has become its port: that is left to the next plan.
                let master = now.link(at).and_then(|link| link.master);
                let bridge = master.and_then(|ifindex| now.link(LinkRef { netns: at.netns, ifindex }));
                let cap = bridge.map_or(cap, |bridge| cap.min(bridge.mtu));
                prop_assert_eq!(cap, to, "{:?}", change);
            }
        }
    }
}
