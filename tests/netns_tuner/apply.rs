//! A plan that is carried out while others write the same links.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use mtu_agent::discovery::doors::Doors;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::kernel::RouteSocket;
use mtu_agent::kernel::netns::NetnsFile;
use mtu_agent::publish::tune::{self, Done, Ledger, NetnsId, Record, RecordedLink, Step, TuneError};
use mtu_lab::docker::{NetnsLab, Place};

/// Less than any link of IPv4 has.
const REFUSED: u32 = 60;

struct Site {
    lab: NetnsLab,
    doors: Doors,
    ledger: Ledger,
    links: BTreeMap<String, RecordedLink>,
    _directory: tempfile::TempDir,
}

impl Site {
    /// `first` and `second`, which follow nothing, and `port` at `bridge`, which follows it: all of 1500.
    fn new() -> Result<Self> {
        let lab = NetnsLab::new()?;
        lab.ip_batch(
            Place::Node,
            "link add first type veth peer name first-peer
             link add second type veth peer name second-peer
             link add bridge type bridge
             link add port type veth peer name port-peer
             link set port master bridge",
        )?;
        let file = lab.open(Place::Node)?;
        let netns =
            NetnsId::of(&NetnsFile::open(&PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))?);
        let recorded =
            lab.enter(Place::Node, || RouteSocket::open()?.links(None))??.into_iter().map(|link| {
                let recorded = RecordedLink {
                    netns,
                    cookie: None,
                    called: "node".into(),
                    ifindex: link.ifindex,
                    name: link.name.clone(),
                    kind: link.kind.name().into(),
                    linked: link.linked.map(|linked| linked.ifindex),
                    was: link.mtu,
                    written: Vec::new(),
                    is_whole_pair: true,
                    is_live: false,
                };
                (link.name, recorded)
            });
        let links = recorded.collect();
        let directory = tempfile::tempdir()?;
        let ledger = Ledger::new(directory.path());
        Ok(Self { doors: Doors::open()?, links, ledger, lab, _directory: directory })
    }

    fn step(&self, (link, to): (&str, u32)) -> Result<Step> {
        let to = LinkMtu::new(to)?;
        let link = self.links.get(link).context("it is there")?;
        Ok(Step::Link { link: RecordedLink { written: vec![to], ..link.clone() }, to })
    }

    /// Carries the steps out; before each, its link is told to `meanwhile`.
    fn apply(&self, steps: &[(&str, u32)], meanwhile: impl Fn(&str)) -> Result<Result<Vec<Done>, TuneError>> {
        let steps = steps.iter().map(|step| self.step(*step)).collect::<Result<Vec<_>>>()?;
        Ok(tune::apply(&self.ledger, &self.doors, &steps, |step| match step {
            Step::Link { link, .. } => meanwhile(&link.name),
            Step::Clamp(_) => {}
        }))
    }

    fn set(&self, link: &str, mtu: u16) {
        self.lab.set_link_mtu(Place::Node, link, mtu).expect("it is there");
    }

    fn mtus<const N: usize>(&self, links: [&str; N]) -> Result<[u32; N]> {
        let mut mtus = [0; N];
        for (mtu, link) in mtus.iter_mut().zip(links) {
            *mtu = self.lab.link_mtu(Place::Node, link)?;
        }
        Ok(mtus)
    }

    fn record(&self) -> Result<Record> {
        Ok(self.ledger.session()?.load()?)
    }
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_somebody_else_lowered_meanwhile_is_not_raised_when_a_later_link_is_refused() -> Result<()> {
    let site = Site::new()?;
    let meanwhile = |link: &str| {
        if link == "first" {
            site.set("first", 1400);
        }
    };
    let refused = site.apply(&[("first", 1400), ("port", 1400), ("second", REFUSED)], meanwhile)?;
    let Err(TuneError::Refused { left, .. }) = refused else { anyhow::bail!("{refused:?}") };
    assert_eq!(left, [""; 0]);
    assert_eq!(site.mtus(["first", "port", "bridge", "second"])?, [1400, 1500, 1500, 1500]);
    assert!(site.record()?.is_empty());
    // Nor afterwards.
    assert_eq!(site.apply(&[("first", 1400)], |_| ())??, [Done::WasSo]);
    assert!(site.record()?.is_empty());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn what_somebody_else_gave_a_link_meanwhile_is_lowered_and_given_back() -> Result<()> {
    let site = Site::new()?;
    let meanwhile = |link: &str| match link {
        "first" => site.set("first", 1480),
        "second" => site.set("second", 1600),
        _ => {}
    };
    let done = site.apply(&[("first", 1400), ("second", 1400)], meanwhile)??;
    assert_eq!(done, [Done::Written; 2]);
    assert_eq!(site.mtus(["first", "second"])?, [1400; 2]);
    assert_eq!(site.record()?.links.iter().map(|link| link.was.get()).collect::<Vec<_>>(), [1480, 1600]);
    tune::revert(&site.ledger, &site.doors)?;
    assert_eq!(site.mtus(["first", "second"])?, [1480, 1600]);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_bridge_that_follows_its_ports_is_left_to_do_so_and_gets_what_it_had_where_it_does_not() -> Result<()> {
    let site = Site::new()?;
    assert_eq!(site.apply(&[("port", 1400), ("bridge", 1400)], |_| ())??, [Done::Written, Done::WasSo]);
    let record = site.record()?;
    assert_eq!(record.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["port"]);
    tune::revert(&site.ledger, &site.doors)?;
    assert_eq!(site.mtus(["port", "bridge"])?, [1500; 2]);
    site.set("port", 1450);
    assert_eq!(site.mtus(["bridge"])?, [1450], "it follows still");
    site.set("port", 1500);

    // It has followed to 1400 when it is lowered further.
    assert_eq!(site.apply(&[("port", 1400), ("bridge", 1300)], |_| ())??, [Done::Written; 2]);
    tune::revert(&site.ledger, &site.doors)?;
    assert_eq!(site.mtus(["port", "bridge"])?, [1500; 2]);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_that_a_guard_lowered_meanwhile_stays_recorded() -> Result<()> {
    let site = Site::new()?;
    let guard = |link: &str| {
        if link == "first" {
            let Ok(Step::Link { link, .. }) = site.step(("first", 1400)) else { panic!("it is there") };
            let session = site.ledger.session().expect("it is held by this process");
            session.add_links([link]).expect("it can be written");
            site.set("first", 1400);
        }
    };
    let refused = site.apply(&[("first", 1400), ("second", REFUSED)], guard)?;
    assert!(matches!(refused, Err(TuneError::Refused { .. })), "{refused:?}");
    let record = site.record()?;
    assert_eq!(record.links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["first"]);
    tune::revert(&site.ledger, &site.doors)?;
    assert_eq!(site.mtus(["first", "second"])?, [1500; 2]);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_value_that_somebody_set_between_two_plans_is_the_one_that_is_given_back() -> Result<()> {
    let mut site = Site::new()?;
    site.apply(&[("first", 1450), ("second", 1450)], |_| ())??;
    site.set("first", 1400);
    for (link, now) in [("first", 1400), ("second", 1450)] {
        site.links.get_mut(link).context("it is there")?.was = LinkMtu::new(now)?;
    }
    site.apply(&[("first", 1300), ("second", 1300)], |_| ())??;
    tune::revert(&site.ledger, &site.doors)?;
    assert_eq!(site.mtus(["first", "second"])?, [1400, 1500]);
    Ok(())
}
