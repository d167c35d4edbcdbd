//! The number of a network namespace. Inodes are given again as soon as their namespace has ended; this is not, until
//! the next boot.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::net::UnixDatagram;

use uapi::c::{ENOPROTOOPT, SO_NETNS_COOKIE, SOL_SOCKET};

/// That of the calling thread's namespace, as [`of_socket`].
pub fn own() -> io::Result<Option<u64>> {
    of_socket(&UnixDatagram::unbound()?)
}

/// That of the namespace that a socket is of; `None` where the kernel gives none (before Linux 5.14).
pub fn of_socket(socket: &impl AsFd) -> io::Result<Option<u64>> {
    let mut cookie = 0_u64;
    match uapi::getsockopt(socket.as_fd().as_raw_fd(), SOL_SOCKET, SO_NETNS_COOKIE, &mut cookie) {
        Ok(_) => Ok(Some(cookie)),
        Err(unknown) if unknown.0 == ENOPROTOOPT => Ok(None),
        Err(error) => Err(error.into()),
    }
}
