//! One request at a time on one rtnetlink socket: the kernel refuses a second dump while one runs (`EBUSY`).

use std::io;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_MULTIPART, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

/// Set in a dump's messages when something changed while it ran (`include/uapi/linux/netlink.h`).
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The kernel fills at most 32 KiB for one `recv` (`netlink_dump` in `net/netlink/af_netlink.c`).
pub(super) const RECEIVE_BYTES: usize = 32 * 1024;
/// A dump that was interrupted this often stands in a storm of changes; its last run is used as it is.
const DUMP_RUNS: u8 = 5;

/// A request to the kernel that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// No socket.
    #[error("open an rtnetlink socket")]
    Open(#[source] io::Error),
    /// The socket broke.
    #[error("{request} over rtnetlink")]
    Exchange {
        /// What was asked.
        request: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("{request}: refused by the kernel")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The kernel's answer is not what its headers promise.
    #[error("{request}: the kernel's answer cannot be read")]
    Malformed {
        /// What was asked.
        request: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
}

impl NetlinkError {
    /// Whether a capability is missing: the kernel answers `EPERM` or `EACCES`.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Refused { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            Self::Open(_) | Self::Exchange { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether what was asked for does not exist: a namespace that never had a route has no table of them
    /// (`ENOENT`), and a kernel without IPv6 has none at all.
    pub fn is_absence(&self) -> bool {
        let absent = [Errno::NOENT, Errno::AFNOSUPPORT, Errno::OPNOTSUPP];
        match self {
            Self::Refused { source, .. } => {
                Errno::from_io_error(source).is_some_and(|errno| absent.contains(&errno))
            }
            Self::Open(_) | Self::Exchange { .. } | Self::Malformed { .. } => false,
        }
    }

    /// Whether the link that was asked for does not exist (any more): `ENODEV`.
    pub fn is_no_device(&self) -> bool {
        match self {
            Self::Refused { source, .. } => Errno::from_io_error(source) == Some(Errno::NODEV),
            Self::Open(_) | Self::Exchange { .. } | Self::Malformed { .. } => false,
        }
    }
}

/// An rtnetlink socket in the namespace of the thread that opened it.
pub struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl RouteSocket {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(NetlinkError::Open)?;
        socket.bind_auto().map_err(NetlinkError::Open)?;
        // Without it the kernel ignores the filters of a route dump. Kernels before 4.20 do not know it.
        let _unfiltered_on_old_kernels = socket.set_netlink_get_strict_chk(true);
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES].into_boxed_slice() })
    }

    /// Hands each message of a dump to `each`, then, if the kernel had to interrupt it, once more to a fresh value.
    pub(super) fn dump<T: Default>(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        mut each: impl FnMut(&mut T, &[u8]) -> Result<(), DecodeError>,
    ) -> Result<T, NetlinkError> {
        let packet = self.packet(message, NLM_F_REQUEST | NLM_F_DUMP);
        let mut runs = 0;
        loop {
            runs += 1;
            let mut collected = T::default();
            let interrupted = self.exchange(request, &packet, |payload| each(&mut collected, payload))?;
            if !interrupted || runs == DUMP_RUNS {
                return Ok(collected);
            }
        }
    }

    /// Asks for one message, and hands it to `read`; `T::default()` when the kernel only acknowledges.
    pub(super) fn ask<T: Default>(
        &mut self,
        request: &'static str,
        message: RouteNetlinkMessage,
        flags: u16,
        mut read: impl FnMut(&mut T, &[u8]) -> Result<(), DecodeError>,
    ) -> Result<T, NetlinkError> {
        let packet = self.packet(message, NLM_F_REQUEST | flags);
        let mut answer = T::default();
        self.exchange(request, &packet, |payload| read(&mut answer, payload))?;
        Ok(answer)
    }

    fn packet(&mut self, message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut packet = vec![0; message.buffer_len()];
        message.serialize(&mut packet);
        packet
    }

    /// Sends, and receives until the kernel is done, even if `each` could not read all of it. Tells whether a dump was
    /// interrupted by a change.
    fn exchange(
        &mut self,
        request: &'static str,
        packet: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<bool, NetlinkError> {
        let failed = |source| NetlinkError::Exchange { request, source };
        let malformed = |source| NetlinkError::Malformed { request, source };
        self.socket.send(packet, 0).map_err(failed)?;
        let mut interrupted = false;
        let mut read = Ok(());
        loop {
            let received = self.socket.recv(&mut &mut self.buffer[..], 0).map_err(failed)?;
            let (mut answered, mut dumping) = (false, false);
            for message in Messages(&self.buffer[..received]) {
                let message = message.map_err(malformed)?;
                if message.sequence_number() != self.sequence {
                    continue; // the tail of an exchange that was given up
                }
                answered = true;
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_DONE | NLMSG_ERROR => {
                        let refused = |source| NetlinkError::Refused { request, source };
                        return verdict(message.payload()).map_err(refused).and(read).map(|()| interrupted);
                    }
                    _ => read = read.and_then(|()| each(message.payload()).map_err(malformed)),
                }
                dumping |= message.flags() & NLM_F_MULTIPART != 0;
            }
            if answered && !dumping {
                return read.map(|()| interrupted);
            }
        }
    }
}

/// The messages of one datagram.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<NetlinkBuffer<&'a [u8]>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = NetlinkBuffer::new_checked(self.0);
        let length =
            message.as_ref().map_or(usize::MAX, |it| usize::try_from(it.length()).unwrap_or(usize::MAX));
        self.0 =
            length.checked_next_multiple_of(4).and_then(|length| self.0.get(length..)).unwrap_or_default();
        Some(message)
    }
}

/// What an `NLMSG_ERROR` says and, easily overlooked, an `NLMSG_DONE`: both begin with 0 or a negated errno.
pub(super) fn verdict(payload: &[u8]) -> io::Result<()> {
    let code = payload.first_chunk::<4>().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
}
