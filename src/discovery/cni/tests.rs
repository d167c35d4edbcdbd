use super::*;
use crate::domain::link::LinkRef;
use crate::domain::topology::sample::{Sample, machine, pod};

fn guessed(sample: &Sample) -> Option<String> {
    by_links(sample.topology()).map(|cni| cni.name)
}

fn with_link(name: &str, kind: LinkKind) -> Sample {
    let mut sample = machine(1500);
    sample.link(HOST, name, kind, 1500);
    sample
}

/// With a pod whose outer end has this name.
fn with_pod(outer: &str) -> Sample {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    sample.veth((pod, "eth0"), (HOST, outer), 1500);
    sample
}

#[test]
fn a_link_that_only_one_cni_makes_gives_it_away() {
    for (link, kind, cni) in [
        ("cilium_host", LinkKind::Veth, "Cilium"),
        ("ovn0", LinkKind::Openvswitch, "Kube-OVN"),
        ("ovn-k8s-mp0", LinkKind::Openvswitch, "OVN-Kubernetes"),
        ("antrea-gw0", LinkKind::Openvswitch, "Antrea"),
        ("vxlan.calico", LinkKind::Vxlan, "Calico"),
        ("flannel.1", LinkKind::Vxlan, "Flannel"),
        ("flannel-wg", LinkKind::Wireguard, "Flannel"),
        ("weave", LinkKind::Bridge, "Weave Net"),
        ("kube-bridge", LinkKind::Bridge, "kube-router"),
    ] {
        assert_eq!(guessed(&with_link(link, kind)).as_deref(), Some(cni), "{link}");
    }
}

#[test]
fn the_outer_end_of_a_pod_gives_it_away() {
    for (outer, cni) in [
        ("cali12ab34cd56e", "Calico"),
        ("eni12ab34cd56e", "AWS VPC CNI"),
        ("gke12ab34cd56e", "GKE"),
        ("azv12ab34cd56e", "Azure CNI"),
    ] {
        assert_eq!(guessed(&with_pod(outer)).as_deref(), Some(cni), "{outer}");
    }
}

#[test]
fn every_sign_is_tried_above() {
    assert_eq!(SIGNS.len(), 9 + 4);
}

#[test]
fn the_reason_names_the_link() {
    let cni = by_links(with_link("flannel.1", LinkKind::Vxlan).topology()).unwrap();
    assert_eq!(cni.why, "link flannel.1 on the host");
}

#[test]
fn the_surest_sign_wins() {
    let mut sample = with_pod("eni12ab34cd56e");
    sample.link(HOST, "cilium_host", LinkKind::Veth, 1500);
    assert_eq!(guessed(&sample).as_deref(), Some("Cilium"));
}

#[test]
fn a_network_card_named_eni0_is_not_aws() {
    assert_eq!(guessed(&with_link("eni0", LinkKind::Device)), None);
}

#[test]
fn a_veth_to_nowhere_else_is_no_pods() {
    let mut sample = machine(1500);
    sample.veth((HOST, "eni1"), (HOST, "eni2"), 1500);
    sample.link(HOST, "cali0", LinkKind::Veth, 1500);
    assert_eq!(guessed(&sample), None);
}

#[test]
fn a_link_inside_of_a_pod_says_nothing_about_the_host() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    sample.link(pod, "flannel.1", LinkKind::Vxlan, 1450);
    assert_eq!(guessed(&sample), None);
}

#[test]
fn a_plain_docker_host_has_none() {
    let nowhere = Path::new("/nonexistent");
    assert_eq!(guess(with_link("docker0", LinkKind::Bridge).topology(), nowhere), None);
}

#[test]
fn without_a_sign_the_first_configuration_file_tells() {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("00-notes.txt", r#"{"name": "not a configuration"}"#),
        ("05-broken.conflist", "{"),
        ("10-kindnet.conflist", r#"{"name": "kindnet", "plugins": [{"type": "ptp"}]}"#),
        ("20-other.conf", r#"{"name": "other", "type": "bridge"}"#),
    ] {
        fs::write(directory.path().join(file), text).unwrap();
    }
    let cni = guess(machine(1500).topology(), directory.path()).unwrap();
    assert_eq!(cni.name, "kindnet");
    assert_eq!(cni.why, directory.path().join("10-kindnet.conflist").display().to_string());
}

#[test]
fn a_configuration_without_a_name_goes_by_its_plugin() {
    for text in [r#"{"type": "bridge"}"#, r#"{"plugins": [{"type": "bridge"}, {"type": "portmap"}]}"#] {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("10.conflist"), text).unwrap();
        assert_eq!(by_config(directory.path()).unwrap().name, "bridge", "{text}");
    }
}

#[test]
fn links_win_over_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("10.conf"), r#"{"name": "multus"}"#).unwrap();
    let sample = with_link("vxlan.calico", LinkKind::Vxlan);
    assert_eq!(guess(sample.topology(), directory.path()).unwrap().name, "Calico");
}

#[test]
fn tunnels_of_the_host_are_overlays() {
    let mut sample = machine(1500);
    let overlay = |sample: &mut Sample, name, kind| sample.link(HOST, name, kind, 1400).ifindex;
    let expected = [
        overlay(&mut sample, "vxlan.calico", LinkKind::Vxlan),
        overlay(&mut sample, "genev_sys_6081", LinkKind::Geneve),
        overlay(&mut sample, "tunl0", LinkKind::Ipip),
        overlay(&mut sample, "gre1", LinkKind::Gre),
        overlay(&mut sample, "ipsec0", LinkKind::Xfrm),
        overlay(&mut sample, "cilium_wg0", LinkKind::Wireguard),
        overlay(&mut sample, "wireguard.cali", LinkKind::Wireguard),
        overlay(&mut sample, "cilium_host", LinkKind::Veth),
    ];
    assert_eq!(overlays(sample.topology()), expected);
}

#[test]
fn a_vpns_wg0_is_no_overlay_nor_is_anything_that_wraps_nothing() {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    for (name, kind) in [
        ("wg0", LinkKind::Wireguard),
        ("docker0", LinkKind::Bridge),
        ("tap0", LinkKind::Tun),
        ("eth0.5", LinkKind::Vlan),
    ] {
        sample.link(HOST, name, kind, 1420);
    }
    assert_eq!(overlays(sample.topology()), []);
}

#[test]
fn a_tunnel_inside_of_a_pod_is_no_overlay() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let LinkRef { ifindex, .. } = sample.link(pod, "vxlan0", LinkKind::Vxlan, 1400);
    assert!(!overlays(sample.topology()).contains(&ifindex));
}
