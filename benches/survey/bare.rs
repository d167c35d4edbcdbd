//! The dumps that a survey cannot do without, and nothing else: what the kernel answers is thrown away unparsed.
//!
//! The same requests as the survey's, by one thread and with its buffer size: links of each namespace by its nsid,
//! and, in each namespace, routes of both families and what was learned about path MTUs. One thing comes for free
//! here that a survey must find out: which nsids there are. The kernel lists those that an earlier survey gave.

use std::{
    fs::{self, File},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, Result, ensure};
use netlink_packet_core::NetlinkBuffer;
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const RECEIVE_BYTES: usize = 32 * 1024;

// `include/uapi/linux/netlink.h`
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const MESSAGE_HEADER_BYTES: usize = 16;
// `include/uapi/linux/rtnetlink.h`
const RTM_GETLINK: u16 = 18;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNSID: u16 = 90;
const RTM_F_CLONED: u32 = 0x200;
const RTA_TABLE: u16 = 15;
const RT_TABLE_MAIN: u8 = 254;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
// `include/uapi/linux/if_link.h`
const IFLA_TARGET_NETNSID: u16 = 46;
// `include/uapi/linux/net_namespace.h`
const NETNSA_NSID: u16 = 1;

/// Bytes that the kernel answered with.
pub(crate) fn dump_everything() -> Result<usize> {
    let mut buffer = vec![0; RECEIVE_BYTES];
    let mut nsids = Vec::new();
    let mut dumps = Dumps::open(&mut buffer)?;
    dumps.run(RTM_GETNSID, &[0; 4], |message| nsids.extend(nsid(message)))?;
    dumps.links(None)?;
    dumps.routes()?;
    for nsid in nsids {
        dumps.links(Some(nsid))?;
    }
    let mut bytes = dumps.bytes;
    for entry in fs::read_dir("/run/netns").context("list /run/netns")? {
        let path = entry.context("list /run/netns")?.path();
        join(&File::open(&path).with_context(|| format!("open {}", path.display()))?)?;
        let mut dumps = Dumps::open(&mut buffer)?;
        dumps.routes()?;
        bytes += dumps.bytes;
    }
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "this thread does nothing else until the process ends")]
fn join(netns: &File) -> Result<()> {
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).context("join a namespace")
}

struct Dumps<'a> {
    socket: Socket,
    buffer: &'a mut [u8],
    bytes: usize,
}

impl<'a> Dumps<'a> {
    fn open(buffer: &'a mut [u8]) -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).context("open a socket")?;
        socket.bind_auto().context("bind a socket")?;
        socket.set_netlink_get_strict_chk(true).context("let the kernel filter")?;
        Ok(Self { socket, buffer, bytes: 0 })
    }

    fn links(&mut self, nsid: Option<i32>) -> Result<()> {
        let mut request = vec![0; 16]; // struct ifinfomsg
        if let Some(nsid) = nsid {
            push(&mut request, IFLA_TARGET_NETNSID, nsid.to_ne_bytes());
        }
        self.run(RTM_GETLINK, &request, |_| {})
    }

    fn routes(&mut self) -> Result<()> {
        for family in [AF_INET, AF_INET6] {
            let mut request = vec![0; 12]; // struct rtmsg
            request[0] = family;
            let mut learned = request.clone();
            request[4] = RT_TABLE_MAIN;
            push(&mut request, RTA_TABLE, u32::from(RT_TABLE_MAIN).to_ne_bytes());
            self.run(RTM_GETROUTE, &request, |_| {})?;
            learned[8..12].copy_from_slice(&RTM_F_CLONED.to_ne_bytes());
            self.run(RTM_GETROUTE, &learned, |_| {})?;
        }
        Ok(())
    }

    /// Hands each message, header included, to `each`.
    fn run(&mut self, kind: u16, payload: &[u8], mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut packet = Vec::with_capacity(MESSAGE_HEADER_BYTES + payload.len());
        packet.extend(u32::try_from(MESSAGE_HEADER_BYTES + payload.len())?.to_ne_bytes());
        packet.extend(kind.to_ne_bytes());
        packet.extend(NLM_F_REQUEST_DUMP.to_ne_bytes());
        packet.extend([0; 8]); // sequence number and port
        packet.extend(payload);
        self.socket.send(&packet, 0).context("send a request")?;
        loop {
            let received = self.socket.recv(&mut &mut *self.buffer, 0).context("receive a dump")?;
            self.bytes += received;
            let mut rest = &self.buffer[..received];
            // Only the headers: the end of the dump is a message too.
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest)?;
                match message.message_type() {
                    NLMSG_DONE => {
                        let errno =
                            message.payload().first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                        ensure!(errno == 0, "request {kind}: {}", std::io::Error::from_raw_os_error(-errno));
                        return Ok(());
                    }
                    NLMSG_ERROR => anyhow::bail!("request {kind}: refused with {:?}", message.payload()),
                    _ => {}
                }
                let (message, others) = rest.split_at(usize::try_from(message.length())?.next_multiple_of(4));
                each(message);
                rest = others;
            }
        }
    }
}

fn push(packet: &mut Vec<u8>, kind: u16, value: [u8; 4]) {
    packet.extend(8_u16.to_ne_bytes());
    packet.extend(kind.to_ne_bytes());
    packet.extend(value);
}

/// `NETNSA_NSID` comes first after the header and a `struct rtgenmsg`.
fn nsid(message: &[u8]) -> Option<i32> {
    let attribute = message.get(MESSAGE_HEADER_BYTES + 4..)?;
    let kind = u16::from_ne_bytes(*attribute.get(2..)?.first_chunk()?);
    (kind == NETNSA_NSID).then_some(i32::from_ne_bytes(*attribute.get(4..)?.first_chunk()?))
}
