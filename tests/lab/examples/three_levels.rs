//! The seed problem to try things in: brings up the lab, runs a command on its node, and takes the lab down.
//!
//! ```text
//! cargo run -p mtu-lab --example three_levels -- target/release/mtu-agent survey
//! ```

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, Ptb};

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let program =
        words.next().context("give a command to run on the node, such as target/release/mtu-agent survey")?;
    let program = std::path::absolute(&program).ok().filter(|path| path.exists()).map_or(program, Into::into);

    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let _build = lab.start_container(Level::Three, &Container::on_network("bridge").name("build"))?;
    lab.create_network(Level::Two, "compose", None)?;
    let _service = lab.start_container(Level::Two, &Container::on_network("compose").name("service"))?;

    let status = lab.spawn(Place::Node, Command::new(program).args(words))?.wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
