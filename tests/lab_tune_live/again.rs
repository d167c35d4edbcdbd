//! What dockers do besides starting containers: they build, connect, restart, and are restarted.

use anyhow::Result;
use mtu_lab::docker::{Container, Dockerd, Download, Family, FirstAct, Level, Release};

use crate::checks::SERVICE;
use crate::site::Site;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn builds_complete_and_what_is_connected_or_restarted_is_right_again() -> Result<()> {
    Release::ALL.into_iter().try_for_each(|release| {
        let site = Site::pod(release)?;
        let _agent = site.start("links")?;
        for level in [Level::Two, Level::Three] {
            site.lab.create_network(level, SERVICE, None)?;
            for arguments in [&[][..], &["--network", SERVICE]] {
                let built = site.lab.download_in_build(level, arguments)?;
                assert_eq!(built, Download::Completed, "{release:?}, level {level}: build {arguments:?}");
            }
            let container = site.lab.start_container(level, &Container::on_network("bridge"))?;
            let mtu = |link: &str| {
                // By itself: after a restart it is in another namespace.
                container.exec(&["cat", &format!("/sys/class/net/{link}/mtu")])
            };
            let right = format!("{}\n", site.mtu);
            site.lab.docker(level, &["network", "connect", SERVICE, container.id()])?;
            assert_eq!(mtu("eth1")?, right, "{release:?}, level {level}: connected");
            site.lab.docker(level, &["restart", container.id()])?;
            for link in ["eth0", "eth1"] {
                assert_eq!(mtu(link)?, right, "{release:?}, level {level}: {link} after a restart");
            }
        }
        Ok(())
    })
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn dockerds_that_are_restarted_as_another_release_are_answered_as_before() -> Result<()> {
    let site = Site::pod(Release::Machine)?;
    let agent = site.start("links")?;
    for release in [Release::Trixie, Release::Machine] {
        site.lab.stop_dockerd(Level::Two)?;
        for level in [Level::Two, Level::Three] {
            site.lab.start_dockerd(level, &Dockerd::new().release(release))?;
            let act = site.lab.first_act(level, Container::on_network("bridge"), Family::V4, site.mtu)?;
            assert_eq!(act, FirstAct::tuned(site.mtu), "{release:?}, level {level}");
        }
    }
    site.until_answering(&agent)
}
