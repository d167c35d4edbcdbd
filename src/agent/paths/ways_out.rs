//! By which links a target may be reached: as long as they stay as they are, so does what is known of its path.

use crate::domain::link::{LinkKind, LinkRef};
use crate::domain::mtu::LinkMtu;
use crate::domain::topology::{HOST, Route, Topology};

/// Routes of the host by which a target may be reached, each with the MTU of its link. Those to pods and to networks of
/// docker are not among them: they come and go with each container. Nor is what the kernel learned: it comes and goes
/// by itself.
pub(in crate::agent) fn ways_out(topology: &Topology) -> Vec<(Route, Option<LinkMtu>)> {
    let host = topology.netns(HOST);
    let Some(routes) = &host.routes else { return Vec::new() };
    let is_default = |route: &Route| routes.defaults.iter().any(|default| default.ifindex == route.ifindex);
    let others = routes.others.iter().filter(|route| is_default(route) || leads_off(topology, route));
    let with_mtu = |route: &Route| (*route, host.links.get(&route.ifindex).map(|link| link.mtu));
    routes.defaults.iter().chain(others).map(with_mtu).collect()
}

/// Whether a route leads neither into a namespace of this machine nor to a bridge that only such ones are at.
fn leads_off(topology: &Topology, route: &Route) -> bool {
    let at = LinkRef { netns: HOST, ifindex: route.ifindex };
    let Some(link) = topology.link(at) else { return false };
    if link.kind.is_pair() {
        return link.linked.is_some_and(|far| far.netns == HOST);
    }
    link.kind != LinkKind::Bridge || topology.ports(at).any(|port| port.kind.leads_off_the_machine())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mtu::IpFamily;
    use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
    use crate::domain::topology::{LearnedPathMtu, NetnsIx};

    fn route(sample: &mut Sample, at: LinkRef<NetnsIx>, bytes: Option<u32>) {
        let route = Route { family: IpFamily::V4, ifindex: at.ifindex, mtu: bytes.map(mtu) };
        sample.routes(HOST).others.push(route);
    }

    fn now(sample: &Sample) -> Vec<(Route, Option<LinkMtu>)> {
        ways_out(sample.topology())
    }

    #[test]
    fn pods_and_docker_networks_that_come_are_no_other_way_out() {
        let mut sample = machine(1500);
        let before = now(&sample);
        let (_, [_, outer]) = pod(&mut sample, 1450);
        route(&mut sample, outer, None);
        let docker = Docker::start(&mut sample, HOST, 1500);
        route(&mut sample, docker.bridge, None);
        let destination = "192.0.2.1".parse().unwrap();
        sample.routes(HOST).learned.push(LearnedPathMtu { destination, mtu: mtu(1400) });
        assert_eq!(now(&sample), before);
    }

    #[test]
    fn whatever_a_target_may_be_reached_by_is_one() {
        let mut sample = machine(1500);
        let other = sample.link(HOST, "eth1", LinkKind::Device, 9000);
        let tunnel = sample.link(HOST, "vxlan.calico", LinkKind::Vxlan, 1450);
        let bridge = sample.link(HOST, "br0", LinkKind::Bridge, 1500);
        let port = sample.link(HOST, "eth2", LinkKind::Device, 1500);
        sample.enslave(port, bridge);
        let [cilium_host, _] = sample.veth((HOST, "cilium_host"), (HOST, "cilium_net"), 1500);
        for at in [other, tunnel, bridge, cilium_host] {
            let before = now(&sample);
            route(&mut sample, at, None);
            assert_ne!(now(&sample), before, "{at:?}");
        }
    }

    #[test]
    fn the_uplink_of_a_node_that_is_a_container_is_one_and_so_is_a_bridge_by_which_a_virtual_machine_leaves()
    {
        for kind in [LinkKind::Veth, LinkKind::Bridge] {
            let mut sample = Sample::host();
            let uplink = sample.link(HOST, "eth0", kind, 1500);
            sample.default_route(uplink, IpFamily::V4, None);
            let before = now(&sample);
            route(&mut sample, uplink, Some(1400));
            assert_ne!(now(&sample), before);
        }
    }

    #[test]
    fn a_link_or_a_default_route_of_another_mtu_is_another_way_out() {
        let mut sample = machine(1450);
        let before = now(&sample);
        assert_ne!(now(&machine(1500)), before, "what was the largest possible size is not any more");
        sample.routes(HOST).defaults[0].mtu = Some(mtu(1400));
        assert_ne!(now(&sample), before);
    }
}
