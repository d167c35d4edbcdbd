//! What one socket in a namespace hears of its links, and what it is answered, in order.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_agent::domain::link::{Ifindex, Link};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::kernel::link_events::{Because, LinkEvents, LinkSocket, Told};
use mtu_agent::kernel::links::Linked;
use mtu_lab::docker::{NetnsLab, Place};
use tokio::time::timeout;

/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).expect("it is not 0")
}

/// A namespace with a bridge and a pair, heard from now on.
fn lab() -> Result<(NetnsLab, LinkSocket)> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(Place::Node, "link add br0 type bridge\nlink add left type veth peer name right")?;
    let socket = lab.enter(Place::Node, LinkSocket::open)??;
    Ok((lab, socket))
}

struct Heard(LinkEvents);

impl Heard {
    fn listen(socket: LinkSocket) -> Result<Self> {
        Ok(Self(LinkEvents::listen(socket)?))
    }

    async fn next(&mut self) -> Result<Vec<Told>> {
        Ok(timeout(PATIENCE, self.0.next()).await.context("nothing was heard")??)
    }

    /// All that is told until, and with, what `is_last`.
    async fn until(&mut self, is_last: impl Fn(&Told) -> bool) -> Result<Vec<Told>> {
        let mut all: Vec<Told> = Vec::new();
        while !all.iter().any(&is_last) {
            all.extend(self.next().await?);
        }
        Ok(all)
    }

    async fn all(&mut self) -> Result<Vec<Link<Linked>>> {
        self.0.ask_for_all()?;
        let told = self.until(|told| matches!(told, Told::Complete)).await?;
        let dumped = |told| match told {
            Told::Link { link, because: Because::Dump } => Some(link),
            Told::Link { .. } | Told::Gone(_) | Told::Done { .. } | Told::Refused { .. } => None,
            Told::Complete | Told::Lost => None,
        };
        Ok(told.into_iter().filter_map(dumped).collect())
    }

    async fn index(&mut self, name: &str) -> Result<Ifindex> {
        let links = self.all().await?;
        Ok(links.iter().find(|link| link.name == name).with_context(|| format!("no {name}"))?.ifindex)
    }
}

fn is_link(told: &Told, name: &str, bytes: u32, why: Because) -> bool {
    matches!(told, Told::Link { link, because } if link.name == name && link.mtu == mtu(bytes) && *because == why)
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_write_is_told_like_any_change_and_then_by_its_number_and_so_is_a_refusal() -> Result<()> {
    let (_lab, socket) = lab()?;
    let mut heard = Heard::listen(socket)?;
    let left = heard.index("left").await?;
    for is_changed in [true, false] {
        let number = heard.0.set_link_mtu(left, mtu(1400))?;
        let told = heard.until(|told| matches!(told, Told::Done { .. })).await?;
        ensure!(matches!(told.last(), Some(Told::Done { sequence }) if *sequence == number), "{told:?}");
        let is_told = |it: &Told| is_link(it, "left", 1400, Because::Change);
        ensure!(told.iter().any(is_told) == is_changed, "{told:?}");
    }
    for (ifindex, bytes) in [(left, 60), (Ifindex::new(4_000).context("not 0")?, 1300)] {
        let number = heard.0.set_link_mtu(ifindex, mtu(bytes))?;
        let told = heard.until(|told| matches!(told, Told::Refused { .. })).await?;
        ensure!(matches!(told[..], [Told::Refused { sequence, .. }] if sequence == number), "{told:?}");
    }
    heard.0.ask_for(left)?;
    heard.until(|told| is_link(told, "left", 1400, Because::Question)).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn what_a_bridge_says_of_its_ports_is_no_end_of_a_link_and_what_moves_away_is() -> Result<()> {
    let (lab, socket) = lab()?;
    let mut heard = Heard::listen(socket)?;
    let left = heard.index("left").await?;
    lab.netns("other")?;
    lab.ip_batch(
        Place::Node,
        "link set left master br0
         link set left nomaster
         link set right mtu 1234
         link set left netns other",
    )?;
    let told = heard.until(|told| matches!(told, Told::Gone(ifindex) if *ifindex == left)).await?;
    let before = told.iter().position(|told| matches!(told, Told::Gone(_))).context("it is gone")?;
    ensure!(
        told[..before].iter().any(|told| is_link(told, "right", 1234, Because::Change)),
        "it is gone when it moves, not when it leaves the bridge: {told:?}"
    );
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_fresh_pair_names_its_other_end_at_the_latest_when_it_is_asked_for() -> Result<()> {
    let (lab, socket) = lab()?;
    let mut heard = Heard::listen(socket)?;
    lab.ip(&["link", "add", "a0", "type", "veth", "peer", "name", "b0"])?;
    let is_a0 = |told: &Told| matches!(told, Told::Link { link, .. } if link.name == "a0");
    heard.until(is_a0).await?;
    let [a0, b0] = [heard.index("a0").await?, heard.index("b0").await?];
    for (ifindex, other) in [(a0, b0), (b0, a0)] {
        heard.0.ask_for(ifindex)?;
        let is_whole = |told: &Told| {
            matches!(told, Told::Link { link, because: Because::Question }
                if link.ifindex == ifindex
                    && link.linked.is_some_and(|it| it.netns.is_none() && it.ifindex == other))
        };
        heard.until(is_whole).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_burst_that_is_too_much_is_told_as_lost_and_all_links_tell_the_rest() -> Result<()> {
    const PAIRS: u32 = 2000;
    let (lab, socket) = lab()?;
    let mut burst = String::new();
    for pair in 0..PAIRS {
        writeln!(burst, "link add s{pair} group 7 type veth peer name t{pair}")?;
    }
    burst.push_str("link delete group 7\nlink add last0 type veth peer name last1\n");
    lab.ip_batch(Place::Node, &burst)?;
    let mut heard = Heard::listen(socket)?;
    heard.until(|told| matches!(told, Told::Lost)).await?;
    let links = heard.all().await?;
    let mut names: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["br0", "last0", "last1", "left", "lo", "right"]);
    lab.set_link_mtu(Place::Node, "last1", 1400)?;
    let told = heard.until(|told| is_link(told, "last1", 1400, Because::Change)).await?;
    ensure!(!told.iter().any(|told| matches!(told, Told::Lost)), "nothing more is lost: {told:?}");
    Ok(())
}
