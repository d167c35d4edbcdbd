use super::*;
use crate::domain::mtu::IpFamily;
use crate::domain::topology::Route;
use crate::domain::topology::sample::{Sample, machine, mtu};

/// What is said of the routes that Cilium gives pods, where those cannot be read.
fn of_pods_routes(sample: &Sample) -> Vec<String> {
    let cni = Cni { name: "Cilium".into(), why: String::new() };
    let identities = vec![Identity::default(); sample.topology().namespaces.len()];
    let unseen = opaque(sample.topology(), Some(&cni), &identities).into_iter();
    unseen.filter(|it| it.what.contains("pods' routes")).map(|it| it.why).collect()
}

#[test]
fn a_cap_by_ciliums_routes_is_told_only_where_one_of_them_has_an_mtu() {
    let mut sample = machine(1500);
    let pod = sample.nested_in(HOST);
    sample.veth((pod, "eth0"), (HOST, "lxc1"), 1500);
    let LinkRef { ifindex, .. } = sample.link(HOST, "cilium_host", LinkKind::Veth, 1500);
    let mut route = Route { family: IpFamily::V4, ifindex, mtu: None };
    sample.routes(HOST).others.push(route);
    let without = of_pods_routes(&sample);
    assert!(without.len() == 1 && without[0].contains("no route of the host"), "{without:?}");
    route.mtu = Some(mtu(1450));
    sample.routes(HOST).others.push(route);
    let with = of_pods_routes(&sample);
    assert!(with.len() == 1 && with[0].contains("is capped by"), "{with:?}");
}
