//! From the moment at which a container's link comes or goes until it is told.
//!
//! That moment is the kernel's: an `ip monitor` beside the container says when its veth carries packets, and when it
//! is deleted. What docker does before and after is not the agent's time.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mtu_lab::agent::{Agent, AgentSpec, PATIENCE};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place, Process};

use super::table::{Table, spread};
use super::{MTU_AGENT, idle, now};

const MILLISECONDS: f64 = 200.0;
/// A bridge, and both ends of a veth.
const OF_A_CONTAINER: usize = 3;
/// The one that is in the container: before it goes there, both ends are in the pod.
const INSIDE: &str = "mtu_agent_mismatched_links{kind=\"docker_veth\",level=\"2\"}";

/// On a node with so many other pods.
pub(super) fn measure(containers: usize, pods: usize, table: &mut Table) -> Result<()> {
    let lab = DockerLab::builder().level2(None).build()?;
    idle::add_pods(&lab, pods)?;
    let agent = AgentSpec::new(MTU_AGENT).start(&lab)?;
    agent.until_mismatched(0)?;
    lab.start_dockerd(Level::Two, &Dockerd::new())?;
    let links = Links::of_pod(&lab)?;
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..containers {
        links.forget();
        let (container, told) = while_asked(&agent, OF_A_CONTAINER, || {
            lab.start_container(Level::Two, &Container::on_network("bridge").name("build"))
        })?;
        let (up, veth) = links.next(|line| {
            let is_up =
                !line.starts_with("Deleted") && line.contains("master docker0") && line.contains("LOWER_UP");
            is_up.then(|| name(line)).flatten()
        })?;
        starts.push(told.saturating_duration_since(up));

        let ((), told) = while_asked(&agent, 0, || {
            drop(container);
            Ok(())
        })?;
        let (gone, ()) = links
            .next(|line| (line.starts_with("Deleted") && name(line).as_ref() == Some(&veth)).then_some(()))?;
        stops.push(told.saturating_duration_since(gone));
    }
    for (what, times) in [("start", starts), ("end", stops)] {
        let [median, p99, max] = spread(times);
        table.at_most(
            format!("{containers} containers beside {pods} pods: {what} to HTTP, p99"),
            p99,
            MILLISECONDS,
            "ms",
        );
        table.shown("  median, max", format!("{median:.1}, {max:.1} ms"));
    }
    Ok(())
}

/// Does `work` while the agent is asked all the time; returns when it first told so many mismatches for good.
fn while_asked<T>(agent: &Agent<'_>, links: usize, work: impl FnOnce() -> Result<T>) -> Result<(T, Instant)> {
    thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<Instant> {
            agent.until("what the container's links are", |agent| {
                let metrics = agent.metrics()?;
                let is_inside = metrics.value(INSIDE) == Some(1.0);
                if metrics.mismatched() != Some(links) || is_inside != (links > 0) {
                    return Ok(None);
                }
                let survey = agent.survey()?;
                let found = survey["mismatches"].as_array().map(Vec::len);
                Ok((found == Some(links)).then(now))
            })
        });
        let done = work()?;
        let told = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((done, told))
    })
}

/// Events of links in the pod, each with when it was heard.
struct Links {
    _monitor: Process,
    heard: Receiver<(Instant, String)>,
}

impl Links {
    fn of_pod(lab: &DockerLab) -> Result<Self> {
        let mut command = mtu_lab::docker::NetnsLab::command(&["ip", "-oneline", "monitor", "link"]);
        let monitor = lab.spawn(Place::Pod, command.stdout(Stdio::piped()))?;
        let stdout = monitor.take_stdout().context("it has a stdout")?;
        let (sender, heard) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if sender.send((now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { _monitor: monitor, heard })
    }

    /// Drops what was heard until now.
    fn forget(&self) {
        while self.heard.recv_timeout(Duration::from_millis(50)).is_ok() {}
    }

    /// The next event of which `wanted` is one.
    fn next<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Result<(Instant, T)> {
        loop {
            let (at, line) = self.heard.recv_timeout(PATIENCE).context("the pod's links are silent")?;
            if let Some(wanted) = wanted(&line) {
                return Ok((at, wanted));
            }
        }
    }
}

/// `veth1` of `7: veth1@if6: <…`, or of `Deleted 7: …`.
fn name(line: &str) -> Option<String> {
    let name = line.trim_start_matches("Deleted ").split([':', '@']).nth(1)?;
    Some(name.trim().to_owned())
}
