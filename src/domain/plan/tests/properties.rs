//! Any hosts, with any uplinks.

use proptest::prelude::*;

use super::*;
use crate::domain::answer::{Action, Answers};
use crate::domain::link::Link;
use crate::domain::topology::Place;

/// A namespace with dockers in it, each with containers that are such namespaces again.
#[derive(Clone, Debug)]
struct Nest {
    uplink: u32,
    outer: u32,
    bridge: u32,
    route: Option<u32>,
    default_route: bool,
    v6: bool,
    second: Option<Second>,
    inside: Vec<Nest>,
}

/// An uplink besides.
#[derive(Clone, Debug)]
struct Second {
    join: Join,
    inner: u32,
    outer: u32,
    /// The families whose default route leaves by it.
    takes: BTreeSet<IpFamily>,
    /// Whether it is a port of a bridge inside.
    is_port: bool,
}

#[derive(Clone, Copy, Debug)]
enum Join {
    /// A macvlan of the first or the last uplink of the parent.
    Macvlan { of_last: bool },
    /// A veth at the bridge with the parent's own second uplink, if it has one.
    Bridge,
    /// A veth that is routed.
    Route,
}

fn any_mtu() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1500), Just(1450), Just(1300), Just(9001), 600_u32..2000]
}

fn any_second() -> impl Strategy<Value = Second> {
    let join = prop_oneof![
        any::<bool>().prop_map(|of_last| Join::Macvlan { of_last }),
        Just(Join::Bridge),
        Just(Join::Route)
    ];
    let takes = proptest::collection::btree_set(proptest::sample::select(&IpFamily::ALL), 0..=2);
    (join, any_mtu(), any_mtu(), takes, any::<bool>())
        .prop_map(|(join, inner, outer, takes, is_port)| Second { join, inner, outer, takes, is_port })
}

fn any_nest() -> impl Strategy<Value = Nest> {
    let nest = |inside: Vec<Nest>| {
        let route = proptest::option::weighted(0.2, any_mtu());
        let flags = (proptest::bool::weighted(0.9), any::<bool>());
        let second = proptest::option::weighted(0.3, any_second());
        (any_mtu(), any_mtu(), any_mtu(), route, flags, second).prop_map(
            move |(uplink, outer, bridge, route, (default_route, v6), second)| Nest {
                uplink,
                outer,
                bridge,
                route,
                default_route,
                v6,
                second,
                inside: inside.clone(),
            },
        )
    };
    nest(Vec::new())
        .prop_recursive(3, 24, 3, move |inner| proptest::collection::vec(inner, 0..3).prop_flat_map(nest))
}

/// A namespace, as what is nested in it may be joined to it.
#[derive(Debug)]
struct Site {
    netns: NetnsIx,
    uplinks: Vec<LinkRef<NetnsIx>>,
    /// A bridge that the second of its uplinks is a port of.
    lan: Option<LinkRef<NetnsIx>>,
}

impl Site {
    /// Makes a bridge of the last uplink.
    fn bridge_last(&mut self, sample: &mut Sample, bytes: u32) {
        let lan = sample.link(self.netns, "lan", LinkKind::Bridge, bytes);
        sample.enslave(self.uplinks[self.uplinks.len() - 1], lan);
        self.lan = Some(lan);
    }
}

/// A veth from `parent` into a new namespace, and all that is in there; at `bridge` or, as pods are, without one.
fn grow(sample: &mut Sample, parent: &Site, bridge: Option<LinkRef<NetnsIx>>, nest: &Nest) -> NetnsIx {
    let netns = sample.nested_in(parent.netns);
    let [inner, outer] = sample.veth((netns, "eth0"), (parent.netns, "veth"), nest.uplink);
    sample.link_mut(outer).mtu = mtu(nest.outer);
    if let Some(bridge) = bridge {
        sample.enslave(outer, bridge);
    }
    sample.link(netns, "lo", LinkKind::Loopback, 65_536);
    let mut site = Site { netns, uplinks: vec![inner], lan: None };
    if let Some(second) = &nest.second {
        let joined = join(sample, parent, netns, second);
        site.uplinks.push(joined);
        if second.is_port {
            site.bridge_last(sample, nest.bridge);
        }
    }
    sample.routes(netns);
    for family in IpFamily::ALL {
        let (is_routed, route) = match family {
            IpFamily::V4 => (nest.default_route, nest.route),
            IpFamily::V6 => (nest.v6, None),
        };
        let second = nest.second.as_ref().filter(|second| second.takes.contains(&family));
        let way_out = second.map_or(inner, |_| site.lan.unwrap_or(site.uplinks[1]));
        if is_routed {
            sample.default_route(way_out, family, route);
        }
    }
    if !nest.inside.is_empty() {
        let bridge = sample.link(netns, "docker0", LinkKind::Bridge, nest.bridge);
        for inside in &nest.inside {
            grow(sample, &site, Some(bridge), inside);
        }
    }
    netns
}

/// The second uplink of `netns`.
fn join(sample: &mut Sample, parent: &Site, netns: NetnsIx, second: &Second) -> LinkRef<NetnsIx> {
    let bridge = match second.join {
        Join::Macvlan { of_last } => {
            let macvlan = sample.link(netns, "eth1", LinkKind::Macvlan, second.inner);
            let position = if of_last { parent.uplinks.len() - 1 } else { 0 };
            sample.link_mut(macvlan).linked = Some(parent.uplinks[position]);
            return macvlan;
        }
        Join::Bridge => parent.lan,
        Join::Route => None,
    };
    let [inner, outer] = sample.veth((netns, "eth1"), (parent.netns, "second"), second.inner);
    sample.link_mut(outer).mtu = mtu(second.outer);
    if let Some(bridge) = bridge {
        sample.enslave(outer, bridge);
    }
    inner
}

/// A host with two uplinks: each one's MTU, that of a bridge which the second is a port of, and which of them has an IPv6
/// default route.
fn any_machine() -> impl Strategy<Value = (Sample, Site)> {
    let uplinks = [any_mtu(), any_mtu()];
    let (bridge, v6) = (proptest::option::of(any_mtu()), proptest::option::of(0_usize..2));
    (uplinks, bridge, v6).prop_map(|([first, second], bridge, v6)| {
        let mut sample = Sample::host();
        let uplinks = vec![
            sample.link(HOST, "eth0", LinkKind::Device, first),
            sample.link(HOST, "eth1", LinkKind::Device, second),
        ];
        sample.default_route(uplinks[0], IpFamily::V4, None);
        let mut site = Site { netns: HOST, uplinks, lan: None };
        if let Some(bytes) = bridge {
            site.bridge_last(&mut sample, bytes);
        }
        let ways_out = [site.uplinks[0], site.lan.unwrap_or(site.uplinks[1])];
        if let Some(position) = v6 {
            sample.default_route(ways_out[position], IpFamily::V6, None);
        }
        sample.link(HOST, "lo", LinkKind::Loopback, 65_536);
        (sample, site)
    })
}

/// What is opted in of a host's docker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dockers {
    No,
    Container,
    All,
}

/// A host with pods and a docker of its own; which of the pods are opted in, what of its docker is, and the caps.
fn any_host() -> impl Strategy<Value = (Sample, Vec<OptedIn>, Vec<NetnsIx>)> {
    let pods = proptest::collection::vec((any_nest(), any::<bool>()), 1..4);
    let most = (any_mtu(), any_mtu());
    let most = proptest::option::weighted(
        0.4,
        most.prop_map(|(anywhere, by_way_out)| Most {
            anywhere: mtu(anywhere),
            by_way_out: mtu(by_way_out.min(anywhere)),
        }),
    );
    let dockers = prop_oneof![Just(Dockers::No), Just(Dockers::Container), Just(Dockers::All)];
    (any_machine(), pods, any_nest(), dockers, most).prop_map(
        |((mut sample, host), pods, own, dockers, most)| {
            let wanted: Vec<_> = pods
                .iter()
                .map(|(nest, wanted)| (grow(&mut sample, &host, None, nest), *wanted))
                .filter(|(_, wanted)| *wanted)
                .map(|(pod, _)| pod)
                .collect();
            let bridge = sample.link(HOST, "docker0", LinkKind::Bridge, own.bridge);
            let container = grow(&mut sample, &host, Some(bridge), &own);
            let topology = sample.topology();
            let mut scopes: Vec<_> =
                wanted.iter().map(|pod| OptedIn::nested_in(topology, *pod, None, most)).collect();
            let mut roots = wanted;
            scopes.extend(match dockers {
                Dockers::No => None,
                Dockers::Container => {
                    let mut links = topology.netns(container).links.values();
                    let own = links.find(|link| link.name == "eth0").expect("it has one");
                    let own = LinkRef { netns: container, ifindex: own.ifindex };
                    Some(OptedIn::nested_in(topology, container, Some(own), most))
                }
                Dockers::All => Some(OptedIn::docker_host(topology, is_dockers(topology), most)),
            });
            roots.extend((dockers != Dockers::No).then_some(container));
            (sample, scopes, roots)
        },
    )
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
    let is_at_docker0 = |link: &Link<NetnsIx>| {
        let bridge = link.master.and_then(|ifindex| topology.link(LinkRef { netns: HOST, ifindex }));
        bridge.is_some_and(|bridge| bridge.name == "docker0")
    };
    match topology.netns(at.netns).place {
        Place::Host => link.name == "docker0" || is_at_docker0(link),
        Place::Nested { level: 1, .. } => {
            let mut links = topology.netns(at.netns).links.values();
            let is_dockers = links.any(|link| {
                link.linked
                    .is_some_and(|far| far.netns == HOST && topology.link(far).is_some_and(is_at_docker0))
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
            let rules = scope.rules(&now);
            for change in &plan.changes {
                let Change::LinkMtu { at, to, .. } = *change else { continue };
                let Some(rules) = rules.get(&at.netns).filter(|_| scope.links.contains(&at)) else { continue };
                let cap = if rules.ways_out.contains(&at.ifindex) { rules.outward } else { rules.cap };
                // A smaller bridge is known only when the link has become its port: that is left to the next plan.
                let inward = now.link(at).filter(|link| link.name != "eth1");
                let master = inward.and_then(|link| link.master);
                let bridge = master.and_then(|ifindex| now.link(LinkRef { netns: at.netns, ifindex }));
                let cap = bridge.map_or(cap, |bridge| cap.min(bridge.mtu));
                let has_one_uplink = now.netns(at.netns).links.values().all(|link| link.name != "eth1");
                let is_apart = rules.apart.contains(&at.ifindex);
                prop_assert!(cap == to || is_apart || (cap > to && !has_one_uplink), "{:?}: {:?}", change, rules);
            }
        }
    }

    #[test]
    fn where_a_survey_finds_no_mismatch_a_plan_is_empty_and_guards_write_nothing((sample, scopes, _) in any_host()) {
        let right = made_right(sample.topology());
        let now = any_time();
        for scope in scopes {
            let most = Most::inside(&right, scope.netns, &unbounded());
            let scope = OptedIn { most, ..scope };
            let plan = Plan::new(&right, std::slice::from_ref(&scope), Mode::Links, &BTreeSet::new());
            prop_assert_eq!(plan, Plan::default());
            for (netns, rules) in scope.rules(&right) {
                let mut answers = Answers::new(rules);
                for link in right.netns(netns).links.values() {
                    answers.told(as_told(netns, link), true);
                }
                for action in answers.poll(now) {
                    let Action::Write { link, to } = action else { continue };
                    let at = LinkRef { netns, ifindex: link.ifindex };
                    // Of one that carries nothing outward a survey says nothing, and a new one carries nothing yet.
                    let is_judged = right.link(at).and_then(|link| right.limit_of(at, link)).is_some();
                    prop_assert!(!is_judged, "{link:?} gets {to}");
                }
            }
        }
    }
}

/// The same with no mismatch left.
fn made_right(topology: &Topology) -> Topology {
    let mut right = topology.clone();
    loop {
        let mismatches = right.mismatches();
        if mismatches.is_empty() {
            return right;
        }
        for mismatch in mismatches {
            let links = &mut right.namespaces[mismatch.at.netns.0].links;
            links.get_mut(&mismatch.at.ifindex).expect("it is there").mtu = mismatch.limit.mtu;
        }
    }
}

/// A link as its own namespace tells it.
fn as_told(netns: NetnsIx, link: &Link<NetnsIx>) -> Link<Option<NetnsIx>> {
    let other = |far: LinkRef<NetnsIx>| LinkRef {
        netns: Some(far.netns).filter(|far| *far != netns),
        ifindex: far.ifindex,
    };
    let Link { ifindex, name, kind, mtu, master, linked } = link.clone();
    Link { ifindex, name, kind, mtu, master, linked: linked.map(other) }
}
