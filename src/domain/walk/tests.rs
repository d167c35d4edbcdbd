use proptest::prelude::*;

use super::*;
use crate::domain::link::{Ifindex, LinkKind};
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
use crate::domain::topology::{HOST, Route};

fn names(sample: &Sample, walk: &[Limit]) -> Vec<String> {
    let name = |limit: &Limit| match limit.hop {
        Hop::Link(at) => sample.topology().link(at).unwrap().name.clone(),
        Hop::Route { mtu, .. } => format!("route {mtu}"),
    };
    walk.iter().map(name).collect()
}

fn walk(sample: &Sample, from: NetnsIx) -> Vec<String> {
    names(sample, &sample.topology().walk(from, IpFamily::V4))
}

#[test]
fn the_walk_from_level_three_passes_every_bridge_and_veth_on_its_way() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    assert_eq!(
        walk(&sample, level3.container),
        ["eth0", "veth1", "docker0", "eth0", "veth1", "docker0", "eth0", "cali1", "eth0"]
    );
}

#[test]
fn of_equal_hops_the_outermost_limits() {
    let mut sample = machine(1500);
    let (pod, [_, cali]) = pod(&mut sample, 1450);
    let walk = sample.topology().walk(pod, IpFamily::V4);
    assert_eq!(Topology::narrowest(&walk), Some(Limit { hop: Hop::Link(cali), mtu: mtu(1450) }));
}

#[test]
fn a_route_that_sets_an_mtu_is_a_hop_of_its_own() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    let [eth0, _] = sample.veth((pod, "eth0"), (HOST, "lxc1"), 1500);
    sample.default_route(eth0, IpFamily::V4, Some(1450));
    assert_eq!(walk(&sample, pod), ["route 1450", "eth0", "lxc1", "eth0"]);
}

#[test]
fn of_default_routes_that_share_the_packets_the_one_that_carries_least_is_the_way() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1500);
    let tunnel = sample.link(HOST, "tunnel", LinkKind::Gre, 1476);
    sample.default_route(tunnel, IpFamily::V4, None);
    assert_eq!(walk(&sample, pod), ["eth0", "cali1", "tunnel"]);
    let third = sample.link(HOST, "eth2", LinkKind::Device, 1500);
    sample.default_route(third, IpFamily::V4, Some(1400));
    assert_eq!(walk(&sample, pod), ["eth0", "cali1", "route 1400", "eth2"]);
    let unseen = Route { family: IpFamily::V4, ifindex: Ifindex::new(99).unwrap(), mtu: None };
    sample.routes(HOST).defaults.insert(0, unseen);
    assert_eq!(walk(&sample, pod), ["eth0", "cali1", "route 1400", "eth2"], "of one that was seen");
}

#[test]
fn without_readable_routes_the_smallest_link_outward_is_the_way() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    sample.veth((pod, "net1"), (HOST, "veth9"), 9000);
    sample.veth((pod, "eth0"), (HOST, "cali1"), 1450);
    let way_out = sample.topology().way_out(pod, IpFamily::V4).unwrap();
    assert!(way_out.inferred);
    assert_eq!(walk(&sample, pod), ["eth0", "cali1", "eth0"]);
}

#[test]
fn of_a_namespace_whose_links_are_unreadable_the_outer_end_is_known() {
    let mut sample = machine(1500);
    let (pod, [eth0, _]) = pod(&mut sample, 1450);
    sample.hide(pod);
    assert_eq!(sample.topology().link(eth0), None);
    assert_eq!(walk(&sample, pod), ["cali1", "eth0"]);
}

#[test]
fn a_bridge_with_a_network_card_leads_off_the_machine_without_being_routed() {
    let mut sample = machine(1500);
    let storage = sample.link(HOST, "br-storage", LinkKind::Bridge, 9000);
    let card = sample.link(HOST, "eth1", LinkKind::Device, 9000);
    sample.enslave(card, storage);
    let container = sample.nested_in(HOST);
    let [eth0, outer] = sample.veth((container, "eth0"), (HOST, "veth1"), 9000);
    sample.enslave(outer, storage);
    sample.default_route(eth0, IpFamily::V4, None);
    assert_eq!(walk(&sample, container), ["eth0", "veth1", "br-storage", "eth1"]);
}

#[test]
fn a_bridge_that_is_the_uplink_itself_ends_at_its_card() {
    let mut sample = Sample::host();
    let bridge = sample.link(HOST, "br0", LinkKind::Bridge, 1500);
    let card = sample.link(HOST, "eth0", LinkKind::Device, 1500);
    sample.enslave(card, bridge);
    sample.default_route(bridge, IpFamily::V4, None);
    assert_eq!(walk(&sample, HOST), ["br0", "eth0"]);
}

#[test]
fn a_macvlan_in_a_container_leaves_by_its_lower_link() {
    let mut sample = machine(1500);
    let container = sample.nested_in(HOST);
    let eth0 = sample.link(container, "eth0", LinkKind::Macvlan, 1500);
    let uplink = sample.topology().way_out(HOST, IpFamily::V4).unwrap().ifindex;
    sample.link_mut(eth0).linked = Some(LinkRef { netns: HOST, ifindex: uplink });
    sample.default_route(eth0, IpFamily::V4, None);
    assert_eq!(walk(&sample, container), ["eth0", "eth0"]);
}

#[test]
fn two_namespaces_that_route_into_each_other_end_the_walk() {
    let mut sample = Sample::host();
    let container = sample.nested_in(HOST);
    let [eth0, outer] = sample.veth((container, "eth0"), (HOST, "veth1"), 1500);
    sample.default_route(eth0, IpFamily::V4, None);
    sample.default_route(outer, IpFamily::V4, None); // the host itself goes out by its container
    assert_eq!(walk(&sample, container), ["eth0", "veth1"]);
}

#[test]
fn each_family_has_its_own_way() {
    let mut sample = machine(1500);
    let tunnel = sample.link(HOST, "he-ipv6", LinkKind::Ipip, 1480);
    sample.default_route(tunnel, IpFamily::V6, None);
    assert_eq!(walk(&sample, HOST), ["eth0"]);
    assert_eq!(names(&sample, &sample.topology().walk(HOST, IpFamily::V6)), ["he-ipv6"]);
}

proptest! {
    /// Whatever links and routes refer to, also to what is not there: the walk ends, and visits nothing twice.
    #[test]
    fn every_walk_ends(
        links in prop::collection::vec((0_usize..6, 0_usize..6, 0_u32..8, 0_u32..8, 0_u8..4, 68_u32..9000), 0..40),
        routes in prop::collection::vec((0_usize..6, 2_u32..8), 0..8),
    ) {
        let mut sample = Sample::host();
        let chain = (1..6).fold(vec![HOST], |mut chain, _| {
            let deeper = sample.nested_in(*chain.last().unwrap());
            chain.push(deeper);
            chain
        });
        for (netns, far, far_index, master, kind, bytes) in links {
            let kind = [LinkKind::Veth, LinkKind::Bridge, LinkKind::Device, LinkKind::Macvlan][usize::from(kind)].clone();
            let at = sample.link(chain[netns], "link", kind, bytes);
            let link = sample.link_mut(at);
            link.linked = Ifindex::new(far_index).map(|ifindex| LinkRef { netns: chain[far], ifindex });
            link.master = Ifindex::new(master);
        }
        for (netns, ifindex) in routes {
            let route = Route { family: IpFamily::V4, ifindex: Ifindex::new(ifindex).unwrap(), mtu: None };
            sample.routes(chain[netns]).defaults.push(route);
        }
        for netns in chain {
            let walk = sample.topology().walk(netns, IpFamily::V4);
            let mut hops: Vec<_> = walk.iter().map(|limit| format!("{:?}", limit.hop)).collect();
            hops.sort();
            let visited = hops.len();
            hops.dedup();
            prop_assert_eq!(hops.len(), visited);
        }
        let _ = sample.topology().mismatches();
    }
}
