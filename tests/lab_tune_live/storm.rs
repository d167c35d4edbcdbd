//! Containers that are started as fast as dockerd can.

use anyhow::Result;
use mtu_lab::docker::{Container, Level, Release};
use mtu_lab::tuning::storm;

use crate::checks::all_in_time;
use crate::site::Site;

/// The bench has 200.
const CONTAINERS: usize = 40;
/// Beyond that, dockerd gets slower.
const AT_ONCE: usize = 8;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn of_containers_that_start_as_fast_as_dockerd_can_none_is_missed() -> Result<()> {
    Release::ALL.into_iter().try_for_each(|release| {
        let site = Site::pod(release)?;
        let _agent = site.start("links")?;
        let (spec, amounts) = (Container::on_network("bridge"), (CONTAINERS, AT_ONCE));
        let made = site.with_daemon(Level::Two, |place| {
            storm(&site.lab, Level::Two, place, &spec, amounts, site.mtu.into())
        })?;
        all_in_time(&made, CONTAINERS, site.mtu);
        Ok(())
    })
}
