use super::*;
use crate::domain::topology::sample::{Docker, Sample, machine, pod};

/// A veth into a namespace of level 1 whose outer end is a port of `master`. Tells the roles of both ends.
fn ends_at(master: &str, kind: LinkKind) -> [Role; 2] {
    ends_at_in(&mut machine(1500), master, kind)
}

fn ends_at_in(sample: &mut Sample, master: &str, kind: LinkKind) -> [Role; 2] {
    let master = sample.link(HOST, master, kind, 1500);
    let inner = sample.nested_in(HOST);
    let ends = sample.veth((inner, "eth0"), (HOST, "veth0a1b2c3"), 1500);
    sample.enslave(ends[1], master);
    ends.map(|end| role(sample.topology(), end))
}

/// A veth into a namespace of level 1, whose outer end has this name and no master.
fn ends_called(sample: &mut Sample, outer: &str) -> [Role; 2] {
    let inner = sample.nested_in(HOST);
    let ends = sample.veth((inner, "eth0"), (HOST, outer), 1500);
    ends.map(|end| role(sample.topology(), end))
}

#[test]
fn a_bridge_is_named_by_its_maker() {
    for (name, expected) in [
        ("docker0", Role::DockerBridge),
        ("docker_gwbridge", Role::DockerNetwork),
        ("br-0123456789ab", Role::DockerNetwork),
        ("podman0", Role::PodmanBridge),
        ("cni-podman1", Role::PodmanBridge),
        ("cni0", Role::CniBridge),
        ("cbr0", Role::CniBridge),
        ("kube-bridge", Role::CniBridge),
    ] {
        assert_eq!(bridge(name), expected, "{name}");
    }
}

#[test]
fn a_bridge_that_is_only_called_alike_is_any_bridge() {
    for name in
        ["docker00", "br-0123456789a", "br-0123456789abc", "br-0123456789xy", "br-lan", "cnitest", "virbr0"]
    {
        assert_eq!(bridge(name), Role::Bridge, "{name}");
    }
}

#[test]
fn both_ends_of_a_veth_are_named_by_the_bridge_of_the_outer_one() {
    for (master, expected) in [
        ("docker0", Role::DockerVeth),
        ("br-0123456789ab", Role::DockerVeth),
        ("podman0", Role::PodmanVeth),
        ("cni0", Role::CniVeth),
        ("virbr0", Role::Veth),
    ] {
        assert_eq!(ends_at(master, LinkKind::Bridge), [expected; 2], "{master}");
    }
}

#[test]
fn a_port_of_open_vswitch_is_one_at_both_ends() {
    assert_eq!(ends_at("ovs-system", LinkKind::Openvswitch), [Role::OvsPort; 2]);
}

#[test]
fn a_port_of_a_bond_is_any_veth() {
    assert_eq!(ends_at("docker0", LinkKind::Bond), [Role::Veth; 2]);
}

#[test]
fn cni0_is_flannels_where_there_is_a_flannel_link() {
    let mut sample = machine(1500);
    sample.link(HOST, "flannel.1", LinkKind::Vxlan, 1450);
    assert_eq!(ends_at_in(&mut sample, "cni0", LinkKind::Bridge), [Role::FlannelVeth; 2]);
}

#[test]
fn docker_beside_flannel_stays_dockers() {
    let mut sample = machine(1500);
    sample.link(HOST, "flannel.1", LinkKind::Vxlan, 1450);
    assert_eq!(ends_at_in(&mut sample, "docker0", LinkKind::Bridge), [Role::DockerVeth; 2]);
}

#[test]
fn a_calico_pod_is_named_by_its_outer_end() {
    let mut sample = machine(1500);
    let (_, ends) = pod(&mut sample, 1450);
    assert_eq!(ends.map(|end| role(sample.topology(), end)), [Role::CalicoVeth; 2]);
}

#[test]
fn a_cilium_pod_is_told_from_an_lxc_container_by_the_hosts_cilium_host() {
    let mut sample = machine(1500);
    assert_eq!(ends_called(&mut sample, "lxc12ab34cd56ef"), [Role::Veth; 2]);
    sample.link(HOST, "cilium_host", LinkKind::Veth, 1500);
    assert_eq!(ends_called(&mut sample, "lxc12ab34cd56ef"), [Role::CiliumVeth; 2]);
}

#[test]
fn the_inner_ends_own_name_tells_nothing() {
    let mut sample = machine(1500);
    let inner = sample.nested_in(HOST);
    let ends = sample.veth((inner, "cali1"), (HOST, "veth1"), 1500);
    assert_eq!(ends.map(|end| role(sample.topology(), end)), [Role::Veth; 2]);
}

#[test]
fn a_docker_in_a_pod_is_dockers_and_the_pod_stays_the_cnis() {
    let mut sample = machine(1500);
    let (pod, [eth0, cali]) = pod(&mut sample, 1450);
    let docker = Docker::start(&mut sample, pod, 1500);
    let topology = sample.topology();
    assert_eq!([eth0, cali].map(|end| role(topology, end)), [Role::CalicoVeth; 2]);
    assert_eq!(
        docker.links().map(|link| role(topology, link)),
        [Role::DockerBridge, Role::DockerVeth, Role::DockerVeth]
    );
}

#[test]
fn an_outer_end_whose_inner_one_is_unseen_is_named_by_itself() {
    let mut sample = machine(1500);
    let cali = sample.link(HOST, "cali1", LinkKind::Veth, 1450);
    assert_eq!(role(sample.topology(), cali), Role::CalicoVeth);
}

#[test]
fn what_is_not_there_is_other() {
    let mut sample = machine(1500);
    let gone = sample.link(HOST, "gone", LinkKind::Device, 1500);
    sample.hide(HOST);
    assert_eq!(role(sample.topology(), gone), Role::Other);
}

#[test]
fn every_role_has_a_label_of_its_own() {
    let mut labels = Role::ALL.map(Role::label);
    assert_eq!([labels[0], labels[24]], ["loopback", "other"]);
    assert!(Role::ALL.is_sorted_by(|a, b| a < b));
    labels.sort_unstable();
    assert!(labels.is_sorted_by(|a, b| a < b), "{labels:?}");
    assert_eq!(serde_json::to_string(&Role::CniVeth).unwrap(), "\"cni_veth\"");
}
