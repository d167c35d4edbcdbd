use super::*;
use crate::domain::topology::HOST;
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};

/// Each mismatch with what it should be.
fn found(sample: &Sample) -> Vec<(LinkRef<NetnsIx>, u32)> {
    sample.topology().mismatches().iter().map(|it| (it.at, it.limit.mtu.get())).collect()
}

fn sorted(mut found: Vec<(LinkRef<NetnsIx>, u32)>) -> Vec<(LinkRef<NetnsIx>, u32)> {
    found.sort();
    found
}

#[test]
fn the_seed_problem_is_found_at_both_nested_levels_and_nothing_else_is() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    let want = level2.links().into_iter().chain(level3.links()).map(|at| (at, 1450)).collect();
    assert_eq!(sorted(found(&sample)), sorted(want));
}

#[test]
fn daemons_that_were_told_are_no_mismatch() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1450);
    Docker::start(&mut sample, level2.container, 1450);
    assert_eq!(found(&sample), []);
}

#[test]
fn a_smaller_level_two_is_what_level_three_should_be() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1300);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    assert_eq!(sorted(found(&sample)), sorted(level3.links().map(|at| (at, 1300)).to_vec()));
}

#[test]
fn a_plain_vm_with_a_smaller_uplink_has_one_on_the_host() {
    let mut sample = machine(1460);
    let docker = Docker::start(&mut sample, HOST, 1500);
    assert_eq!(sorted(found(&sample)), sorted(docker.links().map(|at| (at, 1460)).to_vec()));
}

#[test]
fn jumbo_frames_outside_are_none() {
    let mut sample = machine(9001);
    let (pod, _) = pod(&mut sample, 9001);
    Docker::start(&mut sample, pod, 1500);
    assert_eq!(found(&sample), []);
}

#[test]
fn an_idle_bridge_is_never_one() {
    let mut sample = machine(1460);
    sample.link(HOST, "docker0", LinkKind::Bridge, 1500);
    assert_eq!(found(&sample), []);
}

#[test]
fn an_internal_network_that_nothing_leaves_is_none() {
    let mut sample = machine(1460);
    let docker = Docker::start(&mut sample, HOST, 1500);
    sample.routes(docker.container).defaults.clear();
    assert_eq!(found(&sample), []);
}

#[test]
fn a_second_network_of_a_container_counts_although_its_default_route_is_elsewhere() {
    let mut sample = machine(1460);
    let docker = Docker::start(&mut sample, HOST, 1460);
    let second = sample.link(HOST, "br-0123456789ab", LinkKind::Bridge, 1500);
    let [eth1, outer] = sample.veth((docker.container, "eth1"), (HOST, "veth2"), 1500);
    sample.enslave(outer, second);
    assert_eq!(sorted(found(&sample)), sorted(vec![(second, 1460), (eth1, 1460), (outer, 1460)]));
}

#[test]
fn a_bridge_into_a_virtual_machine_is_one_though_its_inside_is_not_seen() {
    let mut sample = machine(1460);
    let bridge = sample.link(HOST, "virbr0", LinkKind::Bridge, 1500);
    let tap = sample.link(HOST, "vnet0", LinkKind::Tun, 1500);
    sample.enslave(tap, bridge);
    assert_eq!(found(&sample), [(bridge, 1460)]);
}

#[test]
fn a_smaller_route_of_the_pod_counts_for_what_is_nested_in_it_and_not_for_its_own_link() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    let [eth0, _] = sample.veth((pod, "eth0"), (HOST, "lxc1"), 1500);
    sample.default_route(eth0, IpFamily::V4, Some(1450));
    let docker = Docker::start(&mut sample, pod, 1500);
    assert_eq!(sorted(found(&sample)), sorted(docker.links().map(|at| (at, 1450)).to_vec()));
}

#[test]
fn the_smaller_of_both_families_counts() {
    let mut sample = machine(1500);
    let tunnel = sample.link(HOST, "he-ipv6", LinkKind::Ipip, 1480);
    sample.default_route(tunnel, IpFamily::V6, None);
    let docker = Docker::start(&mut sample, HOST, 1500);
    assert_eq!(sorted(found(&sample)), sorted(docker.links().map(|at| (at, 1480)).to_vec()));
}

#[test]
fn a_namespace_that_no_link_connects_is_never_one() {
    let mut sample = machine(1280);
    let (pod, _) = pod(&mut sample, 1500);
    sample.disconnect(pod);
    assert_eq!(found(&sample), []);
    assert_eq!(mtu(1280), sample.topology().netns(HOST).links.values().next().unwrap().mtu);
}
