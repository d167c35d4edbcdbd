//! Containers as fast as dockerd can, and how much time there was left for each.

use anyhow::Result;
use mtu_lab::docker::{Container, Level};
use mtu_lab::tuning::storm;

use super::now;
use super::site::Site;
use super::table::{Table, spread};

/// More make dockerd slower.
const AT_ONCE: usize = 8;

pub(super) fn measure(site: &Site, docker: &str, containers: usize, table: &mut Table) -> Result<()> {
    let _agent = site.start("links")?;
    let (spec, amounts) = (Container::on_network("bridge"), (containers, AT_ONCE));
    let began = now();
    let made = site.with_daemon(Level::Two, |place| {
        storm(&site.lab, Level::Two, place, &spec, amounts, site.mtu.into())
    })?;
    let took = began.elapsed().as_secs_f64();
    let in_time = made.iter().filter(|link| link.was_in_time()).count();
    let what = format!("{docker}: {containers} containers in {took:.0} s: links in time");
    table.holds(what, format!("{in_time} of {}", 2 * containers), in_time == 2 * containers);
    let windows = made.iter().filter_map(|link| Some(link.moved?.duration_since(link.at))).collect();
    let [median, ..] = spread(windows);
    table.shown("  made to moved into the container, median", format!("{median:.1} ms"));
    let mut margins: Vec<_> =
        made.iter().filter_map(|link| link.moved?.checked_duration_since(link.right?)).collect();
    margins.sort_unstable();
    let least = margins.first().copied().unwrap_or_default().as_secs_f64() * 1000.0;
    let [median, ..] = spread(margins);
    table.shown("  left between right and moved: least, median", format!("{least:.1}, {median:.1} ms"));
    Ok(())
}
