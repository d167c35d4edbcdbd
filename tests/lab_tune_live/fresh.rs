//! Every fresh container is right before its first packet.

use anyhow::Result;
use mtu_lab::docker::{Container, Family, FirstAct, Release};

use crate::checks::{SERVICE, fresh_containers_complete};
use crate::site::Site;

/// At each level; the bench has 100.
const CONTAINERS: usize = 10;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn in_an_opted_in_pod_every_fresh_container_completes() -> Result<()> {
    hang_and_then_complete(&Site::pod(Release::Machine)?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn in_an_opted_in_pod_every_fresh_container_of_a_later_docker_completes() -> Result<()> {
    hang_and_then_complete(&Site::pod(Release::Trixie)?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn on_a_plain_docker_host_every_fresh_container_completes() -> Result<()> {
    hang_and_then_complete(&Site::machine(Release::Machine)?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn on_a_plain_docker_host_every_fresh_container_of_a_later_docker_completes() -> Result<()> {
    hang_and_then_complete(&Site::machine(Release::Trixie)?)
}

fn hang_and_then_complete(site: &Site) -> Result<()> {
    for level in &site.levels {
        site.lab.create_network(*level, SERVICE, None)?;
        for (network, family) in [("bridge", Family::V6), (SERVICE, Family::V4)] {
            let act = site.lab.first_act(*level, Container::on_network(network), family, site.mtu)?;
            assert_eq!(act, FirstAct::untuned(), "without an agent: {network} of level {level}, {family:?}");
        }
    }
    let _agent = site.start("links")?;
    site.levels.iter().try_for_each(|level| fresh_containers_complete(site, *level, CONTAINERS))
}
