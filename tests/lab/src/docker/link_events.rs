//! What the kernel tells of a namespace's links, in its order, each with when it was heard: first what is there.

use std::{
    io::{self, PipeWriter},
    os::fd::AsFd as _,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use super::{NetnsLab, Place, process::wait_readable};

/// `RTNLGRP_LINK`.
const LINKS: u32 = 1;
/// Room for storms of thousands.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;
/// No event of a link is as large.
const EVENT_BYTES: usize = 64 << 10;
/// Links that are silent for so long are waited for in vain.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happened to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Nothing: it was there before.
    WasThere,
    /// It was made, or is another way now.
    Changed,
    /// It ended.
    Ended,
    /// It moved into another namespace.
    Moved,
}

/// A link, and what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// When it was heard.
    pub at: Instant,
    /// What.
    pub happened: Happened,
    /// Its index.
    pub ifindex: u32,
    /// Its name.
    pub name: String,
    /// Whether it is one end of a veth.
    pub is_veth: bool,
    /// Its MTU.
    pub mtu: u32,
    /// The index of a veth's other end, in the namespace that has that.
    pub linked: Option<u32>,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
}

impl LinkEvent {
    /// Whether it is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self.happened, Happened::Ended | Happened::Moved)
    }

    /// Whether that is because it moved.
    pub fn is_moved(&self) -> bool {
        self.happened == Happened::Moved
    }
}

/// Links of one namespace, as they are when this is opened and as they change from then on.
#[derive(Debug)]
pub struct LinkEvents {
    heard: Mutex<Receiver<LinkEvent>>,
    /// Closed, it ends the thread.
    lifeline: Option<PipeWriter>,
    hearing: Option<JoinHandle<()>>,
}

impl LinkEvents {
    /// Of `place`.
    pub fn of<'a>(lab: &NetnsLab, place: impl Into<Place<'a>>) -> Result<Self> {
        let socket = lab.enter(place, open)?.context("hear of links")?;
        let (closed, lifeline) = io::pipe().context("make a pipe")?;
        let (sender, heard) = channel();
        let hearing = thread::Builder::new().name("lab-links".into()).spawn(move || {
            while let Ok(Some(0)) = wait_readable(&[socket.as_fd(), closed.as_fd()], None) {
                if !take(&socket, &sender) {
                    break; // who waits is told that nothing comes any more
                }
            }
        })?;
        Ok(Self { heard: Mutex::new(heard), lifeline: Some(lifeline), hearing: Some(hearing) })
    }

    /// All until the first of which `last` is true, that included.
    pub fn until(&self, mut last: impl FnMut(&LinkEvent) -> bool) -> Result<Vec<LinkEvent>> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = Vec::new();
        loop {
            match heard.recv_timeout(PATIENCE) {
                Ok(event) => {
                    let is_last = last(&event);
                    events.push(event);
                    if is_last {
                        return Ok(events);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("events of links were lost after {events:#?}"),
                Err(RecvTimeoutError::Timeout) => bail!("no event for {PATIENCE:?} after {events:#?}"),
            }
        }
    }

    /// All that were heard so far and not taken yet.
    pub fn so_far(&self) -> Vec<LinkEvent> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect()
    }
}

impl Drop for LinkEvents {
    fn drop(&mut self) {
        self.lifeline.take();
        if let Some(hearing) = self.hearing.take() {
            drop(hearing.join());
        }
    }
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES)?;
    socket.add_membership(LINKS)?;
    // Asked for on the same socket after it has joined, so that nothing comes in between.
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// One datagram; `false` if that cannot be, or nobody listens.
#[expect(clippy::disallowed_methods, reason = "an observer's clock")]
#[expect(clippy::wildcard_enum_match_arm, reason = "of all messages, two are of links")]
fn take(socket: &Socket, sender: &Sender<LinkEvent>) -> bool {
    let mut datagram = Vec::with_capacity(EVENT_BYTES);
    if socket.recv(&mut datagram, 0).is_err() {
        return false;
    }
    let at = Instant::now();
    let mut left = &datagram[..];
    while !left.is_empty() {
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(left) else { return false };
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        left = left.get(length.next_multiple_of(4)..).unwrap_or_default();
        let told = match message.header.flags & NLM_F_MULTIPART {
            0 => Happened::Changed,
            _ => Happened::WasThere,
        };
        let event = match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => event(at, told, link),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelLink(link)) => {
                event(at, Happened::Ended, link)
            }
            _ => None,
        };
        if event.is_some_and(|event| sender.send(event).is_err()) {
            return false;
        }
    }
    true
}

/// `None` for what a bridge tells of its ports: the link has its own event.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all that is known of a link, this is asked")]
fn event(at: Instant, mut happened: Happened, link: LinkMessage) -> Option<LinkEvent> {
    if link.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let ifindex = link.header.index;
    let (mut name, mut mtu, mut linked, mut master) = (None, None, None, None);
    let mut is_veth = false;
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(it) => name = Some(it),
            LinkAttribute::Mtu(it) => mtu = Some(it),
            LinkAttribute::Link(it) => linked = Some(it),
            LinkAttribute::Controller(it) => master = Some(it),
            LinkAttribute::LinkInfo(infos) => is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
            LinkAttribute::NewNetnsId(_) | LinkAttribute::NewIfIndex(_) => happened = Happened::Moved,
            _ => {}
        }
    }
    Some(LinkEvent { at, happened, ifindex, name: name?, is_veth, mtu: mtu?, linked, master })
}
