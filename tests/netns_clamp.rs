//! What is written in a namespace: a link's MTU, and the clamp as nft itself would write it.

use anyhow::{Context as _, Result, bail, ensure};
use mtu_agent::domain::link::Ifindex;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::kernel::RouteSocket;
use mtu_agent::kernel::clamp::{self, Clamp};
use mtu_agent::kernel::clamp_watch::{ClampSocket, ClampWatch};
use mtu_lab::docker::{NetnsLab, Place};

const BY_NFT: &str = "table inet mtu_agent {
    chain forward {
        type filter hook forward priority mangle; policy accept;
        tcp flags syn / syn,rst tcp option maxseg size set rt mtu
    }
}
";
const OTHERS: &str = "table ip other {
    chain forward {
        type filter hook forward priority mangle; policy accept;
        tcp flags syn counter accept
    }
}
table ip mtu_agent {
}
";

fn in_lab<T: Send, E: Into<anyhow::Error> + Send>(
    lab: &NetnsLab,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T> {
    lab.enter(Place::Node, work)?.map_err(Into::into)
}

fn ruleset(lab: &NetnsLab) -> Result<String> {
    lab.check_in(Place::Node, &["nft", "list", "ruleset"])
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn nft_shows_the_clamp_as_if_it_had_made_it_itself_down_to_the_expressions() -> Result<()> {
    let expressions = ["nft", "--debug=netlink", "list", "table", "inet", "mtu_agent"];
    let by_nft = NetnsLab::new()?;
    by_nft.nft(Place::Node, BY_NFT)?;
    let ours = NetnsLab::new()?;
    in_lab(&ours, clamp::put)?;
    assert_eq!(ruleset(&ours)?, ruleset(&by_nft)?);
    let shown = ours.check_in(Place::Node, &expressions)?;
    assert_eq!(shown, by_nft.check_in(Place::Node, &expressions)?);
    ensure!(shown.contains("[ exthdr write tcpopt reg 1 => 2b @ 2 + 2 ]"), "{shown}");
    assert_eq!(in_lab(&by_nft, clamp::read)?, Clamp::Present, "and nft's is taken for ours");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_clamp_is_put_once_removed_exactly_and_leaves_other_tables_alone() -> Result<()> {
    let lab = NetnsLab::new()?;
    assert_eq!(in_lab(&lab, clamp::read)?, Clamp::Absent);
    in_lab(&lab, clamp::remove).context("one that is not there")?;
    assert_eq!(ruleset(&lab)?, "");
    lab.nft(Place::Node, OTHERS)?;
    let before = ruleset(&lab)?;
    assert_eq!(in_lab(&lab, clamp::read)?, Clamp::Absent, "a table of that name in another family");
    in_lab(&lab, clamp::put)?;
    let with = ruleset(&lab)?;
    in_lab(&lab, clamp::put)?;
    assert_eq!((ruleset(&lab)?, in_lab(&lab, clamp::read)?), (with, Clamp::Present));
    in_lab(&lab, clamp::remove)?;
    assert_eq!((ruleset(&lab)?, in_lab(&lab, clamp::read)?), (before, Clamp::Absent));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_clamp_that_somebody_altered_is_seen_and_made_right() -> Result<()> {
    let lab = NetnsLab::new()?;
    for script in [
        "flush table inet mtu_agent".to_owned(),
        "add rule inet mtu_agent forward accept".to_owned(),
        "add chain inet mtu_agent more".to_owned(),
        format!("delete table inet mtu_agent\n{}", BY_NFT.replace("mangle", "filter")),
        format!("delete table inet mtu_agent\n{}", BY_NFT.replace("hook forward", "hook postrouting")),
        format!("delete table inet mtu_agent\n{}", BY_NFT.replace("syn,rst", "syn,fin")),
        format!("delete table inet mtu_agent\n{}", BY_NFT.replace("set rt mtu", "set 1200")),
        "delete table inet mtu_agent\ntable inet mtu_agent {}".to_owned(),
    ] {
        in_lab(&lab, clamp::put)?;
        lab.nft(Place::Node, &script)?;
        assert_eq!(in_lab(&lab, clamp::read)?, Clamp::Altered, "{script}");
        in_lab(&lab, clamp::put)?;
        assert_eq!(in_lab(&lab, clamp::read)?, Clamp::Present, "{script}");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn each_touch_is_heard_and_however_many_follow_each_other_others_have_their_turn() -> Result<()> {
    let lab = NetnsLab::new()?;
    let mut watch = ClampWatch::listen(in_lab(&lab, ClampSocket::open)?)?;
    let other = tokio::spawn(async {});
    for _ in 0..100 {
        for touch in [clamp::put, clamp::remove] {
            in_lab(&lab, touch)?;
            watch.touched().await?;
        }
        if other.is_finished() {
            return Ok(());
        }
    }
    bail!("there was another task all the time")
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_a_capability_the_clamp_says_so() -> Result<()> {
    let lab = NetnsLab::new()?;
    let refused = lab.enter(Place::Node, || {
        let none = rustix::thread::CapabilitySets {
            effective: rustix::thread::CapabilitySet::empty(),
            ..rustix::thread::capabilities(None)?
        };
        rustix::thread::set_capabilities(None, none)?; // of this thread, which ends here
        anyhow::Ok([clamp::put().err(), clamp::read().err()])
    })??;
    for refused in refused {
        let told = refused.context("it is refused")?.to_string();
        assert!(told.ends_with("needs CAP_NET_ADMIN over the network namespace"), "{told}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_links_mtu_is_set_and_read_back_and_one_that_is_gone_is_told() -> Result<()> {
    let lab = NetnsLab::new()?;
    lab.ip(&["link", "add", "left", "mtu", "1500", "type", "veth", "peer", "name", "right"])?;
    let mtu = |bytes| LinkMtu::new(bytes).expect("it is not 0");
    in_lab(&lab, || {
        let mut socket = RouteSocket::open()?;
        let links = socket.links(None)?;
        let left = links.iter().find(|link| link.name == "left").context("it is there")?;
        socket.set_link_mtu(left.ifindex, mtu(1400))?;
        let now = socket.link(left.ifindex)?.context("it is still there")?;
        assert_eq!(
            (now.mtu, &now.name, &now.kind, now.linked),
            (mtu(1400), &left.name, &left.kind, left.linked)
        );
        let gone = Ifindex::new(4_000).context("it is not 0")?;
        assert!(socket.link(gone)?.is_none());
        assert!(socket.set_link_mtu(gone, mtu(1400)).is_err_and(|error| error.is_no_device()));
        assert!(socket.set_link_mtu(left.ifindex, mtu(70_000)).is_err(), "no veth carries that");
        anyhow::Ok(())
    })
}
