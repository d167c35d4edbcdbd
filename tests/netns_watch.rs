//! The watch on real namespaces: what is heard, what is not, and that a survey does not wake itself.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_agent::kernel::watch::{Changes, Unheard, Watch};
use mtu_lab::docker::{NetnsLab, Place};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::runtime::Handle;
use tokio::time::timeout;

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
/// A test that waits so long has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// `node ── pod ── inner`, one veth each, all links down: a link that is up makes events of its own accord. A
/// namespace `apart` that no link leads to. And a veth of the node's own, to make events with.
fn lab() -> Result<NetnsLab> {
    let lab = NetnsLab::new()?;
    lab.ip_batch(
        Place::Node,
        "netns add pod
         netns add inner
         netns add apart
         link add marker0 type veth peer name marker1
         link add pod0 type veth peer name eth0 netns pod",
    )?;
    lab.check_in(
        Place::Netns("pod"),
        &["ip", "link", "add", "inner0", "type", "veth", "peer", "name", "eth0", "netns", "inner"],
    )?;
    Ok(lab)
}

fn open(lab: &NetnsLab, open: impl FnOnce() -> Result<(Watch, Vec<Unheard>)> + Send) -> Result<Heard<'_>> {
    let runtime = Handle::current();
    let (watch, unheard) = lab.enter(Place::Node, || {
        let _entered = runtime.enter();
        open()
    })??;
    Ok(Heard { lab, watch, unheard, marks: 0 })
}

/// A watch in the lab's node.
struct Heard<'a> {
    lab: &'a NetnsLab,
    watch: Watch,
    unheard: Vec<Unheard>,
    marks: u32,
}

impl Heard<'_> {
    async fn next(&mut self) -> Result<Changes> {
        Ok(timeout(PATIENCE, self.watch.next()).await.context("nothing was heard")??)
    }

    /// Changes a link of the node, and returns all that was heard until that: events are in order.
    async fn mark(&mut self) -> Result<Changes> {
        self.marks += 1;
        let mtu = if self.marks.is_multiple_of(2) { 1400 } else { 1399 };
        self.lab.set_link_mtu(Place::Node, "marker0", mtu)?;
        self.next().await
    }

    /// What a mark alone sounds like, after all that happened before has been heard.
    async fn mark_alone(&mut self) -> Result<Changes> {
        self.mark().await?;
        self.mark().await
    }
}

fn survey(lab: &NetnsLab) -> Result<()> {
    let survey = lab.run(Place::Node, &[MTU_AGENT, "survey", "--output", "json"])?;
    let seen = String::from_utf8_lossy(&survey.stdout).contains("\"inner\"");
    ensure!(seen, "the survey is to see `inner`: {}", String::from_utf8_lossy(&survey.stderr));
    Ok(())
}

fn add_bridge(lab: &NetnsLab, place: Place<'_>, name: &str) -> Result<()> {
    lab.check_in(place, &["ip", "link", "add", name, "type", "bridge"]).map(drop)
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn an_event_two_namespaces_deep_is_heard_once_a_survey_has_been_there() -> Result<()> {
    let lab = lab()?;
    let mut heard = open(&lab, || Ok(Watch::open()?))?;
    assert_eq!(heard.unheard, []);
    let mark = heard.mark_alone().await?;
    add_bridge(&lab, Place::Netns("inner"), "before")?;
    assert_eq!(heard.mark().await?, mark, "the node does not know `inner` yet");

    survey(&lab)?;
    heard.mark_alone().await?;
    add_bridge(&lab, Place::Netns("inner"), "after")?;
    let changes = heard.next().await?;
    assert!(changes.links > 0 && !changes.overrun, "{changes:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_link_that_joins_a_bridge_or_leaves_the_namespace_is_heard() -> Result<()> {
    let lab = lab()?;
    add_bridge(&lab, Place::Node, "br0")?;
    let mut heard = open(&lab, || Ok(Watch::open()?))?;
    heard.mark_alone().await?;
    for change in [
        ["link", "set", "pod0", "master", "br0"].as_slice(),
        &["link", "set", "pod0", "nomaster"],
        &["link", "set", "pod0", "netns", "apart"],
    ] {
        lab.ip(change)?;
        let changes = heard.next().await?;
        assert!(changes.links > 0, "`ip {}`: {changes:?}", change.join(" "));
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn routes_of_the_main_table_and_addresses_are_heard() -> Result<()> {
    let lab = lab()?;
    lab.ip(&["link", "set", "marker0", "up"])?;
    let mut heard = open(&lab, || Ok(Watch::open()?))?;
    let via = ["via", "192.0.2.1", "dev", "marker0", "onlink", "mtu", "1300"];
    lab.ip(&[["route", "add", "default"].as_slice(), &via, &["table", "100"]].concat())?;
    lab.ip(&[["route", "add", "198.51.100.0/24"].as_slice(), &via].concat())?;
    lab.ip(&["address", "add", "192.0.2.2/32", "dev", "marker0"])?;
    // The link that went up may still make events of its own.
    let mut all = Changes::default();
    while all.addresses == 0 {
        let changes = heard.next().await?;
        all.routes += changes.routes;
        all.addresses += changes.addresses;
    }
    let expected = Changes { routes: 1, addresses: 1, ..Changes::default() };
    assert_eq!(all, expected, "neither the table 100 nor the local one that the address is put in");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_survey_does_not_wake_itself() -> Result<()> {
    let lab = lab()?;
    let mut heard = open(&lab, || Ok(Watch::open()?))?;
    let mark = heard.mark_alone().await?;
    for survey_number in 1..=5 {
        survey(&lab)?;
        let changes = heard.mark().await?;
        assert_eq!(changes, mark, "of survey {survey_number}; the first gives `apart` and `inner` an id");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn the_end_of_a_namespace_that_no_link_leads_to_is_heard() -> Result<()> {
    let lab = lab()?;
    let mut heard = open(&lab, || Ok(Watch::open()?))?;
    survey(&lab)?;
    heard.mark_alone().await?;
    lab.ip(&["netns", "del", "apart"])?;
    while heard.next().await?.nsids == 0 {}
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn without_net_broadcast_it_says_so_and_hears_its_own_namespace() -> Result<()> {
    let lab = lab()?;
    let mut heard = open(&lab, || {
        // Capabilities are a thread's own, and this one ends with the closure.
        let mut sets = capabilities(None)?;
        sets.effective.remove(CapabilitySet::NET_BROADCAST);
        sets.permitted.remove(CapabilitySet::NET_BROADCAST);
        set_capabilities(None, sets)?;
        Ok(Watch::open()?)
    })?;
    assert_eq!(heard.unheard, [Unheard::OtherNamespaces]);
    survey(&lab)?;
    let mark = heard.mark_alone().await?;
    assert!(mark.links > 0, "{mark:?}");
    add_bridge(&lab, Place::Netns("pod"), "unheard")?;
    assert_eq!(heard.mark().await?, mark);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn without_net_admin_it_says_how_much_it_can_hold() -> Result<()> {
    let lab = lab()?;
    // Twice what anybody may ask for: `net.core.rmem_max` is the machine's.
    let most: usize = std::fs::read_to_string("/proc/sys/net/core/rmem_max")?.trim().parse()?;
    let wanted = 2 * most + 1;
    let heard = open(&lab, || {
        let mut sets = capabilities(None)?;
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets)?;
        Ok(Watch::open_with_buffer(wanted)?)
    })?;
    assert_eq!(heard.unheard, [Unheard::Bursts { room_bytes: 2 * most }]);
    let forced = open(&lab, || Ok(Watch::open_with_buffer(wanted)?))?;
    assert_eq!(forced.unheard, []);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
async fn a_storm_that_overruns_the_buffer_is_said_and_the_watch_goes_on() -> Result<()> {
    const PAIRS: u32 = 2000;
    let lab = lab()?;
    let mut heard = open(&lab, || Ok(Watch::open_with_buffer(16 * 1024)?))?;
    let mark = heard.mark_alone().await?;
    let mut storm = String::new();
    for pair in 0..PAIRS {
        writeln!(storm, "link add s{pair} group 7 type veth peer name t{pair}")?;
    }
    storm.push_str("link delete group 7\n");
    lab.ip_batch(Place::Node, &storm)?;

    let changes = heard.next().await?;
    assert!(changes.overrun, "{changes:?}");
    assert!(changes.count() < PAIRS, "most of it is lost: {changes:?}");
    assert_eq!(heard.mark().await?, mark, "afterwards nothing is");
    Ok(())
}
