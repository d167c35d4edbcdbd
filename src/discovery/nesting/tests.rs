use std::collections::BTreeSet;

use super::*;
use crate::domain::link::{Ifindex, LinkKind};
use crate::domain::mtu::LinkMtu;

/// A host, and namespaces by nsid: 0 is the first.
fn inventory(others: i32) -> Inventory {
    let other = |nsid| FoundNetns { nsid: Nsid::new(nsid), ..FoundNetns::default() };
    Inventory {
        namespaces: [FoundNetns::default()].into_iter().chain((0..others).map(other)).collect(),
        own_nsid: None,
        outside: BTreeSet::new(),
        privileges: Vec::new(),
        unseen: Vec::new(),
    }
}

fn link(ifindex: u32, far: Option<(Linked, u32)>) -> Link<Linked> {
    let index = |number| Ifindex::new(number).unwrap();
    Link {
        ifindex: index(ifindex),
        name: format!("veth{ifindex}"),
        kind: LinkKind::Veth,
        mtu: LinkMtu::DOCKER_DEFAULT,
        master: None,
        linked: far.map(|(netns, ifindex)| LinkRef { netns, ifindex: index(ifindex) }),
    }
}

/// A veth from the namespace at this position to the one with this nsid, which names the other end in turn by `back`.
fn veth(inventory: &mut Inventory, from: usize, to: i32, back: Linked) {
    let to_position = usize::try_from(to).unwrap() + 1;
    let index = |netns: &FoundNetns| u32::try_from(netns.links.len()).unwrap() + 2;
    let (near, far) = (index(&inventory.namespaces[from]), index(&inventory.namespaces[to_position]));
    inventory.namespaces[from].links.push(link(near, Some((Nsid::new(to), far))));
    let back = back.map(|nsid| (Some(nsid), near));
    inventory.namespaces[to_position].links.push(link(far, back));
}

fn places(inventory: &Inventory) -> Vec<Place> {
    topology(inventory).namespaces.iter().map(|netns| netns.place).collect()
}

fn nested(level: u8, parent: usize) -> Place {
    Place::Nested { level, parent: NetnsIx(parent) }
}

#[test]
fn a_level_is_the_distance_from_the_host() {
    let mut inventory = inventory(3);
    veth(&mut inventory, 0, 0, None);
    veth(&mut inventory, 1, 1, Nsid::new(0));
    veth(&mut inventory, 2, 2, Nsid::new(1));
    assert_eq!(places(&inventory), [Place::Host, nested(1, 0), nested(2, 1), nested(3, 2)]);
}

#[test]
fn of_two_ways_to_a_namespace_the_shorter_one_counts() {
    let mut inventory = inventory(2);
    veth(&mut inventory, 0, 0, None);
    veth(&mut inventory, 1, 1, Nsid::new(0));
    veth(&mut inventory, 0, 1, None);
    assert_eq!(places(&inventory), [Place::Host, nested(1, 0), nested(1, 0)]);
}

#[test]
fn the_order_in_which_namespaces_were_found_does_not_matter() {
    let mut inventory = inventory(2);
    veth(&mut inventory, 0, 1, None);
    veth(&mut inventory, 2, 0, Nsid::new(1));
    assert_eq!(places(&inventory), [Place::Host, nested(2, 2), nested(1, 0)]);
}

#[test]
fn one_end_is_enough() {
    let mut inventory = inventory(2);
    // A macvlan knows its lower link, which does not know it.
    inventory.own_nsid = Nsid::new(9);
    inventory.namespaces[1].links.push(link(2, Some((Nsid::new(9), 2))));
    inventory.namespaces[2].links.push(link(2, Some((Nsid::new(0), 2))));
    assert_eq!(places(&inventory), [Place::Host, nested(1, 0), nested(2, 1)]);
}

#[test]
fn the_host_is_recognised_under_its_own_nsid() {
    let mut inventory = inventory(1);
    inventory.own_nsid = Nsid::new(9);
    veth(&mut inventory, 0, 0, Nsid::new(9));
    let topology = topology(&inventory);
    let [(_, inner)] = topology.netns(NetnsIx(1)).links.iter().collect::<Vec<_>>()[..] else {
        panic!("one link")
    };
    assert_eq!(inner.linked, Some(LinkRef { netns: HOST, ifindex: Ifindex::new(2).unwrap() }));
    assert_eq!(topology.namespaces.len(), 2);
}

#[test]
fn a_far_end_in_a_namespace_that_was_not_seen_is_left_out() {
    let mut inventory = inventory(0);
    inventory.namespaces[0].links.push(link(2, Some((Nsid::new(7), 3))));
    let topology = topology(&inventory);
    let links: Vec<_> = topology.netns(HOST).links.values().collect();
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].linked, None);
}

#[test]
fn a_link_without_an_nsid_leads_to_its_own_namespace() {
    let mut inventory = inventory(1);
    veth(&mut inventory, 0, 0, None);
    inventory.namespaces[1].links.push(link(5, Some((None, 2))));
    let topology = topology(&inventory);
    let upper = topology.link(LinkRef { netns: NetnsIx(1), ifindex: Ifindex::new(5).unwrap() }).unwrap();
    assert_eq!(upper.linked.map(|linked| linked.netns), Some(NetnsIx(1)));
}

#[test]
fn what_is_behind_the_uplink_is_outside_and_nothing_is_nested_in_it() {
    let mut inventory = inventory(3);
    inventory.outside = Nsid::new(0).into_iter().collect();
    veth(&mut inventory, 0, 0, None);
    veth(&mut inventory, 1, 1, Nsid::new(0));
    veth(&mut inventory, 0, 2, None);
    assert_eq!(places(&inventory), [Place::Host, Place::Outside, Place::Unconnected, nested(1, 0)]);
}

#[test]
fn what_no_link_connects_has_no_level() {
    let mut inventory = inventory(2);
    veth(&mut inventory, 1, 1, Nsid::new(0));
    inventory.namespaces.push(FoundNetns { inode: Some(4_026_532_281), ..FoundNetns::default() });
    assert_eq!(places(&inventory), [Place::Host, Place::Unconnected, Place::Unconnected, Place::Unconnected]);
}
