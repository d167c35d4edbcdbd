//! A host with hundreds of nested namespaces, without docker.

use std::fmt::Write as _;

use anyhow::Result;
use mtu_lab::docker::{NetnsLab, Place};

/// Each with two namespaces nested in it.
pub(crate) const PODS: usize = 100;

/// A host with an uplink, pods by veth, and in each pod a bridge with two containers; both families everywhere.
pub(crate) fn nested_host() -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    let mut script = String::from(
        "link add eth0 type veth peer name wire
         link set eth0 up
         link set wire up
         addr add 192.0.2.2/24 dev eth0
         addr add 2001:db8::2/64 dev eth0 nodad
         route add default via 192.0.2.1
         route add default via 2001:db8::1\n",
    );
    for pod in 0..PODS {
        let _infallible = write!(
            script,
            "netns add pod{pod}
             netns add pod{pod}-a
             netns add pod{pod}-b
             link add veth{pod} type veth peer name eth0 netns pod{pod}
             link set veth{pod} up
             route add 10.244.0.{pod}/32 dev veth{pod}
             route add 2001:db8:1::{pod}/128 dev veth{pod}\n"
        );
    }
    lab.ip_batch(Place::Node, &script)?;
    for pod in 0..PODS {
        lab.ip_batch(Place::Netns(&format!("pod{pod}")), &inside_pod(pod))?;
        for container in ["a", "b"] {
            lab.ip_batch(Place::Netns(&format!("pod{pod}-{container}")), &inside_container(container))?;
        }
    }
    Ok(lab)
}

fn inside_pod(pod: usize) -> String {
    format!(
        "link set lo up
         link set eth0 up
         addr add 10.244.0.{pod}/32 dev eth0
         addr add 2001:db8:1::{pod}/128 dev eth0 nodad
         route add 169.254.1.1 dev eth0
         route add default via 169.254.1.1 dev eth0
         link add docker0 type bridge
         addr add 172.17.0.1/16 dev docker0
         addr add fd00::1/64 dev docker0 nodad
         link set docker0 up
         link add vetha type veth peer name eth0 netns pod{pod}-a
         link add vethb type veth peer name eth0 netns pod{pod}-b
         link set vetha master docker0 up
         link set vethb master docker0 up
         route add ::/0 dev eth0\n"
    )
}

fn inside_container(container: &str) -> String {
    let host = if container == "a" { 2 } else { 3 };
    format!(
        "link set lo up
         link set eth0 up
         addr add 172.17.0.{host}/16 dev eth0
         addr add fd00::{host}/64 dev eth0 nodad
         route add default via 172.17.0.1
         route add default via fd00::1\n"
    )
}
