//! The agent is killed at any moment, and is away.

use std::io::{self, Write as _};

use anyhow::Result;
use mtu_lab::docker::{Container, Family, FirstAct, Release};

use crate::checks::{all_is_tuned, killed_at_any_moment};
use crate::site::Site;
use crate::state::State;

/// The bench has 200.
const KILLS: usize = 20;

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn killed_at_any_moment_a_restart_finishes_and_a_revert_restores_every_link() -> Result<()> {
    let in_the_middle = killed_at_any_moment(&Site::pod(Release::Machine)?, KILLS)?;
    tell(in_the_middle)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn killed_at_any_moment_on_a_plain_docker_host_with_a_later_docker() -> Result<()> {
    let in_the_middle = killed_at_any_moment(&Site::machine(Release::Trixie)?, KILLS)?;
    tell(in_the_middle)
}

fn tell(in_the_middle: usize) -> Result<()> {
    let turns = KILLS / 2;
    Ok(writeln!(
        io::stdout(),
        "{in_the_middle} of {turns} were killed when some links were written and others not"
    )?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn with_the_agent_away_what_is_tuned_stays_and_new_links_are_as_docker_makes_them() -> Result<()> {
    for release in Release::ALL {
        let site = Site::pod(release)?;
        let agent = site.start("links")?;
        let running = site.containers()?;
        let running: Vec<_> = running.iter().collect();
        all_is_tuned(&site, &agent, &running)?;
        agent.stop()?;
        let before = State::of(&site.lab, &running)?;
        let fresh = site.containers()?;
        let after = State::of(&site.lab, &running)?;
        assert_eq!(before.differing(&after).len(), 0, "what was there stays");
        for container in &fresh {
            assert_eq!(site.lab.link_mtu(container, "eth0")?, 1500, "level {}", container.level());
            let act = Container::on_network("bridge");
            let act = site.lab.first_act(container.level(), act, Family::V4, site.mtu)?;
            assert_eq!(act, FirstAct::clamped(), "the clamp stays; level {}", container.level());
        }
        let all: Vec<_> = running.iter().copied().chain(&fresh).collect();
        let agent = site.spec("links")?.start(&site.lab)?;
        all_is_tuned(&site, &agent, &all)?;
    }
    Ok(())
}
