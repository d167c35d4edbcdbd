//! The socket with its ledger: transmits in, believed events out. It waits, and counts what it did not believe.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::time::{sleep_until, timeout};
use tracing::{debug, trace};

use super::{ProbeError, clock, fresh_number};
use crate::domain::mtu::IpFamily;
use crate::domain::search::{LimitedBy, ProbeId, Transmit};
use crate::kernel::egress::Egress;
use crate::kernel::socket::{IcmpSocket, Sent};
use crate::probes::ledger::{Event, HOP_LIMIT, Ignored, IgnoredCounts, Ledger};
use crate::probes::wire::token::TokenKey;
use crate::probes::wire::{self, Message, QueuedError, WireError};

/// How long a full send buffer may take to drain before the packet counts as lost.
const SEND_PATIENCE: Duration = Duration::from_millis(100);

/// Messages that are read before timers and other tasks get their turn, so that a flood starves nobody.
const MESSAGES_AT_ONCE: u32 = 64;

/// Longest IP packet.
const BUFFER_BYTES: usize = 65_536;

/// A probe was larger than the link's MTU.
pub(super) struct LocalLimit {
    /// Which probe.
    pub(super) id: ProbeId,
    /// MTU of the link, where the kernel told it.
    pub(super) mtu: Option<u32>,
}

/// The socket with its ledger.
pub(super) struct Line {
    pub(super) socket: AsyncFd<IcmpSocket>,
    has_ip_header: bool,
    destination: IpAddr,
    pub(super) egress: Egress,
    ledger: Ledger,
    pub(super) ignored: IgnoredCounts,
    packet: Vec<u8>,
    buffer: Vec<u8>,
}

impl Line {
    pub(super) fn new(socket: IcmpSocket, destination: IpAddr, egress: Egress) -> Result<Self, ProbeError> {
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
    pub(super) async fn send(&mut self, transmit: &Transmit) -> Result<Option<LocalLimit>, ProbeError> {
        let Transmit { id, size, hop_limit } = *transmit;
        trace!(destination = %self.destination, id = id.0, %size, hop_limit, "probe");
        self.ledger.write(transmit, &mut self.packet);
        loop {
            let sent = self.socket.get_mut().send(&self.packet, Some(hop_limit.unwrap_or(HOP_LIMIT)));
            match sent.map_err(|error| self.send_error(error))? {
                Sent::Taken => return Ok(None),
                Sent::TooLarge { device_mtu } => {
                    debug!(%size, device_mtu, "larger than the link's MTU");
                    return Ok(Some(LocalLimit { id, mtu: device_mtu }));
                }
                Sent::Later => match timeout(SEND_PATIENCE, self.socket.writable_mut()).await {
                    Ok(Ok(mut guard)) => guard.clear_ready(),
                    Ok(Err(source)) => return Err(self.failed("wait to send to", source)),
                    Err(_) => return Ok(None),
                },
            }
        }
    }

    /// What limits the path, with the distance of the router if only its quote tells it.
    pub(super) fn located(&self, limited_by: LimitedBy) -> LimitedBy {
        let told = || self.ledger.distance(limited_by.address?);
        LimitedBy { hop: limited_by.hop.or_else(told), ..limited_by }
    }

    /// The next believed event, or `None` when `due` has come.
    pub(super) async fn next(&mut self, due: Option<Instant>) -> Result<Option<Event>, ProbeError> {
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
