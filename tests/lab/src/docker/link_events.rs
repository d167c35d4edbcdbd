//! What the kernel tells of a namespace's links, in its order, each with when it was heard.

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
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkEvent {
    /// When it was heard.
    pub at: Instant,
    /// Whether it is there no more. One that only moved elsewhere goes as well.
    pub is_gone: bool,
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
    /// Whether it is gone because it moved into another namespace.
    pub is_moved: bool,
}

/// Links of one namespace, from the moment on at which this was opened.
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
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&datagram) else { return false };
    let NetlinkPayload::InnerMessage(message) = message.payload else { return false };
    let event = match message {
        RouteNetlinkMessage::NewLink(link) => event(at, false, link),
        RouteNetlinkMessage::DelLink(link) => event(at, true, link),
        _ => None,
    };
    event.is_none_or(|event| sender.send(event).is_ok())
}

/// `None` for what a bridge tells of its ports: the link has its own event.
#[expect(clippy::wildcard_enum_match_arm, reason = "of all that is known of a link, this is asked")]
fn event(at: Instant, is_gone: bool, link: LinkMessage) -> Option<LinkEvent> {
    if link.header.interface_family == AddressFamily::Bridge {
        return None;
    }
    let ifindex = link.header.index;
    let (mut name, mut mtu, mut linked, mut is_veth, mut is_moved) = (None, None, None, false, false);
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(it) => name = Some(it),
            LinkAttribute::Mtu(it) => mtu = Some(it),
            LinkAttribute::Link(it) => linked = Some(it),
            LinkAttribute::LinkInfo(infos) => is_veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
            LinkAttribute::NewNetnsId(_) | LinkAttribute::NewIfIndex(_) => is_moved = true,
            _ => {}
        }
    }
    Some(LinkEvent { at, is_gone, ifindex, name: name?, is_veth, mtu: mtu?, linked, is_moved })
}
