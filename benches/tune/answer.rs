//! From the moment at which a link is there until it has the right MTU, as somebody else hears it from the kernel.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mtu_lab::docker::{LinkEvents, Place};
use mtu_lab::tuning::made;

use super::site::Site;
use super::table::{Table, spread};

const MILLISECONDS: f64 = 5.0;

pub(super) fn measure(site: &Site, docker: &str, pairs: usize, table: &mut Table) -> Result<()> {
    let agent = site.start("links")?;
    let events = LinkEvents::of(&site.lab, Place::Pod)?;
    let mut times = Vec::new();
    for pair in 0..pairs {
        let [one, other] = [2 * pair, 2 * pair + 1].map(|number| format!("veth{number:07x}"));
        site.lab.ip_batch(Place::Pod, &format!("link add {one} type veth peer name {other}"))?;
        times.extend(until_right(site, &events)?);
        site.lab.ip_batch(Place::Pod, &format!("link delete {one}"))?;
        events.until(|event| event.is_gone() && event.name == one)?;
    }
    let [median, p99, max] = spread(times);
    table.at_most(
        format!("beside {docker}: {} links, made to right, p99", 2 * pairs),
        p99,
        MILLISECONDS,
        "ms",
    );
    table.shown("  median, max", format!("{median:.2}, {max:.2} ms"));
    let metrics = agent.metrics()?;
    let [sum, count] =
        ["sum", "count"].map(|it| metrics.value(&format!("mtu_agent_tune_answer_seconds_{it}")));
    let mean = sum.context("a histogram")? / count.context("a histogram")?;
    table.shown("  its own: event to write, mean", format!("{:.3} ms", mean * 1000.0));
    Ok(())
}

/// Both ends of the next pair.
fn until_right(site: &Site, events: &LinkEvents) -> Result<Vec<Duration>> {
    let mut heard = Vec::new();
    loop {
        heard.extend(events.until(|_| true)?);
        let made = made(&heard, site.mtu.into());
        let times: Vec<_> =
            made.iter().filter_map(|link| Some(link.right?.duration_since(link.at))).collect();
        if times.len() == 2 {
            return Ok(times);
        }
    }
}
