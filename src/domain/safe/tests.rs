use super::*;
use crate::domain::link::{LinkKind, LinkRef};
use crate::domain::topology::Route;
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};

fn bounds() -> Bounds {
    Bounds { maximum: LinkMtu::DOCKER_DEFAULT, overlays: Vec::new(), expected: None, measured: Vec::new() }
}

fn safe(sample: &Sample, bounds: &Bounds) -> Option<(u32, Evidence)> {
    sample.topology().safe_dind_mtu(IpFamily::V4, bounds).map(|safe| (safe.mtu.get(), safe.evidence))
}

const CONFIGURED: Evidence = Evidence::Configured;

fn measured(bytes: u16) -> MeasuredPath {
    MeasuredPath { family: IpFamily::V4, path_mtu: PathMtu::new(bytes).unwrap() }
}

#[test]
fn a_calico_pod_decides() {
    let mut sample = machine(1500);
    let (_, [_, cali]) = pod(&mut sample, 1450);
    let safe = sample.topology().safe_dind_mtu(IpFamily::V4, &bounds()).unwrap();
    assert_eq!((safe.mtu, safe.limited_by), (mtu(1450), Limiter::Hop(Hop::Link(cali))));
}

#[test]
fn one_value_serves_every_level_however_wrong_the_daemons_are() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1300);
    Docker::start(&mut sample, level2.container, 1500);
    assert_eq!(safe(&sample, &bounds()), Some((1450, CONFIGURED)));
}

#[test]
fn the_smallest_pod_decides_for_the_node() {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    pod(&mut sample, 1400);
    assert_eq!(safe(&sample, &bounds()), Some((1400, CONFIGURED)));
}

#[test]
fn jumbo_frames_do_not_raise_it_over_dockers_own_default() {
    let mut sample = machine(9001);
    pod(&mut sample, 9001);
    let safe = sample.topology().safe_dind_mtu(IpFamily::V4, &bounds()).unwrap();
    assert_eq!((safe.mtu, safe.limited_by), (mtu(1500), Limiter::Maximum));
    let allowed = Bounds { maximum: mtu(9001), ..bounds() };
    assert_eq!(self::safe(&sample, &allowed), Some((9001, CONFIGURED)));
}

#[test]
fn a_cloud_with_1460_everywhere_gets_1460() {
    let mut sample = machine(1460);
    pod(&mut sample, 1460);
    assert_eq!(safe(&sample, &bounds()), Some((1460, CONFIGURED)));
}

#[test]
fn a_host_without_pods_answers_for_itself() {
    assert_eq!(safe(&machine(1460), &bounds()), Some((1460, CONFIGURED)));
}

#[test]
fn a_node_that_has_not_seen_a_pod_yet_goes_by_what_the_cni_says() {
    let mut sample = machine(1500);
    let expected = Bounds { expected: Some(mtu(1450)), ..bounds() };
    let safe_mtu = sample.topology().safe_dind_mtu(IpFamily::V4, &expected).unwrap();
    assert_eq!(
        (safe_mtu.mtu, safe_mtu.evidence, safe_mtu.limited_by),
        (mtu(1450), CONFIGURED, Limiter::Expected)
    );
    Docker::start(&mut sample, HOST, 1500);
    assert_eq!(safe(&sample, &expected), Some((1450, CONFIGURED)), "a container of a docker is no pod");
}

#[test]
fn what_the_next_pod_gets_counts_for_the_node_beside_larger_pods_and_not_inside_of_them() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1480);
    let with = |bytes| Bounds { expected: Some(mtu(bytes)), ..bounds() };
    let safe_mtu = sample.topology().safe_dind_mtu(IpFamily::V4, &with(1440)).unwrap();
    assert_eq!((safe_mtu.mtu, safe_mtu.limited_by), (mtu(1440), Limiter::Expected));
    assert_eq!(safe(&sample, &with(1490)), Some((1480, CONFIGURED)), "a larger one raises nothing");
    let inside = sample.topology().safe_mtu_inside(pod, IpFamily::V4, &with(1440)).unwrap();
    assert_eq!(inside.mtu, mtu(1480));
    assert_eq!(sample.topology().besides_walks(IpFamily::V4, &with(1440)), mtu(1500));
}

#[test]
fn the_route_that_cilium_sets_in_the_pod_counts() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    let [eth0, _] = sample.veth((pod, "eth0"), (HOST, "lxc1"), 1500);
    sample.default_route(eth0, IpFamily::V4, Some(1450));
    assert_eq!(safe(&sample, &bounds()), Some((1450, CONFIGURED)));
}

#[test]
fn an_unread_route_in_the_pod_is_made_up_for_by_the_hosts_own_through_the_overlay() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    sample.veth((pod, "eth0"), (HOST, "lxc1"), 1500);
    let cilium = sample.link(HOST, "cilium_host", LinkKind::Veth, 1500);
    let route = Route { family: IpFamily::V4, ifindex: cilium.ifindex, mtu: Some(mtu(1450)) };
    sample.routes(HOST).others.push(route);
    let overlays = Bounds { overlays: vec![cilium.ifindex], ..bounds() };
    assert_eq!(safe(&sample, &overlays), Some((1450, CONFIGURED)));
    assert_eq!(safe(&sample, &bounds()), Some((1500, CONFIGURED)), "a link that is no overlay");
}

#[test]
fn an_overlay_that_no_route_uses_caps_nothing() {
    let mut sample = machine(1500);
    let LinkRef { ifindex, .. } = sample.link(HOST, "tunl0", LinkKind::Ipip, 1480);
    assert_eq!(safe(&sample, &Bounds { overlays: vec![ifindex], ..bounds() }), Some((1500, CONFIGURED)));
}

#[test]
fn a_cnis_wireguard_caps_without_a_route_that_could_be_read() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1500);
    let wireguard = sample.link(HOST, "cilium_wg0", LinkKind::Wireguard, 1420);
    let bounds = Bounds { overlays: vec![wireguard.ifindex], ..bounds() };
    let safe = sample.topology().safe_dind_mtu(IpFamily::V4, &bounds).unwrap();
    assert_eq!((safe.mtu, safe.limited_by), (mtu(1420), Limiter::Hop(Hop::Link(wireguard))));
    assert_eq!(sample.topology().safe_mtu_inside(pod, IpFamily::V4, &bounds).unwrap().mtu, mtu(1420));
    assert_eq!(sample.topology().safe_dind_mtu(IpFamily::V6, &bounds), None, "no default route");
}

#[test]
fn a_measured_path_lowers_it_and_says_so() {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    let bounds = Bounds { measured: vec![measured(1500), measured(1400)], ..bounds() };
    let safe = sample.topology().safe_dind_mtu(IpFamily::V4, &bounds).unwrap();
    assert_eq!((safe.mtu, safe.evidence, safe.limited_by), (mtu(1400), Evidence::Measured, Limiter::Path(1)));
}

#[test]
fn a_measurement_that_agrees_makes_it_measured_and_a_larger_one_does_not() {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    let with = |bytes| Bounds { measured: vec![measured(bytes)], ..bounds() };
    assert_eq!(safe(&sample, &with(1450)), Some((1450, Evidence::Measured)));
    assert_eq!(safe(&sample, &with(1500)), Some((1450, CONFIGURED)));
}

#[test]
fn without_a_default_route_nothing_is_known_to_be_safe() {
    let mut sample = Sample::host();
    sample.link(HOST, "eth0", LinkKind::Device, 1500);
    assert_eq!(safe(&sample, &bounds()), None);
}

#[test]
fn a_family_without_a_default_route_has_no_value() {
    let sample = machine(1500);
    assert_eq!(sample.topology().safe_dind_mtu(IpFamily::V6, &bounds()), None);
}

#[test]
fn a_pod_that_cannot_be_looked_into_still_counts_by_its_outer_end() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    sample.hide(pod);
    assert_eq!(safe(&sample, &bounds()), Some((1450, CONFIGURED)));
}

#[test]
fn what_gets_out_of_a_namespace_is_the_least_on_its_way_and_on_the_measured_path() {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let docker = Docker::start(&mut sample, pod, 1500);
    let effective = |measured: &[MeasuredPath]| sample.topology().effective_mtu(docker.container, measured);
    assert_eq!(effective(&[]), Some(mtu(1450)));
    assert_eq!(effective(&[measured(1400)]), Some(mtu(1400)));
    assert_eq!(sample.topology().effective_mtu(HOST, &[]), Some(mtu(1500)));
}

#[test]
fn nothing_gets_out_of_a_namespace_without_a_default_route() {
    let mut sample = machine(1500);
    let docker = Docker::start(&mut sample, HOST, 1500);
    sample.routes(docker.container).defaults.clear();
    assert_eq!(sample.topology().effective_mtu(docker.container, &[]), None);
}
