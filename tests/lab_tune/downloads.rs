//! What hung completes.

use anyhow::Result;
use mtu_lab::docker::{
    Container, DockerLab, Dockerd, Download, Family, Iptables, Level, Place, Ptb, Release,
};

use crate::state::{State, tune, tuned};

/// One container at level 2, one on a user-defined network there, and one at level 3.
fn containers(lab: &DockerLab) -> Result<[Container; 3]> {
    lab.create_network(Level::Two, "compose", None)?;
    Ok([
        lab.start_container(Level::Two, &Container::on_network("bridge").name("build"))?,
        lab.start_container(Level::Two, &Container::on_network("compose").name("service"))?,
        lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?,
    ])
}

fn all(lab: &DockerLab, containers: &[Container], want: Download) -> Result<()> {
    for container in containers {
        for family in [Family::V4, Family::V6] {
            let got = lab.download_over(family, container)?;
            assert_eq!(got, want, "{} at level {} over {family:?}", container.name(), container.level());
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_links_downloads_that_hung_complete_at_every_level_for_containers_that_run() -> Result<()> {
    Release::ALL.into_iter().try_for_each(links_complete)
}

fn links_complete(release: Release) -> Result<()> {
    let dockerd = Dockerd::new().release(release);
    let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true);
    let lab = builder.level2(dockerd.clone()).level3(dockerd).build()?;
    let containers = containers(&lab)?;
    let of = containers.each_ref();
    all(&lab, &containers, Download::Hung)?;
    let before = State::of(&lab, &of)?;

    let (code, plan, _) = tune(&lab, &["--netns", "pod", "--mode", "links"])?;
    assert_eq!((code, State::of(&lab, &of)?), (1, before), "a plan writes nothing: {plan}");
    let before = State::of(&lab, &of)?;

    tuned(&lab, &["--netns", "pod", "--mode", "links", "--apply"])?;
    all(&lab, &containers, Download::Completed)?;
    let after = State::of(&lab, &of)?;
    assert!(after.clamped().is_empty());
    let changed = after.differing(&before);
    assert_eq!(changed.len(), 11, "3 bridges and 4 pairs: {changed:?}");
    assert!(changed.values().all(|it| *it == (1450, 1500)), "{changed:?}");
    assert!(!changed.keys().any(|(place, link)| place == "node" || (place == "pod" && link == "eth0")));

    tuned(&lab, &["--revert"])?;
    assert_eq!(State::of(&lab, &of)?, before);
    assert_eq!(lab.download(&containers[2])?, Download::Hung, "as it was before");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_the_clamp_alone_tcp_completes_at_every_level_and_no_link_is_touched() -> Result<()> {
    Release::ALL.into_iter().try_for_each(clamp_completes)
}

fn clamp_completes(release: Release) -> Result<()> {
    let dockerd = Dockerd::new().release(release);
    let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true);
    let lab = builder.level2(dockerd.clone()).level3(dockerd).build()?;
    let running = containers(&lab)?;
    let of = running.each_ref();
    all(&lab, &running, Download::Hung)?;
    let before = State::of(&lab, &of)?;
    tuned(&lab, &["--netns", "pod", "--mode", "clamp", "--apply"])?;
    all(&lab, &running, Download::Completed)?;
    let after = State::of(&lab, &of)?;
    assert_eq!((after.clamped(), after.differing(&before).len()), (vec!["pod"], 0));
    tuned(&lab, &["--revert"])?;
    assert_eq!(State::of(&lab, &of)?, before);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn level_2_at_1300_under_level_3_at_1500_completes_by_the_clamp_and_by_links() -> Result<()> {
    for mode in ["clamp", "links"] {
        let builder = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true);
        let lab = builder.level2(Dockerd::new().mtu(1300)).level3(Dockerd::new()).build()?;
        let deep = [lab.start_container(Level::Three, &Container::on_network("bridge"))?];
        let of = deep.each_ref();
        all(&lab, &deep, Download::Hung)?;
        let before = State::of(&lab, &of)?;
        tuned(&lab, &["--netns", "pod", "--mode", mode, "--apply"])?;
        all(&lab, &deep, Download::Completed)?;
        let after = State::of(&lab, &of)?;
        let changed = after.differing(&before);
        let want = if mode == "links" { 3 } else { 0 };
        assert_eq!(changed.len(), want, "{changed:?}");
        assert!(changed.values().all(|it| *it == (1300, 1500)), "{changed:?}");
        tuned(&lab, &["--revert"])?;
        assert_eq!(State::of(&lab, &of)?, before, "{mode}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_clamp_outlives_dockerds_that_start_later_and_saves_their_fresh_containers() -> Result<()> {
    the_clamp_outlives(Iptables::Nft)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_clamp_outlives_dockerds_with_iptables_legacy() -> Result<()> {
    the_clamp_outlives(Iptables::Legacy)
}

/// Their starts, and that somebody flushes their rules.
fn the_clamp_outlives(iptables: Iptables) -> Result<()> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).ipv6(true).level2(None).build()?;
    tuned(&lab, &["--netns", "pod", "--mode", "clamp", "--apply"])?;
    let clamp = State::of(&lab, &[])?;
    for release in Release::ALL {
        let dockerd = Dockerd::new().release(release).iptables(iptables);
        for level in [Level::Two, Level::Three] {
            lab.start_dockerd(level, &dockerd)?;
        }
        fresh_containers_complete(&lab)?;
        lab.stop_dockerd(Level::Two)?;
        flush(&lab, iptables)?;
        assert_eq!(State::of(&lab, &[])?.clamped(), clamp.clamped(), "{release:?}");
    }
    tuned(&lab, &["--revert"])?;
    assert!(State::of(&lab, &[])?.clamped().is_empty());
    Ok(())
}

fn fresh_containers_complete(lab: &DockerLab) -> Result<()> {
    let fresh =
        [Level::Two, Level::Three].map(|level| lab.start_container(level, &Container::on_network("bridge")));
    let fresh = fresh.into_iter().collect::<Result<Vec<_>>>()?;
    all(lab, &fresh, Download::Completed)
}

/// All that is in the pod and can be named by iptables.
fn flush(lab: &DockerLab, iptables: Iptables) -> Result<()> {
    let program = match iptables {
        Iptables::Nft => "xtables-nft-multi",
        Iptables::Legacy => "xtables-legacy-multi",
    };
    for family in ["iptables", "ip6tables"] {
        for table in ["filter", "nat", "mangle"] {
            for what in ["--flush", "--delete-chain"] {
                lab.check_in(Place::Pod, &[program, family, "--table", table, what])?;
            }
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_plain_docker_host_is_tuned_as_a_whole_but_for_its_uplink() -> Result<()> {
    for mode in ["links", "clamp"] {
        let lab = DockerLab::vm().ptb(Ptb::Blocked).level2(Dockerd::new()).build()?;
        let running = [Level::One, Level::Two]
            .map(|level| lab.start_container(level, &Container::on_network("bridge")));
        let running = running.into_iter().collect::<Result<Vec<_>>>()?;
        let of: Vec<_> = running.iter().collect();
        for container in &running {
            assert_eq!(lab.download(container)?, Download::Hung, "level {}", container.level());
        }
        let before = State::of(&lab, &of)?;
        tuned(&lab, &["--all-docker", "--mode", mode, "--apply"])?;
        for container in &running {
            assert_eq!(lab.download(container)?, Download::Completed, "level {}, {mode}", container.level());
        }
        let after = State::of(&lab, &of)?;
        let changed = after.differing(&before);
        assert!(changed.values().all(|it| *it == (1460, 1500)), "{changed:?}");
        assert!(!changed.keys().any(|(_, link)| link == "lo"), "{changed:?}");
        assert_eq!(lab.link_mtu(Place::Node, "eth0")?, 1460);
        assert_eq!(after.clamped().is_empty(), mode == "links");
        tuned(&lab, &["--revert"])?;
        assert_eq!(State::of(&lab, &of)?, before, "{mode}");
    }
    Ok(())
}
