//! The one driver around the pure search. It owns the socket and the clock, turns wishes into packets and packets
//! into events, and believes nothing that [`Ledger`] does not.
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
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, trace};

use super::ledger::{Event, Ignored, IgnoredCounts, Ledger};
use super::wire::token::TokenKey;
use super::wire::{self, Message, QueuedError, WireError};
use crate::domain::mtu::{IpFamily, PathMtu};
use crate::domain::search::{Outcome, ProbeId, Progress, Search, SearchConfig, SearchConfigError, Transmit};
use crate::kernel::egress::{Egress, EgressError, EgressQuery, egress};
use crate::kernel::socket::{IcmpSocket, Sent, SocketChoice, SocketConfig, SocketError, SocketKind};

/// How long a full send buffer may take to drain before the packet counts as lost.
const SEND_PATIENCE: Duration = Duration::from_millis(100);

/// Messages that are read before timers and other tasks get their turn, so that a flood starves nobody.
const MESSAGES_AT_ONCE: u32 = 64;

/// Longest IP packet.
const BUFFER_BYTES: usize = 65_536;

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

impl ProbeError {
    /// Label of this error in a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.reason(),
            Self::Socket(error) => error.reason(),
            Self::Config { .. } => "config",
            Self::LinkTooSmall { .. } => "link_too_small",
            Self::PathLost { .. } => "path_lost",
            Self::Filtered { .. } => "filtered",
            Self::Failed { .. } => "failed",
        }
    }
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

    /// Which socket was opened.
    pub fn socket_kind(&self) -> SocketKind {
        self.socket.kind()
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

/// A probe was larger than the link's MTU.
struct LocalLimit {
    id: ProbeId,
    mtu: Option<u32>,
}

/// The socket with its ledger: transmits in, events out.
struct Line {
    socket: AsyncFd<IcmpSocket>,
    has_ip_header: bool,
    destination: IpAddr,
    egress: Egress,
    ledger: Ledger,
    ignored: IgnoredCounts,
    packet: Vec<u8>,
    buffer: Vec<u8>,
}

impl Line {
    fn new(socket: IcmpSocket, destination: IpAddr, egress: Egress) -> Result<Self, ProbeError> {
        let ledger = Ledger::new(destination, socket.id(), fresh_number("sequence"), TokenKey::of_process());
        let has_ip_header = socket.has_ip_header();
        trace!(%destination, fd = socket.as_raw_fd(), "search begins");
        // The error queue wakes by an error condition, not by a readable one.
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        let socket = register(socket, interest).map_err(|source| ProbeError::Failed {
            what: "wait for answers of",
            destination,
            source,
        })?;
        Ok(Self {
            socket,
            has_ip_header,
            destination,
            egress,
            ledger,
            ignored: IgnoredCounts::default(),
            packet: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Sends one probe.
    async fn send(&mut self, transmit: &Transmit) -> Result<Option<LocalLimit>, ProbeError> {
        self.ledger.write(transmit, &mut self.packet);
        loop {
            let sent = self.socket.get_mut().send(&self.packet, transmit.hop_limit);
            match sent.map_err(|error| self.send_error(error))? {
                Sent::Taken => return Ok(None),
                Sent::TooLarge { device_mtu } => {
                    debug!(size = %transmit.size, device_mtu, "larger than the link's MTU");
                    return Ok(Some(LocalLimit { id: transmit.id, mtu: device_mtu }));
                }
                Sent::Later => match timeout(SEND_PATIENCE, self.socket.writable_mut()).await {
                    Ok(Ok(mut guard)) => guard.clear_ready(),
                    Ok(Err(source)) => return Err(self.failed("wait to send to", source)),
                    Err(_) => return Ok(None),
                },
            }
        }
    }

    /// The next believed event, or `None` when `due` has come.
    async fn next(&mut self, due: Option<Instant>) -> Result<Option<Event>, ProbeError> {
        loop {
            // Packets first: what has arrived before the deadline counts, however late we look.
            for _ in 0..MESSAGES_AT_ONCE {
                match self.read()? {
                    Some(Ok(event)) => return Ok(Some(event)),
                    Some(Err(why)) => self.ignored.add(why),
                    None => break,
                }
            }
            if due.is_some_and(|due| due <= clock()) {
                return Ok(None);
            }
            self.wait(due).await?;
        }
    }

    /// Waits until there may be something to read, or `due` has come.
    async fn wait(&mut self, due: Option<Instant>) -> Result<(), ProbeError> {
        let interest = Interest::READABLE | Interest::ERROR;
        let ready = match due {
            Some(due) => tokio::select! {
                ready = self.socket.ready_mut(interest) => ready,
                () = sleep_until(due.into()) => return Ok(()),
            },
            None => self.socket.ready_mut(interest).await,
        };
        // Cleared before the reads that follow: what arrives from here on sets it again.
        match ready {
            Ok(mut guard) => guard.clear_ready_matching(Ready::READABLE | Ready::ERROR),
            Err(source) => return Err(self.failed("wait for answers of", source)),
        }
        Ok(())
    }

    /// One message, judged; `None` when there is none.
    fn read(&mut self) -> Result<Option<Result<Event, Ignored>>, ProbeError> {
        let socket = self.socket.get_mut();
        let error = match socket.receive_error() {
            Ok(error) => error,
            Err(source) => return Err(self.failed("read the error queue for", source)),
        };
        if let Some(error) = error {
            let from = error.from.unwrap_or(self.destination);
            let destination = error.destination.unwrap_or(self.destination);
            let message = QueuedError {
                kind: error.kind,
                code: error.code,
                info: error.info,
                destination,
                quoted: &error.quoted,
            }
            .into_message();
            return Ok(Some(judge(&mut self.ledger, message, from)));
        }
        let received = match socket.receive(&mut self.buffer) {
            Ok(received) => received,
            Err(source) => return Err(self.failed("receive from", source)),
        };
        let Some(received) = received else { return Ok(None) };
        let bytes = &self.buffer[..received.length];
        let message = match IpFamily::of(self.destination) {
            IpFamily::V4 if self.has_ip_header => wire::v4::parse_packet(bytes),
            IpFamily::V4 => wire::v4::parse_message(bytes),
            IpFamily::V6 => wire::v6::parse_message(bytes),
        };
        Ok(Some(judge(&mut self.ledger, message, received.from)))
    }

    fn send_error(&self, source: io::Error) -> ProbeError {
        let destination = self.destination;
        match Errno::from_io_error(&source) {
            Some(
                Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::NODEV
                | Errno::NXIO
                | Errno::ADDRNOTAVAIL
                | Errno::ACCESS
                | Errno::INVAL,
            ) => ProbeError::PathLost { destination, device: self.egress.device.clone(), source },
            // `ip_local_out` and nf_hook_slow: an output rule dropped it.
            Some(Errno::PERM) => ProbeError::Filtered { destination, source },
            _ => self.failed("send to", source),
        }
    }

    fn failed(&self, what: &'static str, source: io::Error) -> ProbeError {
        ProbeError::Failed { what, destination: self.destination, source }
    }
}

fn judge(
    ledger: &mut Ledger,
    message: Result<Message<'_>, WireError>,
    from: IpAddr,
) -> Result<Event, Ignored> {
    let judged = match message {
        Ok(message) => ledger.judge(message, from),
        Err(error) => {
            debug!(%from, %error, "malformed");
            Err(Ignored::Malformed)
        }
    };
    trace!(%from, ?judged, "message");
    judged
}

#[expect(
    deprecated,
    reason = "its successor is `unsafe`, for types that change or close their descriptor; ours owns one for life"
)]
fn register(socket: IcmpSocket, interest: Interest) -> io::Result<AsyncFd<IcmpSocket>> {
    AsyncFd::with_interest(socket, interest)
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
