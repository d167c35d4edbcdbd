//! Hears that somebody touches the clamp of a namespace: `nft flush ruleset`, a firewall that starts anew.

use std::io;

use netlink_sys::Socket;

use super::clamp::{ClampError, is_about};
use super::listener::{Heard, Listener};
use super::netlink::RECEIVE_BYTES;
use super::nfnetlink::{NetfilterSocket, attributes_of_each};

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
pub struct ClampWatch(Listener);

impl ClampWatch {
    /// Listens. Panics outside of a tokio runtime.
    pub fn listen(socket: ClampSocket) -> io::Result<Self> {
        Ok(Self(Listener::new(socket.0, RECEIVE_BYTES)?))
    }

    /// Waits until the clamp may have changed. Other tables wake nobody but this.
    pub async fn touched(&mut self) -> io::Result<()> {
        let each = |heard: Heard<'_>| {
            Ok(match heard {
                Heard::Datagram { bytes, .. } => {
                    attributes_of_each(bytes).any(|attributes| is_about(&attributes))
                }
                Heard::Overrun => true,
            })
        };
        self.0.hear(each).await
    }
}
