//! Frames of one link, in and out: a packet socket without any protocol above it.
//!
//! No tun device: a veth pair gives the client an Ethernet link, which some of the tools that are compared need.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt,
    socket,
};

/// Ethernet header without a VLAN tag.
pub(super) const ETHERNET_BYTES: usize = 14;

/// A whole jumbo flight may wait here while the router's thread does not run.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// `PACKET_OUTGOING` in `linux/if_packet.h`: sent by this host, not received.
const OUTGOING: u8 = 4;

/// A link of the calling thread's namespace.
#[derive(Debug)]
pub(super) struct Port(OwnedFd);

impl Port {
    /// Opens the link named `device`, which should be down still: until it is bound, the socket hears all links.
    pub(super) fn open(device: &str) -> Result<Self> {
        let link = getifaddrs()?
            .filter(|interface| interface.interface_name == device)
            .find_map(|interface| interface.address.and_then(|address| address.as_link_addr().copied()))
            .with_context(|| format!("find link {device}"))?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll)
            .context("open a packet socket: needs CAP_NET_RAW")?;
        setsockopt(&fd, RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
        bind(fd.as_raw_fd(), &link).with_context(|| format!("bind to link {device}"))?;
        Ok(Self(fd))
    }

    /// Takes one received frame into `buffer` and tells its length; `None` when there is none.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        loop {
            match recvfrom::<LinkAddr>(self.0.as_raw_fd(), buffer) {
                Ok((_, Some(from))) if from.pkttype() == OUTGOING => {}
                Ok((length, _)) => return Ok(Some(length)),
                Err(Errno::EAGAIN) => return Ok(None),
                // Reported once when the link goes up or down.
                Err(Errno::EINTR | Errno::ENETDOWN) => {}
                Err(error) => return Err(error).context("receive a frame"),
            }
        }
    }

    /// Sends one frame. What the link does not take is lost, as on any link.
    pub(super) fn send(&self, frame: &[u8]) -> Result<()> {
        match send(self.0.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(_) | Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENETDOWN | Errno::EMSGSIZE) => Ok(()),
            Err(error) => Err(error).context("send a frame"),
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
