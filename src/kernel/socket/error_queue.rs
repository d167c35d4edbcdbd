//! The error queue of a socket (ip(7), `IP_RECVERR`): ICMP errors that the kernel matched to what the socket sent.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// More than the IP header, ICMP header and token that a quote is recognised by.
const QUOTE_BYTES: usize = 256;

/// An ICMP error about a packet of this socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Who sent it, where the kernel tells.
    pub from: Option<IpAddr>,
    /// Where the quoted packet was sent to.
    pub destination: Option<IpAddr>,
    /// ICMP type.
    pub kind: u8,
    /// ICMP code.
    pub code: u8,
    /// For a PTB its MTU, else 0.
    pub info: u32,
    /// The quoted packet from its ICMP header on, cut off at 256 bytes.
    pub quoted: Vec<u8>,
}

/// One entry of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// From the network.
    Icmp(IcmpError),
    /// The packet just sent was larger than its link's MTU (`ip_local_error`, `ipv6_local_error`).
    LocalLimit {
        /// That MTU, in bytes.
        mtu: u32,
    },
    /// Time stamps and the like, which are not asked for.
    Other,
}

/// Takes one entry; `None` when the queue is empty.
pub(super) fn take(fd: RawFd) -> io::Result<Option<Entry>> {
    let mut quoted = [0; QUOTE_BYTES];
    let mut iov = [IoSliceMut::new(&mut quoted)];
    // One sock_extended_err and the offender's address behind it.
    let mut control = nix::cmsg_space!(
        libc::sock_extended_err,
        libc::sockaddr_in6,
        libc::sock_extended_err,
        libc::sockaddr_in6
    );
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = match recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control), flags) {
        Ok(message) => message,
        Err(Errno::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let length = message.bytes;
    let destination = message.address.as_ref().and_then(address);
    let mut found = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::Ipv4RecvErr(error, from) = control {
            found = Some((error, from.map(|from| Ipv4Addr::from(from.sin_addr.s_addr.to_ne_bytes()).into())));
        } else if let ControlMessageOwned::Ipv6RecvErr(error, from) = control {
            found = Some((error, from.map(|from| Ipv6Addr::from(from.sin6_addr.s6_addr).into())));
        }
    }
    let Some((error, from)) = found else { return Ok(Some(Entry::Other)) };
    Ok(Some(match error.ee_origin {
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Entry::Icmp(IcmpError {
            from,
            destination,
            kind: error.ee_type,
            code: error.ee_code,
            info: error.ee_info,
            quoted: quoted[..length.min(QUOTE_BYTES)].to_vec(),
        }),
        libc::SO_EE_ORIGIN_LOCAL if error.ee_errno == libc::EMSGSIZE.unsigned_abs() => {
            Entry::LocalLimit { mtu: error.ee_info }
        }
        _ => Entry::Other,
    }))
}

fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| address.ip().into()))
}
