//! The dockerds that tests run over: two releases, nested in any order, and both kinds of iptables.

use anyhow::Result;
use mtu_lab::docker::{
    Container, DockerLab, Dockerd, Download, Family, FirstAct, Iptables, Level, Place, Ptb, Release, Sent,
};

fn version(lab: &DockerLab, level: Level) -> Result<String> {
    lab.docker(level, &["version", "--format", "{{.Server.Version}}"])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn any_release_is_nested_in_any() -> Result<()> {
    for outer in Release::ALL {
        for inner in Release::ALL {
            let [two, three] = [outer, inner].map(|release| Dockerd::new().release(release));
            let lab = DockerLab::builder().ptb(Ptb::Blocked).level2(two).level3(three).build()?;
            for (level, release) in [(Level::Two, outer), (Level::Three, inner)] {
                let said = version(&lab, level)?;
                assert_eq!(said.starts_with("26.1."), release == Release::Trixie, "level {level}: {said}");
                let container = lab.start_container(level, &Container::on_network("bridge"))?;
                assert_eq!(lab.download(&container)?, Download::Hung, "level {level}");
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_virtual_machine_runs_any_release_and_sees_its_containers() -> Result<()> {
    for release in Release::ALL {
        let dockerd = Dockerd::new().release(release);
        let lab = DockerLab::vm().ptb(Ptb::Blocked).level1(dockerd.clone()).level2(dockerd).build()?;
        assert_eq!(version(&lab, Level::One)?, version(&lab, Level::Two)?);
        assert_eq!(version(&lab, Level::One)?.starts_with("26.1."), release == Release::Trixie);
        let files = lab.check_in(Place::Node, &["ls", "/run/docker/netns"])?;
        assert_ne!(files, "", "files of namespaces are the node's");
        let fits = lab.first_act(Level::Two, Container::on_network("bridge"), Family::V4, 1460)?;
        assert_eq!(fits, FirstAct::untuned());
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_dockerd_makes_its_rules_with_the_iptables_that_it_was_given() -> Result<()> {
    for release in Release::ALL {
        let dockerd = |iptables| Dockerd::new().release(release).iptables(iptables);
        let builder = DockerLab::builder().level2(dockerd(Iptables::Legacy));
        let lab = builder.level3(dockerd(Iptables::Nft)).build()?;
        let deep = lab.dockerd_container(Level::Three)?;
        for (place, legacy) in [(Place::Pod, true), (Place::from(&deep), false)] {
            let rules = lab.check_in(place, &["xtables-legacy-multi", "iptables-save"])?;
            assert_eq!(rules.contains("DOCKER-USER"), legacy, "{rules}");
            let rules = lab.check_in(place, &["nft", "list", "ruleset"])?;
            assert_eq!(rules.contains("DOCKER-USER"), !legacy, "{rules}");
        }
        let container = lab.start_container(Level::Three, &Container::on_network("bridge"))?;
        assert_eq!(lab.download(&container)?, Download::Completed);
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_first_packets_of_a_container_tell_what_its_link_was_then() -> Result<()> {
    let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true);
    let lab = builder.level3(Dockerd::new().mtu(1400)).build()?;
    for family in [Family::V4, Family::V6] {
        let [two, three] = [Level::Two, Level::Three]
            .map(|level| lab.first_act(level, Container::on_network("bridge"), family, 1400));
        assert_eq!(two?, FirstAct::untuned(), "{family:?}");
        assert_eq!(three?, FirstAct { of_1500: Sent::Refused(1400), ..FirstAct::tuned(1400) }, "{family:?}");
    }
    Ok(())
}
