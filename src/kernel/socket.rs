//! ICMP sockets: raw where `CAP_NET_RAW` allows it, else the unprivileged "ping socket".
//!
//! | | raw | ping |
//! |---|---|---|
//! | needs | `CAP_NET_RAW` | the group in `net.ipv4.ping_group_range` |
//! | identifier | ours, in a classic BPF filter | the kernel's, the socket's "port" |
//! | ICMP errors | arrive as packets, checked against the quote by the filter and by the caller | error queue (`IP_RECVERR`), checked against the quote by the kernel |
//!
//! Both set DF and ignore the kernel's path MTU cache (`IP_PMTUDISC_PROBE`): a forged or stale PTB there does
//! not blind a probe. A socket belongs to the network namespace of the thread that opens it, for ever; opening is
//! plain and synchronous so that a thread that joined a namespace can do it and hand the socket over.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use rustix::io::Errno;
use rustix::net::sockopt::{set_ip_ttl, set_ipv6_unicast_hops};
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use socket2::Socket;

use crate::domain::mtu::IpFamily;

mod error_queue;
mod filter;
mod open;

use error_queue::Entry;
pub use error_queue::IcmpError;

/// Most errors left by earlier packets that one send or read clears away. Each is one ICMP message that the
/// kernel matched to this socket; a whole flight causes fewer.
const STORED_ERRORS: u32 = 256;

/// How a socket came by its right to send ICMP; users are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketKind {
    /// Raw socket (`CAP_NET_RAW`).
    Raw,
    /// Unprivileged ping socket (`net.ipv4.ping_group_range`), IPv4 and IPv6 alike.
    Ping,
}

/// Which kinds may be tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketChoice {
    /// Raw, and the ping socket where raw is not permitted.
    #[default]
    Best,
    /// Only this one.
    Only(SocketKind),
}

/// What to open.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// The one address that is probed; its family is the socket's.
    pub destination: IpAddr,
    /// Index of the link that a link-local IPv6 destination lives on (`sin6_scope_id`); else 0.
    pub scope: u32,
    /// Source address; `None` leaves it to the route.
    pub source: Option<IpAddr>,
    /// Link to bind to (`SO_BINDTODEVICE`), by name.
    pub device: Option<String>,
    /// Echo identifier of a raw socket. A ping socket is given another one by the kernel.
    pub id: u16,
    /// Which kinds may be tried.
    pub choice: SocketChoice,
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Neither kind is allowed.
    #[error(
        "no permission to send {family} echo requests: give CAP_NET_RAW, or put the group into \
         net.ipv4.ping_group_range of this network namespace (raw socket: {raw}; ping socket: {ping})"
    )]
    NotPermitted {
        /// Family of the destination.
        family: IpFamily,
        /// Why no raw socket; "not tried" where the choice forbade it.
        raw: String,
        /// Why no ping socket.
        ping: String,
    },
    /// The kernel has this family switched off or left out.
    #[error("{family} is not available in this network namespace")]
    FamilyUnavailable {
        /// Family of the destination.
        family: IpFamily,
    },
    /// There is no link with that name.
    #[error("bind to link {device}: no such link in this network namespace")]
    NoSuchDevice {
        /// Its name.
        device: String,
    },
    /// The source address is not one of ours, or of the other family.
    #[error("send from {address}: it is no {family} address of this network namespace")]
    SourceNotLocal {
        /// The source that was asked for.
        address: IpAddr,
        /// Family of the destination.
        family: IpFamily,
    },
    /// Anything else.
    #[error("{what} for {destination}")]
    Failed {
        /// What was attempted.
        what: &'static str,
        /// Address to probe.
        destination: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What became of a packet that was given to [`IcmpSocket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it. It may still be lost on this host.
    Taken,
    /// Larger than the link's MTU: it was not sent.
    TooLarge {
        /// MTU of that link, where the kernel told it.
        device_mtu: Option<u32>,
    },
    /// The send buffer is full: wait until the socket is writable and try again.
    Later,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who sent it.
    pub from: IpAddr,
    /// Its length in the caller's buffer. On a raw IPv4 socket it begins with the IP header, else with the ICMP
    /// header ([`IcmpSocket::has_ip_header`]).
    pub length: usize,
}

/// One ICMP socket for one destination. Never blocks.
#[derive(Debug)]
pub struct IcmpSocket {
    socket: Socket,
    kind: SocketKind,
    family: IpFamily,
    destination: SocketAddr,
    id: u16,
    hop_limit: Option<u8>,
    /// Taken from the error queue while a packet was being sent, not yet handed out.
    errors: VecDeque<IcmpError>,
}

impl IcmpSocket {
    /// Opens the best socket that is allowed, in the network namespace of the calling thread.
    pub fn open(config: &SocketConfig) -> Result<Self, SocketError> {
        open::open(config)
    }

    /// How this socket came by its right to send.
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Identifier that the echo requests of this socket carry and its replies are found by.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// Whether what [`Self::receive`] yields begins with an IP header.
    pub fn has_ip_header(&self) -> bool {
        match (self.kind, self.family) {
            (SocketKind::Raw, IpFamily::V4) => true,
            (SocketKind::Raw, IpFamily::V6) | (SocketKind::Ping, IpFamily::V4 | IpFamily::V6) => false,
        }
    }

    /// Sends one ICMP message, unfragmented, with this TTL or hop limit (`None`: the system's default).
    ///
    /// Errors are those of this packet. One that an *earlier* packet left on the socket makes the kernel refuse
    /// the next send (`sock_alloc_send_skb`): it is put aside for [`Self::receive_error`], and the packet is sent.
    pub fn send(&mut self, message: &[u8], hop_limit: Option<u8>) -> io::Result<Sent> {
        self.set_hop_limit(hop_limit)?;
        let mut stored = false;
        for _ in 0..STORED_ERRORS {
            let errno = match sendto(&self.socket, message, SendFlags::DONTWAIT, &self.destination) {
                // A full device queue drops it: a loss like any other.
                Ok(_) | Err(Errno::NOBUFS) => return Ok(Sent::Taken),
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(Sent::Later),
                Err(errno) => errno,
            };
            match self.kind {
                SocketKind::Raw if errno == Errno::MSGSIZE => {
                    return Ok(Sent::TooLarge { device_mtu: self.ask_device_mtu(message) });
                }
                SocketKind::Raw => return Err(errno.into()),
                SocketKind::Ping => {}
            }
            let drained = self.drain_error_queue()?;
            if let Some(mtu) = drained.local_limit {
                return Ok(Sent::TooLarge { device_mtu: Some(mtu) });
            }
            // Returning the stored error has cleared it. The second time without a new one it is this packet's.
            if stored && drained.icmp == 0 {
                return Err(errno.into());
            }
            stored = true;
        }
        Ok(Sent::Later)
    }

    /// Takes one received packet into `buffer`; `None` when there is none.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Received>> {
        for _ in 0..STORED_ERRORS {
            match recvfrom(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _, from)) => {
                    let from = from.and_then(|from| SocketAddr::try_from(from).ok());
                    let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.ip());
                    return Ok(Some(Received { from, length }));
                }
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                // A stored error; that was it, its cause is in the error queue.
                Err(errno) => match self.kind {
                    SocketKind::Ping => {}
                    SocketKind::Raw => return Err(errno.into()),
                },
            }
        }
        Ok(None)
    }

    /// Takes one ICMP error from the error queue; `None` when there is none, which on a raw socket is always.
    pub fn receive_error(&mut self) -> io::Result<Option<IcmpError>> {
        match self.kind {
            SocketKind::Raw => {}
            SocketKind::Ping => {
                self.drain_error_queue()?;
            }
        }
        Ok(self.errors.pop_front())
    }

    fn set_hop_limit(&mut self, hop_limit: Option<u8>) -> io::Result<()> {
        if self.hop_limit == hop_limit {
            return Ok(());
        }
        match self.family {
            // -1 restores the default (`do_ip_setsockopt`, IP_TTL).
            IpFamily::V4 => set_ip_ttl(&self.socket, hop_limit.map_or(u32::MAX, u32::from))?,
            IpFamily::V6 => set_ipv6_unicast_hops(&self.socket, hop_limit)?,
        }
        self.hop_limit = hop_limit;
        Ok(())
    }

    fn drain_error_queue(&mut self) -> io::Result<Drained> {
        let mut drained = Drained::default();
        for _ in 0..STORED_ERRORS {
            match error_queue::take(self.socket.as_raw_fd())? {
                Some(Entry::Icmp(error)) => {
                    drained.icmp += 1;
                    self.errors.push_back(error);
                }
                Some(Entry::LocalLimit { mtu }) => drained.local_limit = Some(mtu),
                Some(Entry::Other) => {}
                None => break,
            }
        }
        Ok(drained)
    }

    /// MTU of the link, by asking for the refusal of `message` once more, with the error queue open: the kernel
    /// puts it there (`ip_local_error`). It is open only now, so that no PTB can store an error on a raw socket.
    fn ask_device_mtu(&mut self, message: &[u8]) -> Option<u32> {
        open::set_error_queue(&self.socket, self.family, true).ok()?;
        let refused = sendto(&self.socket, message, SendFlags::DONTWAIT, &self.destination);
        let drained = self.drain_error_queue().unwrap_or_default();
        // Quotes in here come as packets too, and those count.
        self.errors.clear();
        // Purges the queue, but not a stored error.
        open::set_error_queue(&self.socket, self.family, false).ok()?;
        let _ = self.socket.take_error();
        match refused {
            Err(Errno::MSGSIZE) => drained.local_limit,
            // The link has grown meanwhile, and the packet is on its way: no limit to tell.
            Ok(_) | Err(_) => None,
        }
    }
}

/// What [`IcmpSocket::drain_error_queue`] found.
#[derive(Clone, Copy, Debug, Default)]
struct Drained {
    /// ICMP errors put aside.
    icmp: u32,
    /// MTU of the link that the last packet was too large for.
    local_limit: Option<u32>,
}

impl AsFd for IcmpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for IcmpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
