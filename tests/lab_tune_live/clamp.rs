//! The clamp alone: TCP completes, and no link is touched.

use anyhow::Result;
use mtu_lab::docker::{Container, Dockerd, Family, FirstAct, Iptables, Release};

use crate::site::Site;
use crate::state::{State, record};

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn tcp_of_fresh_containers_completes_at_every_level() -> Result<()> {
    for release in Release::ALL {
        tcp_completes(&Site::pod(release)?, &[])?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn on_a_plain_docker_host_tcp_of_fresh_containers_completes_at_every_level() -> Result<()> {
    tcp_completes(&Site::machine(Release::Machine)?, &[])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_iptables_legacy_too() -> Result<()> {
    let dockerd = Dockerd::new().iptables(Iptables::Legacy);
    tcp_completes(&Site::pod_with(dockerd.clone(), dockerd)?, &[])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn level_2_at_1300_under_level_3_at_1500_too() -> Result<()> {
    let mut site = Site::pod_with(Dockerd::new().mtu(1300), Dockerd::new())?;
    site.mtu = 1300;
    tcp_completes(&site, &["level2"])
}

/// `configured`: the first level's links are small already.
fn tcp_completes(site: &Site, configured: &[&str]) -> Result<()> {
    let untuned = if configured.is_empty() { &site.levels[..] } else { &site.levels[1..] };
    for level in untuned {
        let act = site.lab.first_act(*level, Container::on_network("bridge"), Family::V4, site.mtu)?;
        assert_eq!(act, FirstAct::untuned(), "without an agent, level {level}");
    }
    let before = State::of(&site.lab, &[])?;
    let agent = site.spec("clamp")?.start(&site.lab)?;
    agent.until("the clamp", |_| Ok((!State::of(&site.lab, &[])?.clamped().is_empty()).then_some(())))?;
    for level in untuned {
        for family in [Family::V4, Family::V6] {
            let act = site.lab.first_act(*level, Container::on_network("bridge"), family, site.mtu)?;
            assert_eq!(act, FirstAct::clamped(), "level {level}, {family:?}");
        }
    }
    let after = State::of(&site.lab, &[])?;
    let place = if site.is_pod() { "pod" } else { "node" };
    assert_eq!((after.clamped(), after.differing(&before).len()), (vec![place], 0));
    assert_eq!(record(&site.lab)?.map(|it| it["links"].as_array().map(Vec::len)), Some(Some(0)));
    Ok(())
}
