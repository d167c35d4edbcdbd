//! The one driver around the pure search. It owns the socket and the clock, turns wishes into packets and packets
//! into events, and believes nothing that [`super::ledger::Ledger`] does not.
//!
//! ```text
//!         ┌──────────────► transmit all ──► over? ──► report
//!         │                                   │ no
//!   event to the search ◄── packet? ◄─────────┤
//!         │                   │ none          │
//!   timeout to the search ◄── due? ── no ──► wait for packet or timeout
//! ```

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tracing::debug;

use super::ledger::{Event, IgnoredCounts};
use super::wire::token::TokenKey;
use crate::domain::mtu::{IpFamily, PathMtu};
use crate::domain::search::{Outcome, Progress, Search, SearchConfig, SearchConfigError};
use crate::kernel::egress::{Egress, EgressError, EgressQuery, egress};
use crate::kernel::socket::{IcmpSocket, SocketChoice, SocketConfig, SocketError, SocketKind};

pub mod check;
mod line;

use line::Line;

/// What to probe.
#[derive(Clone, Debug)]
pub struct ProbeRequest {
    /// The address.
    pub destination: IpAddr,
    /// Largest size to try, if that is to be less than what the way out allows.
    pub max: Option<PathMtu>,
    /// A size that is likely the answer, such as the last known one. Without it, what the kernel learned is used.
    pub hint: Option<PathMtu>,
    /// Link to send by, by name.
    pub device: Option<String>,
    /// Address to send from.
    pub source: Option<IpAddr>,
    /// Which kinds of socket may be used.
    pub choice: SocketChoice,
}

impl ProbeRequest {
    /// For `destination`, with the rest left to the system.
    pub fn new(destination: IpAddr) -> Self {
        Self { destination, max: None, hint: None, device: None, source: None, choice: SocketChoice::Best }
    }
}

/// What was found, and how.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// The address that was probed.
    pub destination: IpAddr,
    /// The way out that the search began with.
    pub egress: Egress,
    /// Which socket was used.
    pub socket: SocketKind,
    /// What the search found.
    pub outcome: Outcome,
    /// Messages that were not believed.
    pub ignored: IgnoredCounts,
}

/// Why a probe has no outcome.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is no way out.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// No socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The way out is narrower than any packet, or the wished-for size is impossible.
    #[error("search the path MTU to {destination}")]
    Config {
        /// Where to.
        destination: IpAddr,
        /// What is wrong.
        source: SearchConfigError,
    },
    /// The link's MTU is below what the family allows.
    #[error("link {device} has MTU {mtu}: too small for {family}")]
    LinkTooSmall {
        /// The link.
        device: String,
        /// Its MTU.
        mtu: u32,
        /// Family of the destination.
        family: IpFamily,
    },
    /// The link went down, or the route went away, while the search was running.
    #[error("the way to {destination} by link {device} was lost while probing: is the link up?")]
    PathLost {
        /// Where to.
        destination: IpAddr,
        /// The link that the search began with.
        device: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A rule of this host forbids the packets.
    #[error(
        "a firewall rule of this host refuses echo requests to {destination}: look for one in an output chain"
    )]
    Filtered {
        /// Where to.
        destination: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{what} {destination}")]
    Failed {
        /// What was attempted.
        what: &'static str,
        /// Where to.
        destination: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Probes one destination from the network namespace of the calling thread; `on_progress` is called after each
/// step. Dropping the future stops it and leaves nothing behind.
pub async fn probe(
    request: ProbeRequest,
    on_progress: impl FnMut(&Progress),
) -> Result<ProbeReport, ProbeError> {
    Prober::open(request)?.run(on_progress).await
}

/// A probe whose socket is open. Its two halves are apart so that a thread which joined another network namespace
/// can open it there and hand it to the one that runs them all.
#[derive(Debug)]
pub struct Prober {
    destination: IpAddr,
    egress: Egress,
    config: SearchConfig,
    socket: IcmpSocket,
}

impl Prober {
    /// Finds the way out and opens the socket, in the network namespace of the calling thread. Does not block on
    /// the network.
    pub fn open(request: ProbeRequest) -> Result<Self, ProbeError> {
        let ProbeRequest { destination, max, hint, device, source, choice } = request;
        let family = IpFamily::of(destination);
        let egress = egress(EgressQuery { destination, device: device.as_deref(), source })?;
        let link_max = egress.max().filter(|&max| max >= family.minimum_mtu());
        let link_max = link_max.ok_or_else(|| ProbeError::LinkTooSmall {
            device: egress.device.clone(),
            mtu: egress.link_mtu.get(),
            family,
        })?;
        let max = max.map_or(link_max, |max| max.min(link_max));
        let config = SearchConfig { hint: hint.or(egress.learned), ..SearchConfig::new(family, max) };
        let id = fresh_number("echo identifier");
        let socket = IcmpSocket::open(&SocketConfig {
            destination,
            scope: egress.ifindex,
            source,
            device,
            id,
            choice,
        })?;
        debug!(%destination, kind = ?socket.kind(), max = %max, "socket is open");
        Ok(Self { destination, egress, config, socket })
    }

    /// The largest packet that will be tried.
    pub fn max(&self) -> PathMtu {
        self.config.max
    }

    /// The way out.
    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Runs the search to its outcome.
    pub async fn run(self, mut on_progress: impl FnMut(&Progress)) -> Result<ProbeReport, ProbeError> {
        let Self { destination, egress, config, socket } = self;
        let mut search =
            Search::new(config, clock()).map_err(|source| ProbeError::Config { destination, source })?;
        let mut line = Line::new(socket, destination, egress)?;
        let outcome = loop {
            while let Some(transmit) = search.poll_transmit(clock()) {
                if let Some(limit) = line.send(&transmit).await? {
                    search.handle_local_limit(clock(), limit.id, limit.mtu);
                }
            }
            on_progress(&search.progress());
            if let Some(outcome) = search.outcome() {
                break outcome;
            }
            match line.next(search.poll_timeout()).await? {
                Some(event) => apply(&mut search, clock(), event),
                None => search.handle_timeout(clock()),
            }
        };
        let limited_by = outcome.limited_by.map(|limited_by| line.located(limited_by));
        let outcome = Outcome { limited_by, ..outcome };
        let Line { socket, egress, ignored, .. } = line;
        Ok(ProbeReport { destination, egress, socket: socket.get_ref().kind(), outcome, ignored })
    }
}

fn apply(search: &mut Search, now: Instant, event: Event) {
    match event {
        Event::Ack { id } => search.handle_ack(now, id),
        Event::Ptb { id, mtu, from } => search.handle_ptb(now, id, mtu, from),
        Event::TimeExceeded { id, from } => search.handle_time_exceeded(now, id, from),
        Event::Unreachable { id, from } => search.handle_unreachable(now, id, Some(from)),
    }
}

/// An unguessable 16-bit number, another one at each call.
fn fresh_number(purpose: &'static str) -> u16 {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let [.., high, low] =
        TokenKey::of_process().number(purpose, COUNTER.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[expect(clippy::disallowed_methods, reason = "the driver is where the search's `now` comes from")]
fn clock() -> Instant {
    Instant::now()
}
