//! What has to hold however often it is tried: the tests try it some times, and the bench many.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use mtu_lab::agent::Agent;
use mtu_lab::docker::{Container, Family, FirstAct, Level, LinkEvent, LinkEvents, Signal};
use mtu_lab::tuning::{Made, made};

use crate::site::Site;
use crate::state::{State, record, tuned};

/// A network that users defined before the agent came.
pub(crate) const SERVICE: &str = "service";
/// By then an agent has surveyed, and containers have started.
const LATEST: Duration = Duration::from_millis(1200);
/// Links beside the outermost dockerd that an agent certainly writes: its bridge, and ends of two containers.
const WRITES: usize = 3;

/// Fresh containers of a level whose first act shows that they were right before: on the default network, on one that
/// users defined before, and on ones that come with their containers as compose makes them; over both families.
pub(crate) fn fresh_containers_complete(site: &Site, level: Level, containers: usize) -> Result<()> {
    let events = site.with_daemon(level, |place| LinkEvents::of(&site.lab, place))?;
    for turn in 0..containers {
        let compose = format!("compose{turn}");
        let network = match turn % 3 {
            0 => "bridge",
            1 => SERVICE,
            _ => {
                site.lab.create_network(level, &compose, None)?;
                &compose
            }
        };
        let family = if turn % 2 == 0 { Family::V4 } else { Family::V6 };
        let act = site.lab.first_act(level, Container::on_network(network), family, site.mtu)?;
        assert_eq!(act, FirstAct::tuned(site.mtu), "{network} of level {level}, {family:?}");
        if network == compose {
            site.lab.docker(level, &["network", "rm", network])?;
        }
    }
    let mut moved = 0;
    let events = events.until(|event| {
        moved += usize::from(event.is_moved());
        moved == containers
    })?;
    all_in_time(&made(&events, site.mtu.into()), containers, site.mtu);
    Ok(())
}

/// Both ends of each container's pair, and the bridge, were right before the container had its end.
pub(crate) fn all_in_time(made: &[Made], containers: usize, mtu: u16) {
    let late: Vec<_> = made.iter().filter(|link| !link.was_in_time()).collect();
    assert!(late.is_empty(), "{late:#?}");
    assert_eq!(made.iter().filter(|link| link.is_veth).count(), 2 * containers, "both ends: {made:#?}");
    let moved: Vec<_> = made.iter().filter(|link| link.moved.is_some()).collect();
    assert_eq!(moved.len(), containers);
    assert!(moved.iter().all(|link| link.bridge == Some(mtu.into())), "{moved:#?}");
}

/// Kills agents while a container starts at each level: of two, one after or while it finishes what the other left.
/// Returns how many of the first ones had written something, and not all.
pub(crate) fn killed_at_any_moment(site: &Site, kills: usize) -> Result<usize> {
    nothing_is_tuned(site, &[])?;
    let mut in_the_middle = 0;
    for turn in 0..kills / 2 {
        let fresh = thread::scope(|scope| {
            let starting = scope.spawn(|| site.containers());
            let events = site.with_daemon(site.levels[0], |place| LinkEvents::of(&site.lab, place))?;
            let agent = site.spec("links")?.start(&site.lab)?;
            let point = if fastrand::bool() {
                let last = fastrand::usize(1..=WRITES);
                until_written(&events, site.mtu, last)?;
                LATEST.mul_f64(fastrand::f64() / 1000.0)
            } else {
                LATEST.mul_f64(fastrand::f64())
            };
            ensure!(!agent.process().exit().wait(point)?, "turn {turn}: it ended by itself");
            kill(&agent)?;
            starting.join().expect("no panic")
        })?;
        let fresh: Vec<_> = fresh.iter().collect();
        let is_unfinished = !site.others_than(site.mtu, &fresh)?.is_empty();
        in_the_middle += usize::from(is_unfinished && record(&site.lab)?.is_some());
        if turn % 2 == 0 {
            let agent = site.spec("links")?.start(&site.lab)?;
            all_is_tuned(site, &agent, &fresh)?;
            kill(&agent)?;
        } else {
            // In the middle of what it finishes, or before.
            let agent = site.spec("links")?.start(&site.lab)?;
            agent.process().exit().wait(LATEST.mul_f64(fastrand::f64() / 4.0))?;
            kill(&agent)?;
        }
        tuned(&site.lab, &["--revert"])?;
        nothing_is_tuned(site, &fresh)?;
    }
    Ok(in_the_middle)
}

/// Waits until so many links that were too large are right.
fn until_written(events: &LinkEvents, mtu: u16, links: usize) -> Result<()> {
    let (mut large, mut written) = (BTreeSet::new(), 0);
    let is_last = |event: &LinkEvent| {
        if event.mtu > mtu.into() {
            large.insert(event.ifindex);
        } else if large.remove(&event.ifindex) && !event.is_gone() {
            written += 1;
        }
        written == links
    };
    events.until(is_last).map(drop)
}

pub(crate) fn kill(agent: &Agent<'_>) -> Result<()> {
    agent.process().signal(Signal::KILL)?;
    agent.process().wait().map(drop)
}

/// Docker's own value everywhere, and nothing recorded.
pub(crate) fn nothing_is_tuned(site: &Site, containers: &[&Container]) -> Result<()> {
    assert_eq!(site.others_than(1500, containers)?, [""; 0]);
    assert!(State::of(&site.lab, &[])?.clamped().is_empty());
    assert_eq!(record(&site.lab)?, None);
    Ok(())
}

/// Waits until all links of docker are as they should be, and TCP is clamped.
pub(crate) fn all_is_tuned(site: &Site, agent: &Agent<'_>, containers: &[&Container]) -> Result<()> {
    agent.until("all is tuned", |_| {
        let tuned = site.others_than(site.mtu, containers)?.is_empty();
        Ok((tuned && State::of(&site.lab, &[])?.clamped().len() == 1).then_some(()))
    })
}
