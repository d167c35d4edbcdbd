//! Hears that somebody touches the clamp of a namespace: `nft flush ruleset`, a firewall that starts anew.

use std::io;
use std::os::fd::AsFd as _;

use netlink_sys::Socket;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, Ready};

use super::clamp::{ClampError, is_about};
use super::nfnetlink::{NetfilterSocket, heard};
use super::readiness::register;

/// As much as the kernel sends at once.
const RECEIVE_BYTES: usize = 32 * 1024;

/// The socket before anybody listens. It is of the namespace in which it was opened, and that is there as long.
#[derive(Debug)]
pub struct ClampSocket(Socket);

impl ClampSocket {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, ClampError> {
        NetfilterSocket::hear().map(Self).map_err(ClampError::from_watch)
    }
}

/// Who touches the clamp of one namespace, ourselves too.
#[derive(Debug)]
pub struct ClampWatch(AsyncFd<Socket>);

impl ClampWatch {
    /// Listens. Panics outside of a tokio runtime.
    pub fn listen(socket: ClampSocket) -> io::Result<Self> {
        Ok(Self(register(socket.0, Interest::READABLE | Interest::ERROR)?))
    }

    /// Waits until the clamp may have changed. Other tables wake nobody but this.
    pub async fn touched(&mut self) -> io::Result<()> {
        loop {
            if self.drain()? {
                return Ok(());
            }
            let mut guard = self.0.ready_mut(Interest::READABLE | Interest::ERROR).await?;
            guard.clear_ready_matching(Ready::READABLE | Ready::ERROR);
        }
    }

    /// Takes what is there; whether any of it, or of what was lost, is about the clamp.
    fn drain(&self) -> io::Result<bool> {
        let mut is_touched = false;
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            match recv(self.0.get_ref().as_fd(), &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((received, _)) => {
                    let datagram = &buffer[..received.min(RECEIVE_BYTES)];
                    is_touched |= heard(datagram).any(|attributes| is_about(&attributes));
                }
                Err(Errno::AGAIN) => return Ok(is_touched),
                Err(Errno::NOBUFS) => is_touched = true,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
