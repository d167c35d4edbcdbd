//! A fleet to look at: three nodes with real dockerds, their agents, a controller's page, and a Prometheus that scrapes
//! them all. After four minutes in which things happen it runs a command beside that Prometheus, and takes all down.
//!
//! ```text
//! cargo build && cargo run --example monitored_fleet -- target/debug/mtu-agent COMMAND…
//! ```
//!
//! `build-1` has the seed problem, three levels deep, and keeps it. `build-2` is a virtual machine whose dockerd is
//! wrong, whose uplink's MTU falls, and which is mended. `build-3` is one on which the agent tunes: all is well.

#[path = "../tests/lab_monitoring/controller.rs"]
mod controller;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, AgentSpec};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, SERVER, UPLINK};
use mtu_lab::monitoring::{Monitoring, Scraped};

use controller::Page;

const RULES: &str = include_str!("../dashboards/alerts.yaml");
/// Between two things that happen, so that graphs show them one after the other.
const SCENE: Duration = Duration::from_mins(1);

fn main() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let binary =
        words.next().and_then(|it| it.into_string().ok()).context("give the path of mtu-agent first")?;
    let binary = std::path::absolute(binary)?.into_os_string().into_string().expect("made of two texts");
    let mut command = Command::new(words.next().context("give a command to run beside Prometheus")?);
    command.args(words);

    let first = DockerLab::builder().level3(Dockerd::new()).build()?;
    let _deep = first.start_container(Level::Three, &Container::on_network("bridge").name("build"))?;
    first.create_network(Level::Two, "compose", None)?;
    let _service = first.start_container(Level::Two, &Container::on_network("compose").name("service"))?;
    let [second, third] = [DockerLab::vm().build()?, DockerLab::vm().build()?];

    let often = ["--target", SERVER, "--probe-interval", "5s", "--resync-interval", "10s"];
    let spec = AgentSpec::new(&binary).args(&often);
    let build_1 = spec.clone().start(&first)?;
    let build_2 = spec.clone().start(&second)?;
    let build_3 = spec.args(&["--tune", "links", "--all-docker"]).start(&third)?;
    let page = Page::serve(&first)?;

    let (relay_2, relay_3) = (Relay::bind(&first)?, Relay::bind(&first)?);
    thread::scope(|scope| {
        scope.spawn(|| relay_2.run(&build_2));
        scope.spawn(|| relay_3.run(&build_3));
        let _ended = [Ended(&relay_2, &first), Ended(&relay_3, &first)];

        let node = |node, address| Scraped { job: "mtu-agent", address, node: Some(node) };
        let scraped = [
            node("build-1", build_1.address()),
            node("build-2", relay_2.0.local_addr()?),
            node("build-3", relay_3.0.local_addr()?),
            Scraped { job: "mtu-agent-controller", address: page.address(), node: None },
        ];
        let _monitoring = Monitoring::start(&first, &scraped, RULES)?;

        let scene = || -> Result<()> {
            ensure!(!build_1.process().exit().wait(SCENE)?, "the agent of build-1 ended");
            Ok(())
        };
        scene()?;
        let _build = second.start_container(Level::One, &Container::on_network("bridge").name("build"))?;
        let _tuned = third.start_container(Level::One, &Container::on_network("bridge").name("build"))?;
        scene()?;
        second.set_link_mtu(Place::Node, UPLINK, 1400)?;
        scene()?;
        second.check_in(Place::Node, &[&binary, "tune", "--all-docker", "--apply"])?;
        scene()?;
        let status = first.enter(Place::Node, || command.status())?.context("run the command")?;
        Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
    })
}

/// Serves the metrics of an agent of another lab, so that one Prometheus can scrape it.
struct Relay(TcpListener, AtomicBool);

impl Relay {
    fn bind(at: &DockerLab) -> Result<Self> {
        let listener = at.enter(Place::Node, || TcpListener::bind(("127.0.0.1", 0)))??;
        Ok(Self(listener, AtomicBool::new(false)))
    }

    fn run(&self, agent: &Agent<'_>) {
        while let Ok((stream, _)) = self.0.accept() {
            if self.1.load(Ordering::Acquire) {
                return;
            }
            // An answer that fails shows: to Prometheus the agent is down.
            drop(answer(agent, stream));
        }
    }
}

/// What is asked for is known: Prometheus asks for nothing else, and in one packet.
fn answer(agent: &Agent<'_>, mut stream: TcpStream) -> Result<()> {
    let _asked = stream.read(&mut [0; 4096]).context("read what Prometheus asks")?;
    let metrics = agent.get("/metrics")?;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{metrics}", metrics.len())
        .context("answer Prometheus")
}

/// Ends a relay when it is dropped.
struct Ended<'a>(&'a Relay, &'a DockerLab);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.1.store(true, Ordering::Release);
        let Ok(address) = self.0.0.local_addr() else { return };
        // Its answer is not looked at: what matters is that somebody came.
        drop(self.1.enter(Place::Node, || TcpStream::connect(address)));
    }
}
