//! What the kernel says when a link, an address, a route or a namespace changes: heard, counted, not understood.
//!
//! One rtnetlink socket hears every namespace that has an nsid in its own (`NETLINK_LISTEN_ALL_NSID`); the survey
//! gives one to each before it reads it. What an event says is not used: its link indices and nsids are those of
//! the namespace that sent it. It only says that it is time to look again.

mod message;

use std::io;

use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, socket_recv_buffer_size,
};

use super::capability::Capability;
use super::listener::{Heard, Listener};
use message::{HEAD_BYTES, Kind, Scope};

/// `RTNLGRP_*` (`include/uapi/linux/rtnetlink.h`).
const GROUPS: [(&str, u32); 6] = [
    ("link", 1),
    ("IPv4 address", 5),
    ("IPv4 route", 7),
    ("IPv6 address", 9),
    ("IPv6 route", 11),
    ("nsid", 28),
];

/// Room for some 7,000 events of links at 2.3 KB each, since the kernel doubles it: more than a busy node says during
/// one look. The memory is taken only while events wait.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// What happened since the last time, by the kind of thing that changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Events of links: made, changed, moved, gone.
    pub links: u32,
    /// Events of addresses, by which the kernel also drops routes without a word.
    pub addresses: u32,
    /// Events of unicast routes of the main tables.
    pub routes: u32,
    /// Namespaces that lost their id because they are gone.
    pub nsids: u32,
    /// Events were lost: what has changed is not known. All that were lost happened before this was returned.
    pub overrun: bool,
}

impl Changes {
    /// How many events, lost ones not counted.
    pub fn count(&self) -> u32 {
        self.links.saturating_add(self.addresses).saturating_add(self.routes).saturating_add(self.nsids)
    }

    /// Whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && !self.overrun
    }

    fn add(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Link => &mut self.links,
            Kind::Address => &mut self.addresses,
            Kind::Route => &mut self.routes,
            Kind::Nsid => &mut self.nsids,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Something that a watch does not hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// Events of other namespaces: `CAP_NET_BROADCAST` is missing, or the kernel is older than 4.2.
    OtherNamespaces,
    /// Bursts of events over this many bytes of socket memory: `CAP_NET_ADMIN` is missing.
    Bursts {
        /// The receive buffer as the kernel counts it, bookkeeping included.
        room_bytes: usize,
    },
}

/// There is no watch, or no more.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No socket.
    #[error("open an rtnetlink socket for events")]
    Open(#[source] io::Error),
    /// A group that the kernel does not have.
    #[error("join the rtnetlink group for {group} events")]
    Join {
        /// Whose events.
        group: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The socket broke.
    #[error("receive rtnetlink events: open the watch anew, and survey after that")]
    Receive(#[source] io::Error),
}

/// Events of the namespace in which it was opened, and of all others that are known there.
///
/// Open it before the first survey: what changes after that is heard, what changed before is seen.
#[derive(Debug)]
pub struct Watch {
    listener: Listener,
    scope: Scope,
}

impl Watch {
    /// Opens it in the calling thread's network namespace. Panics outside of a tokio runtime.
    pub fn open() -> Result<(Self, Vec<Unheard>), WatchError> {
        Self::open_with_buffer(RECEIVE_BUFFER_BYTES)
    }

    /// As [`Self::open`], with room for `receive_buffer_bytes` of waiting events. The kernel doubles it, to pay for
    /// its bookkeeping, and has a minimum of its own.
    pub fn open_with_buffer(receive_buffer_bytes: usize) -> Result<(Self, Vec<Unheard>), WatchError> {
        let mut unheard = Vec::new();
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(WatchError::Open)?;
        socket.bind_auto().map_err(WatchError::Open)?;
        let room_bytes = grow_receive_buffer(&socket, receive_buffer_bytes).map_err(WatchError::Open)?;
        if room_bytes < receive_buffer_bytes {
            unheard.push(Unheard::Bursts { room_bytes });
        }
        // Before the groups, so that the first event is heard like any other.
        match socket.set_listen_all_namespaces(true) {
            Ok(()) => {}
            Err(refused) => match Errno::from_io_error(&refused) {
                Some(Errno::PERM | Errno::NOPROTOOPT) => unheard.push(Unheard::OtherNamespaces),
                _ => return Err(WatchError::Open(refused)),
            },
        }
        for (group, number) in GROUPS {
            socket.add_membership(number).map_err(|source| WatchError::Join { group, source })?;
        }
        let others_routes = Capability::held().contains(&Capability::CapSysAdmin);
        let listener = Listener::new(socket, HEAD_BYTES).map_err(WatchError::Open)?;
        Ok((Self { listener, scope: Scope { others_routes } }, unheard))
    }

    /// Waits for something that may change a survey, and takes what is there by then. Nothing is lost when it is dropped
    /// while it waits.
    pub async fn next(&mut self) -> Result<Changes, WatchError> {
        let (mut changes, scope) = (Changes::default(), self.scope);
        let each = |heard: Heard<'_>| {
            match heard {
                Heard::Datagram { bytes, from_other } => {
                    if let Some(kind) = message::classify(bytes, from_other, scope) {
                        changes.add(kind);
                    }
                }
                Heard::Overrun => changes.overrun = true,
            }
            Ok(!changes.is_empty())
        };
        self.listener.hear(each).await.map_err(WatchError::Receive)?;
        Ok(changes)
    }
}

/// As large as asked for, if we may: beyond `net.core.rmem_max` it takes `CAP_NET_ADMIN`. Tells what it is now.
pub(super) fn grow_receive_buffer(socket: &Socket, bytes: usize) -> io::Result<usize> {
    if set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        set_socket_recv_buffer_size(socket, bytes)?;
    }
    Ok(socket_recv_buffer_size(socket)?)
}
