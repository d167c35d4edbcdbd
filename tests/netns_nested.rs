//! Full-size packets from inside of a namespace, on paths of kernel routers.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mtu_agent::discovery::nested::{NestedNetns, NestedProbe, NestedTarget, Passes};
use mtu_agent::domain::mtu::PathMtu;
use mtu_agent::kernel::netns::NetnsFile;
use mtu_agent::kernel::watch::Watch;
use mtu_lab::router::chain::Chain;
use mtu_lab::router::space::Space;
use tokio::time::timeout;

/// A namespace that has not ended by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).expect("a size")
}

/// The chain's client, which a thread holds: it is found as a process is.
fn nested(client: &Space) -> Result<NestedNetns> {
    let pid = u32::try_from(client.id())?;
    let inode = NetnsFile::open(&PathBuf::from(format!("/proc/{pid}/ns/net")))?.inode();
    Ok(NestedNetns { inode, level: 2, mtu: None, pids: vec![pid], pinned: Vec::new() })
}

fn targets(addresses: &[IpAddr]) -> Vec<NestedTarget> {
    let target = |address: &IpAddr| NestedTarget {
        target: "server".to_owned(),
        address: *address,
        path_mtu: size(1500),
    };
    addresses.iter().map(target).collect()
}

fn probe(netns: &NestedNetns, addresses: &[IpAddr]) -> Result<Vec<NestedProbe>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(netns.probe(&targets(addresses))))
}

fn found(address: IpAddr, mtu: u16, passes: Passes) -> NestedProbe {
    NestedProbe { to: Some(("server".to_owned(), address)), mtu: Some(size(mtu)), passes }
}

/// What the only probe does not tell, and why.
fn unknown(probes: &[NestedProbe]) -> Result<&str> {
    let [NestedProbe { passes: Passes::Unknown { why }, .. }] = probes else {
        anyhow::bail!("one that is not known: {probes:?}")
    };
    Ok(why)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_of_the_paths_size_is_verified_though_ptbs_vanish() -> Result<()> {
    let chain = Chain::new(&[1450, 1450, 1500])?;
    chain.swallow_ptbs(1)?;
    let both = [chain.server_v4(), chain.server_v6()];
    let probes = probe(&nested(chain.client())?, &both)?;
    assert_eq!(probes, both.map(|address| found(address, 1450, Passes::Full)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_that_is_larger_than_its_path_is_not_and_is_once_it_is_lowered() -> Result<()> {
    for is_black_hole in [true, false] {
        let chain = Chain::new(&[1500, 1450, 1500])?;
        if is_black_hole {
            chain.swallow_ptbs(1)?;
        }
        let both = [chain.server_v4(), chain.server_v6()];
        let netns = nested(chain.client())?;
        let narrower = Passes::Narrower { path_mtu: size(1450) };
        let expected = both.map(|address| found(address, 1500, narrower.clone()));
        assert_eq!(probe(&netns, &both)?, expected, "black hole: {is_black_hole}");

        chain.client().ip("link set right mtu 1450")?;
        let expected = both.map(|address| found(address, 1450, Passes::Full));
        assert_eq!(probe(&netns, &both)?, expected, "black hole: {is_black_hole}");
    }
    Ok(())
}

/// A route may set less than its link.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_is_sent_is_what_may_leave() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    chain.swallow_ptbs(1)?;
    chain.client().ip("route change default via 10.9.0.2 mtu 1400")?;
    let probes = probe(&nested(chain.client())?, &[chain.server_v4()])?;
    assert_eq!(probes, [found(chain.server_v4(), 1400, Passes::Full)]);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_without_ipv6_is_told_by_ipv4_alone() -> Result<()> {
    let chain = Chain::new(&[1450, 1500])?;
    let netns = nested(chain.client())?;
    chain.client().ip("-6 route flush default")?;
    let both = [chain.server_v4(), chain.server_v6()];
    assert_eq!(probe(&netns, &both)?, [found(both[0], 1450, Passes::Full)]);
    chain.client().ip("route del default")?;
    let probes = probe(&netns, &both)?;
    let routeless =
        |it: &NestedProbe| matches!(&it.passes, Passes::Unknown { why } if why.contains("no route"));
    assert!(probes.len() == 2 && probes.iter().all(routeless), "{probes:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn silence_is_no_size() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    chain.server().nft(
        "add table inet silent; add chain inet silent in { type filter hook input priority 0; policy drop; }",
    )?;
    let probes = probe(&nested(chain.client())?, &[chain.server_v4()])?;
    assert!(unknown(&probes)?.contains("answered"), "{probes:?}");
    assert_eq!(probes[0].mtu, Some(size(1500)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_that_has_ended_is_no_failure_and_neither_is_one_whose_pid_is_anothers() -> Result<()> {
    let chain = Chain::new(&[1450, 1500])?;
    let server = chain.server_v4();
    let ended = nested(&Space::new()?)?;
    assert!(unknown(&probe(&ended, &[server])?)?.contains("has ended"));
    let other = NestedNetns { pids: nested(chain.client())?.pids, ..ended };
    assert!(unknown(&probe(&other, &[server])?)?.contains("has ended"), "never from another namespace");
    Ok(())
}

/// Its sockets would keep it alive.
#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_namespace_ends_with_its_processes_whatever_was_probed() -> Result<()> {
    let chain = Chain::new(&[1450, 1500])?;
    let space = Space::new()?;
    let router = chain.router(1);
    router.ip(&format!("link add inner type veth peer name eth0 netns {}", space.id()))?;
    router.ip("address add 10.8.0.1/24 dev inner")?;
    router.ip("link set inner up")?;
    space.ip("address add 10.8.0.2/24 dev eth0")?;
    space.ip("link set eth0 up")?;
    space.ip("route add default via 10.8.0.1")?;
    chain.server().ip("route add 10.8.0.0/24 via 10.9.1.1")?;
    let netns = nested(&space)?;
    let target = [chain.server_v4()];
    assert_eq!(probe(&netns, &target)?, [found(target[0], 1500, Passes::Full)]);

    // The kernel takes the pair away when nothing holds the namespace any more.
    router.run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (mut watch, _) = Watch::open()?;
            drop(space);
            let gone = async {
                while fs::read_to_string("/proc/thread-self/net/dev")?.contains("inner:") {
                    watch.next().await?;
                }
                Ok(())
            };
            timeout(PATIENCE, gone).await.context("wait for the namespace to end")?
        })
    })?
}
