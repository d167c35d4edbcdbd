//! A [`Network`] between a real client and a real server: a thread that takes each frame of one and gives it to
//! the other when, and if, the network says so, and writes the ICMP errors of routers that do not exist.
//!
//! ```text
//! ┌─ client ───────┐   ┌─ router ────────────────────┐   ┌─ server ───────┐
//! │ 10.76.0.1 eth0 ├───┤ client    thread     server ├───┤ eth0 10.78.0.2 │
//! │ fd76::1        │   │ no addresses, no forwarding │   │        fd78::2 │
//! └────────────────┘   └─────────────────────────────┘   └────────────────┘
//! ```
//!
//! The client's link has the MTU of the scenario's; all others take what an IP length can say, so that every
//! limit is the network's. Neighbours are entered by hand: nobody asks for them, so nothing is lost that way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{PipeReader, PipeWriter, pipe};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::packet::{IcmpError, IpPacket, guessed_request, icmp_error};
use super::port::{ETHERNET_BYTES, Port};
use super::space::Space;
use crate::network::{Direction, Effect, Network};
use crate::scenario::{Destination, Family, Quote, Scenario};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// The router's on both sides. No link has it, so the router's kernel leaves the frames alone.
const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];

/// Largest MTU of a veth.
const WIDE: u16 = 65_535;

/// A client and a server with a scenario between them; everything goes when it is dropped.
#[derive(Debug)]
pub struct SeededPath {
    client: Space,
    server: Space,
    family: Family,
    from_client: Arc<AtomicU64>,
    router: Router,
}

impl SeededPath {
    /// Makes one. The same seed and the same packets at the same times give the same effects.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self> {
        let (client, router, server) = (Space::new()?, Space::new()?, Space::new()?);
        // Nobody but the thread may say anything on these links.
        router.sysctl("ipv6/conf/default/disable_ipv6", "1")?;
        router.sysctl("ipv6/conf/all/disable_ipv6", "1")?;
        for (space, name, mtu) in [(&client, "client", scenario.link.mtu), (&server, "server", WIDE)] {
            // Unlike indices, as in a chain.
            let index = if name == "client" { 20 } else { 30 };
            router.ip(&format!(
                "link add name {name} index {index} mtu {WIDE} type veth peer name eth0 mtu {mtu} index 10 netns {}",
                space.id()
            ))?;
            // One frame for one packet, also of TCP.
            space.ip("link set dev eth0 gso_max_segs 1")?;
        }
        address(&client, scenario.family, CLIENT_MAC, 76, 1)?;
        address(&server, scenario.family, SERVER_MAC, 78, 2)?;
        let from_client = Arc::new(AtomicU64::new(0));
        let router = Router::start(router, scenario, seed, Arc::clone(&from_client))?;
        route(&client, scenario.family, 76)?;
        route(&server, scenario.family, 78)?;
        Ok(Self { client, server, family: scenario.family, from_client, router })
    }

    /// Namespace of the client; its link is `eth0`.
    pub fn client(&self) -> &Space {
        &self.client
    }

    /// Namespace of the server; its link is `eth0`.
    pub fn server(&self) -> &Space {
        &self.server
    }

    /// Address of the server.
    pub fn server_address(&self) -> IpAddr {
        server_address(self.family)
    }

    /// IP packets to the server that have come from the client so far.
    pub fn packets_from_client(&self) -> u64 {
        self.from_client.load(Ordering::Relaxed)
    }

    /// Ends the path, and tells what went wrong in its router, if anything did.
    pub fn end(mut self) -> Result<()> {
        self.router.end()
    }
}

fn client_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 76, 0, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfd76, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

fn server_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 78, 0, 2).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2).into(),
    }
}

fn address(space: &Space, family: Family, mac: [u8; 6], network: u8, host: u8) -> Result<()> {
    space.ip(&format!("link set dev eth0 address {}", text(mac)))?;
    match family {
        Family::Ipv4 => space.ip(&format!("address add 10.{network}.0.{host}/24 dev eth0"))?,
        Family::Ipv6 => space.ip(&format!("address add fd{network}::{host}/64 dev eth0 nodad"))?,
    }
    space.ip("link set dev eth0 up")
}

fn route(space: &Space, family: Family, network: u8) -> Result<()> {
    let (version, gateway) = match family {
        Family::Ipv4 => ("-4", format!("10.{network}.0.254")),
        Family::Ipv6 => ("-6", format!("fd{network}::fe")),
    };
    space.ip(&format!("neighbour replace {gateway} dev eth0 lladdr {} nud permanent", text(ROUTER_MAC)))?;
    space.ip(&format!("{version} route add default via {gateway} dev eth0"))
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The thread, and the namespace that it works in.
#[derive(Debug)]
struct Router {
    /// Closed, it tells the thread to end.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<Result<()>>>,
    _space: Space,
}

impl Router {
    fn start(space: Space, scenario: &Scenario, seed: u64, from_client: Arc<AtomicU64>) -> Result<Self> {
        let (stopped, stop) = pipe()?;
        let scenario = scenario.clone();
        let ports = space.run(|| anyhow::Ok([Port::open("client")?, Port::open("server")?]))??;
        space.ip("link set dev client up")?;
        space.ip("link set dev server up")?;
        let (running, is_running) = mpsc::channel();
        let thread = std::thread::Builder::new().name("router".to_owned()).spawn(move || {
            let _ = running.send(());
            Switch::new(ports, &scenario, seed, from_client).run(&stopped)
        })?;
        is_running.recv()?;
        Ok(Self { stop: Some(stop), thread: Some(thread), _space: space })
    }

    fn end(&mut self) -> Result<()> {
        self.stop = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => anyhow::bail!("the router's thread panicked"),
            None => Ok(()),
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Towards whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Client,
    Server,
}

/// A frame and when it is to leave; the number keeps those of the same time in order.
type Due = Reverse<(Duration, u64, Side, Vec<u8>)>;

struct Switch {
    ports: [Port; 2],
    network: Network,
    began: Instant,
    due: BinaryHeap<Due>,
    count: u64,
    forged: u64,
    /// Last packet of the client, for a forger who sees it.
    seen: Vec<u8>,
    guess: fastrand::Rng,
    from_client: Arc<AtomicU64>,
}

impl Switch {
    fn new(ports: [Port; 2], scenario: &Scenario, seed: u64, from_client: Arc<AtomicU64>) -> Self {
        Self {
            ports,
            network: Network::new(scenario, seed),
            began: now(),
            due: BinaryHeap::new(),
            count: 0,
            forged: 0,
            seen: Vec::new(),
            guess: fastrand::Rng::with_seed(seed),
            from_client,
        }
    }

    fn run(mut self, stopped: &PipeReader) -> Result<()> {
        let mut buffer = vec![0; usize::from(WIDE) + ETHERNET_BYTES];
        loop {
            self.forge();
            self.send_due()?;
            for (side, direction) in [(0, Direction::Forward), (1, Direction::Reverse)] {
                while let Some(length) = self.ports[side].receive(&mut buffer)? {
                    if let Some(packet) = buffer[..length].get(ETHERNET_BYTES..).and_then(IpPacket::new) {
                        self.take(&packet, direction);
                    }
                }
            }
            let wait = self.next_due().map(|at| at.saturating_sub(self.elapsed()));
            if wait == Some(Duration::ZERO) {
                continue;
            }
            let mut wake = [
                PollFd::new(self.ports[0].as_fd(), PollFlags::POLLIN),
                PollFd::new(self.ports[1].as_fd(), PollFlags::POLLIN),
                PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            ];
            match ppoll(&mut wake, wait.map(TimeSpec::from), None) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("wait for frames"),
            }
            if wake[2].revents().is_some_and(|events| !events.is_empty()) {
                return Ok(());
            }
        }
    }

    fn elapsed(&self) -> Duration {
        now().saturating_duration_since(self.began)
    }

    fn take(&mut self, packet: &IpPacket, direction: Direction) {
        let (to, back) = match direction {
            Direction::Forward => (Side::Server, Side::Client),
            Direction::Reverse => (Side::Client, Side::Server),
        };
        // What the ends say to their neighbours, about multicast and the like, is no traffic between them; it would
        // throw the dice at odd times.
        let family = self.network.scenario().family;
        let other_end = match direction {
            Direction::Forward => server_address(family),
            Direction::Reverse => client_address(family),
        };
        if packet.destination() != other_end {
            return;
        }
        if direction == Direction::Forward {
            self.from_client.fetch_add(1, Ordering::Relaxed);
            packet.bytes().clone_into(&mut self.seen);
        }
        let (silent, hops) = {
            let scenario = self.network.scenario();
            let hops = match direction {
                Direction::Forward => scenario.hops.len(),
                Direction::Reverse => scenario.reverse.as_ref().unwrap_or(&scenario.hops).len(),
            };
            (scenario.destination == Destination::Silent && direction == Direction::Forward, hops)
        };
        for event in self.network.send(self.elapsed(), packet.describe(direction)) {
            let error = match event.effect {
                Effect::Delivered => {
                    if !silent {
                        self.schedule(event.at, to, &packet.clone().forwarded(hops));
                    }
                    continue;
                }
                Effect::Ptb { from, mtu } => packet.error(from, IcmpError::PacketTooBig { mtu }),
                Effect::TimeExceeded { from } => packet.error(from, IcmpError::TimeExceeded),
                Effect::Unreachable { from } => packet.error(from, IcmpError::HostUnreachable),
                // The client's own kernel has refused it already.
                Effect::LocalLimit { .. } => None,
            };
            if let Some(error) = error {
                self.schedule(event.at, back, &error);
            }
        }
    }

    fn schedule(&mut self, at: Duration, side: Side, packet: &[u8]) {
        let to = match side {
            Side::Client => CLIENT_MAC,
            Side::Server => SERVER_MAC,
        };
        let ether_type: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        let frame = [&to[..], &ROUTER_MAC, &ether_type, packet].concat();
        self.count += 1;
        self.due.push(Reverse((at, self.count, side, frame)));
    }

    /// Sends what the forger would have sent by now.
    fn forge(&mut self) {
        while let Some(forged) = self.network.forged(self.forged).filter(|forged| forged.at <= self.elapsed())
        {
            self.forged += 1;
            let scenario = self.network.scenario();
            let (client, server) = (client_address(scenario.family), server_address(scenario.family));
            let quote = match scenario.forged.as_ref().map(|forged| forged.quote) {
                Some(Quote::Seen) => Some(self.seen.clone()).filter(|seen| !seen.is_empty()),
                Some(Quote::Guessed) => {
                    guessed_request(client, server, self.guess.u16(..), self.guess.u16(..))
                }
                None => None,
            };
            let error = IcmpError::PacketTooBig { mtu: forged.mtu };
            let room = if client.is_ipv4() { 576 - 28 } else { 1280 - 48 };
            let packet = quote
                .and_then(|quote| icmp_error(forged.from, client, error, &quote[..quote.len().min(room)]));
            if let Some(packet) = packet {
                self.schedule(forged.at, Side::Client, &packet);
            }
        }
    }

    fn next_due(&self) -> Option<Duration> {
        let frame = self.due.peek().map(|Reverse((at, ..))| *at);
        let forged = self.network.forged(self.forged).map(|forged| forged.at);
        frame.into_iter().chain(forged).min()
    }

    fn send_due(&mut self) -> Result<()> {
        let elapsed = self.elapsed();
        while self.due.peek().is_some_and(|Reverse((at, ..))| *at <= elapsed) {
            let Some(Reverse((_, _, side, frame))) = self.due.pop() else { break };
            let port = match side {
                Side::Client => &self.ports[0],
                Side::Server => &self.ports[1],
            };
            port.send(&frame)?;
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "the router runs in real time")]
fn now() -> Instant {
    Instant::now()
}
