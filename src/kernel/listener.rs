//! Hears what a kernel tells on one netlink socket, some of it at a time.

use std::io::{self, IoSliceMut};
use std::os::fd::AsFd as _;

use netlink_sys::Socket;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};
use tokio::task::yield_now;

use super::readiness::register;

/// So much is heard before others get their turn.
const AT_ONCE: usize = 256;
/// An overrun alone wakes by an error condition, not by a readable one.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// As much of a datagram as there is room for.
    Datagram {
        bytes: &'a [u8],
        /// It came with the nsid of another namespace.
        from_other: bool,
    },
    /// Some were lost, all of them before this is told.
    Overrun,
}

/// Somebody who hears.
#[derive(Debug)]
pub(super) struct Listener {
    socket: AsyncFd<Socket>,
    room_bytes: usize,
    is_lossy: bool,
}

impl Listener {
    /// Of each datagram, it is interested in so much. Panics outside of a tokio runtime.
    pub(super) fn new(socket: Socket, room_bytes: usize) -> io::Result<Self> {
        Ok(Self { socket: register(socket, INTEREST)?, room_bytes, is_lossy: false })
    }

    pub(super) fn socket(&self) -> &Socket {
        self.socket.get_ref()
    }

    /// Waits until `each` has heard something that it says is worth it, and has it hear what else is there by then.
    /// Nothing is lost when this is dropped while it waits.
    pub(super) async fn hear(
        &mut self,
        mut each: impl FnMut(Heard<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        // Where something happens all the time, there is never anything to wait for.
        yield_now().await;
        loop {
            let (is_worth_it, is_empty) = self.drain(&mut each)?;
            if is_worth_it {
                return Ok(());
            }
            if is_empty {
                let mut guard = self.socket.ready_mut(INTEREST).await?;
                // Cleared before the reads that follow: what arrives from here on sets it again.
                guard.clear_ready_matching(Ready::READABLE | Ready::ERROR);
            } else {
                yield_now().await;
            }
        }
    }

    /// Whether anything was worth it, and whether nothing is left.
    ///
    /// From an overrun until the buffer was empty once, the kernel drops all events and says so only once
    /// (`netlink_overrun`, `netlink_rcv_wake` in `net/netlink/af_netlink.c`): so it is told when that is over.
    fn drain(&mut self, each: &mut impl FnMut(Heard<'_>) -> io::Result<bool>) -> io::Result<(bool, bool)> {
        let mut buffer = vec![0; self.room_bytes];
        let mut is_worth_it = false;
        for _ in 0..AT_ONCE {
            // The nsid is beside the datagram. That there is one is all we want, and with no room for it the kernel says
            // just that.
            let (mut room, mut no_control) = ([IoSliceMut::new(&mut buffer)], RecvAncillaryBuffer::default());
            match recvmsg(self.socket().as_fd(), &mut room, &mut no_control, RecvFlags::DONTWAIT) {
                Ok(received) => {
                    let from_other = received.flags.contains(ReturnFlags::CTRUNC);
                    let bytes = &buffer[..received.bytes.min(self.room_bytes)];
                    is_worth_it |= each(Heard::Datagram { bytes, from_other })?;
                }
                Err(Errno::AGAIN) => {
                    let is_overrun = std::mem::take(&mut self.is_lossy);
                    return Ok(((is_overrun && each(Heard::Overrun)?) || is_worth_it, true));
                }
                Err(Errno::NOBUFS) => self.is_lossy = true,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok((is_worth_it, false))
    }
}

#[cfg(test)]
mod tests;
