//! Opening: which kind, and the options that make it a probe's socket.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6DontFrag, Ipv6RecvErr};
use rustix::io::Errno;
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
    set_socket_recv_buffer_size_force,
};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, Socket, Type};

use super::{IcmpSocket, SocketChoice, SocketConfig, SocketError, SocketKind, filter};
use crate::domain::mtu::IpFamily;

/// Room for a flood between two reads, and for a whole flight of jumbo replies.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

pub(super) fn open(config: &SocketConfig) -> Result<IcmpSocket, SocketError> {
    let family = IpFamily::of(config.destination);
    let not_tried = || "not tried".to_owned();
    let (raw, ping) = match config.choice {
        SocketChoice::Best => (attempt(config, SocketKind::Raw)?, true),
        SocketChoice::Only(SocketKind::Raw) => (attempt(config, SocketKind::Raw)?, false),
        SocketChoice::Only(SocketKind::Ping) => (Err(not_tried()), true),
    };
    let raw = match raw {
        Ok(socket) => return Ok(socket),
        Err(refusal) => refusal,
    };
    match if ping { attempt(config, SocketKind::Ping)? } else { Err(not_tried()) } {
        Ok(socket) => Ok(socket),
        Err(ping) => Err(SocketError::NotPermitted { family, raw, ping }),
    }
}

/// The inner error is the kernel's refusal to this caller, after which another kind may still be allowed.
fn attempt(config: &SocketConfig, kind: SocketKind) -> Result<Result<IcmpSocket, String>, SocketError> {
    let family = IpFamily::of(config.destination);
    match create(family, kind) {
        Ok(socket) => configure(socket, kind, config).map(Ok),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::PERM | Errno::ACCESS) => Ok(Err(error.to_string())),
            Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => {
                Err(SocketError::FamilyUnavailable { family })
            }
            _ => Err(failed("open an ICMP socket", config)(error)),
        },
    }
}

fn create(family: IpFamily, kind: SocketKind) -> io::Result<Socket> {
    let (domain, protocol) = match family {
        IpFamily::V4 => (Domain::IPV4, Protocol::ICMPV4),
        IpFamily::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let kind = match kind {
        SocketKind::Raw => Type::RAW,
        SocketKind::Ping => Type::DGRAM,
    };
    Socket::new(domain, kind.nonblocking(), Some(protocol))
}

fn configure(socket: Socket, kind: SocketKind, config: &SocketConfig) -> Result<IcmpSocket, SocketError> {
    let family = IpFamily::of(config.destination);
    match kind {
        // No error queue: without it no PTB stores an error that would fail the next send.
        SocketKind::Raw => {
            socket
                .attach_filter(&filter::program(config.destination, config.id))
                .map_err(failed("attach the packet filter", config))?;
            discard_unfiltered(&socket);
        }
        SocketKind::Ping => {
            set_error_queue(&socket, family, true).map_err(failed("ask for ICMP errors", config))?;
        }
    }
    never_fragment(&socket, family).map_err(failed("set \"never fragment\"", config))?;
    grow_receive_buffer(&socket);
    if let Some(device) = &config.device {
        bind_device(&socket, device, config)?;
    }
    bind_source(&socket, kind, config)?;
    let id = match kind {
        SocketKind::Raw => config.id,
        SocketKind::Ping => {
            let local = socket.local_addr().map_err(failed("read the echo identifier", config))?;
            local.as_socket().map_or(0, |address| address.port())
        }
    };
    let destination = with_scope(config.destination, config.scope);
    let errors = VecDeque::new();
    Ok(IcmpSocket { socket, kind, family, destination, id, hop_limit: None, errors })
}

/// Empties the queue of what came between the socket's creation and its filter: packets of others.
fn discard_unfiltered(socket: &Socket) {
    // Each read takes one whole packet, however short its buffer.
    while recv(socket, &mut [0; 1][..], RecvFlags::DONTWAIT).is_ok() {}
}

/// DF on every packet, the kernel's path MTU cache ignored, the link's MTU still obeyed
/// (`ip_sk_use_pmtu` in `include/net/ip.h`; `ip6_setup_cork` in `net/ipv6/ip6_output.c`).
fn never_fragment(socket: &Socket, family: IpFamily) -> io::Result<()> {
    match family {
        IpFamily::V4 => set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::PROBE)?,
        IpFamily::V6 => {
            set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::PROBE)?;
            setsockopt(socket, Ipv6DontFrag, &true)?;
        }
    }
    Ok(())
}

/// Switches the error queue (ip(7), `IP_RECVERR`; ipv6(7), `IPV6_RECVERR`).
pub(super) fn set_error_queue(socket: &Socket, family: IpFamily, open: bool) -> io::Result<()> {
    match family {
        IpFamily::V4 => setsockopt(socket, Ipv4RecvErr, &open)?,
        IpFamily::V6 => setsockopt(socket, Ipv6RecvErr, &open)?,
    }
    Ok(())
}

/// As large as we may: beyond `net.core.rmem_max` it takes `CAP_NET_ADMIN`. A smaller one works too, with less
/// room for a flood.
fn grow_receive_buffer(socket: &Socket) {
    if set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    }
}

fn bind_device(socket: &Socket, device: &str, config: &SocketConfig) -> Result<(), SocketError> {
    socket.bind_device(Some(device.as_bytes())).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NODEV | Errno::INVAL) => SocketError::NoSuchDevice { device: device.to_owned() },
        _ => failed("bind to a link", config)(error),
    })
}

/// Binds to the source address. A ping socket without one is bound all the same: that gives it its identifier.
fn bind_source(socket: &Socket, kind: SocketKind, config: &SocketConfig) -> Result<(), SocketError> {
    let family = IpFamily::of(config.destination);
    let local = match (config.source, kind, family) {
        (Some(address), _, _) if IpFamily::of(address) != family => {
            return Err(SocketError::SourceNotLocal { address, family });
        }
        (Some(address), _, _) => with_scope(address, config.scope),
        (None, SocketKind::Raw, _) => return Ok(()),
        (None, SocketKind::Ping, IpFamily::V4) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        (None, SocketKind::Ping, IpFamily::V6) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    socket.bind(&local.into()).map_err(|error| match (Errno::from_io_error(&error), config.source) {
        (Some(Errno::ADDRNOTAVAIL), Some(address)) => SocketError::SourceNotLocal { address, family },
        _ => failed("bind to a source address", config)(error),
    })
}

/// Only link-local addresses need a scope, and the kernel takes it for others too.
fn with_scope(address: IpAddr, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(address) => SocketAddr::from((address, 0)),
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, 0, 0, scope).into()
        }
        IpAddr::V6(address) => SocketAddr::from((address, 0)),
    }
}

fn failed(what: &'static str, config: &SocketConfig) -> impl FnOnce(io::Error) -> SocketError + use<> {
    let destination = config.destination;
    move |source| SocketError::Failed { what, destination, source }
}
