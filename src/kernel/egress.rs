//! The way out of this host towards one address: the link, its MTU, the source address, and what the kernel
//! believes about the path. Asked of the routing code (`RTM_GETROUTE`), in the network namespace of the calling
//! thread; no packet is sent.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;

use crate::domain::mtu::{IpFamily, LinkMtu, PathMtu};

/// The first link of a path, and what the kernel knows about the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The link that packets leave by; its index is valid in this network namespace only.
    pub ifindex: u32,
    /// Its name.
    pub device: String,
    /// Its MTU.
    pub link_mtu: LinkMtu,
    /// Address that packets will be sent from; `None` where the route does not say (an own address).
    pub source: Option<IpAddr>,
    /// MTU that somebody configured on the route (`RTAX_MTU`), where somebody did.
    pub route_mtu: Option<PathMtu>,
    /// Path MTU that the kernel learned from a PTB and has not forgotten. A hint: kernels believe forged PTBs.
    pub learned: Option<PathMtu>,
}

impl Egress {
    /// Largest IP packet that may leave: the link's MTU and the route's, whichever is smaller.
    pub fn max(&self) -> Option<PathMtu> {
        let link = self.link_mtu.as_path_mtu().ok()?;
        Some(self.route_mtu.map_or(link, |route| route.min(link)))
    }
}

/// Why no way out is known.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The routing table has none, or one that says "unreachable", "prohibit" or "blackhole".
    #[error("no route to {destination}{}; see `ip route get {destination}`", via(.device.as_deref()))]
    NoRoute {
        /// Where to.
        destination: IpAddr,
        /// The link that the route was to use, where one was asked for.
        device: Option<String>,
        /// What the kernel said.
        source: io::Error,
    },
    /// There is no link with that name.
    #[error("find link {device}: no such link in this network namespace")]
    NoSuchDevice {
        /// Its name.
        device: String,
    },
    /// The source address is not one of ours, or of the other family.
    #[error(
        "find the route from {address} to {destination}: {address} is no address of this network namespace"
    )]
    SourceNotLocal {
        /// The source that was asked for.
        address: IpAddr,
        /// Where to.
        destination: IpAddr,
    },
    /// The kernel has this family switched off or left out.
    #[error("{family} is not available in this network namespace")]
    FamilyUnavailable {
        /// Family of the destination.
        family: IpFamily,
    },
    /// Netlink failed or its answer made no sense.
    #[error("{what}")]
    Netlink {
        /// What was attempted.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

/// Which way out.
#[derive(Clone, Copy, Debug)]
pub struct EgressQuery<'a> {
    /// Where to.
    pub destination: IpAddr,
    /// By which link, where that is not left to the routing table.
    pub device: Option<&'a str>,
    /// From which address, where that is not left to the route.
    pub source: Option<IpAddr>,
}

/// Asks the kernel for the way to one address, in the network namespace of the calling thread.
pub fn egress(query: EgressQuery<'_>) -> Result<Egress, EgressError> {
    let EgressQuery { destination, source, .. } = query;
    if let Some(address) = source.filter(|address| address.is_ipv4() != destination.is_ipv4()) {
        return Err(EgressError::SourceNotLocal { address, destination });
    }
    let mut netlink = Netlink::open()?;
    let bound = query.device.map(|device| netlink.link_by_name(device)).transpose()?;
    let request = RouteRequest { query, oif: bound.as_ref().map(|link| link.ifindex) };
    let route = match (netlink.route(&request, RouteFlags::empty()), source) {
        // A foreign source reads like a missing route. Without it the two can be told apart.
        (Err(error @ EgressError::NoRoute { .. }), Some(address)) => {
            let query = EgressQuery { source: None, ..query };
            let anyway = netlink.route(&RouteRequest { query, oif: request.oif }, RouteFlags::empty());
            return Err(anyway.map_or(error, |_| EgressError::SourceNotLocal { address, destination }));
        }
        (answer, _) => answer?,
    };
    let link = if let Some(link) = bound {
        link
    } else {
        let ifindex = route.ifindex.ok_or_else(|| odd("the route to the destination names no link"))?;
        netlink.link(&LinkQuery::Index(ifindex))?
    };
    // In the answer above, a learned MTU hides a configured one. The table's own entry has the latter.
    let configured = netlink.route(&request, RouteFlags::FibMatch).ok().and_then(|entry| entry.mtu);
    Ok(Egress {
        ifindex: link.ifindex,
        device: link.name,
        link_mtu: link.mtu,
        source: query.source.or(route.source),
        route_mtu: configured.and_then(path_mtu),
        learned: if route.expires { route.mtu.and_then(path_mtu) } else { None },
    })
}

struct RouteRequest<'a> {
    query: EgressQuery<'a>,
    oif: Option<u32>,
}

/// The parts of a route that matter here.
#[derive(Debug, Default)]
struct Route {
    ifindex: Option<u32>,
    source: Option<IpAddr>,
    mtu: Option<u32>,
    /// Learned entries are forgotten after a while (`net.ipv4.route.mtu_expires`); configured ones are not.
    expires: bool,
}

#[derive(Debug)]
struct Link {
    ifindex: u32,
    name: String,
    mtu: LinkMtu,
}

enum LinkQuery<'a> {
    Index(u32),
    Name(&'a str),
}

struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    fn open() -> Result<Self, EgressError> {
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(netlink("open a netlink socket"))?;
        socket.bind_auto().map_err(netlink("bind a netlink socket"))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Sends one request that has exactly one answer, and takes that.
    fn ask(&mut self, request: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let answer =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).map_err(io::Error::other)?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::Error(error) = answer.payload {
                return Err(error.to_io());
            }
            let kind = answer.payload.message_type();
            let NetlinkPayload::InnerMessage(message) = answer.payload else {
                return Err(io::Error::other(format!("a netlink answer of type {kind}")));
            };
            return Ok(message);
        }
    }

    fn route(&mut self, request: &RouteRequest<'_>, flags: RouteFlags) -> Result<Route, EgressError> {
        let EgressQuery { destination, device, source } = request.query;
        let mut message = RouteMessage::default();
        let bits = if destination.is_ipv4() { 32 } else { 128 };
        message.header = RouteHeader {
            address_family: if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 },
            destination_prefix_length: bits,
            flags,
            ..RouteHeader::default()
        };
        message.attributes.push(RouteAttribute::Destination(destination.into()));
        if let Some(source) = source {
            message.header.source_prefix_length = bits;
            message.attributes.push(RouteAttribute::Source(source.into()));
        }
        if let Some(ifindex) = request.oif {
            message.attributes.push(RouteAttribute::Oif(ifindex));
        }
        let family = IpFamily::of(destination);
        let answer = self.ask(RouteNetlinkMessage::GetRoute(message)).map_err(|error| {
            match Errno::from_io_error(&error) {
                Some(Errno::AFNOSUPPORT | Errno::OPNOTSUPP) => EgressError::FamilyUnavailable { family },
                Some(
                    Errno::NETUNREACH
                    | Errno::HOSTUNREACH
                    | Errno::ACCESS
                    | Errno::INVAL
                    | Errno::NODEV
                    | Errno::NETDOWN,
                ) => EgressError::NoRoute { destination, device: device.map(str::to_owned), source: error },
                _ => EgressError::Netlink { what: "ask for a route (RTM_GETROUTE)", source: error },
            }
        })?;
        let RouteNetlinkMessage::NewRoute(message) = answer else {
            return Err(odd("the answer to RTM_GETROUTE is no route"));
        };
        // IPv6 answers with such a route instead of an error.
        let is_refusal = matches!(
            message.header.kind,
            RouteType::Unreachable | RouteType::Prohibit | RouteType::BlackHole
        );
        if is_refusal {
            let (device, source) = (device.map(str::to_owned), Errno::HOSTUNREACH.into());
            return Err(EgressError::NoRoute { destination, device, source });
        }
        Ok(read_route(&message.attributes))
    }

    fn link(&mut self, query: &LinkQuery<'_>) -> Result<Link, EgressError> {
        let mut message = LinkMessage::default();
        match query {
            LinkQuery::Index(ifindex) => message.header.index = *ifindex,
            LinkQuery::Name(name) => message.attributes.push(LinkAttribute::IfName((*name).to_owned())),
        }
        let answer = self
            .ask(RouteNetlinkMessage::GetLink(message))
            .map_err(netlink("ask for a link (RTM_GETLINK)"))?;
        let RouteNetlinkMessage::NewLink(message) = answer else {
            return Err(odd("the answer to RTM_GETLINK is no link"));
        };
        let ifindex = message.header.index;
        let (mut name, mut mtu) = (None, None);
        for attribute in message.attributes {
            if let LinkAttribute::IfName(value) = attribute {
                name = Some(value);
            } else if let LinkAttribute::Mtu(value) = attribute {
                mtu = LinkMtu::new(value).ok();
            }
        }
        match (name, mtu) {
            (Some(name), Some(mtu)) => Ok(Link { ifindex, name, mtu }),
            _ => Err(odd("the link has no name or no MTU")),
        }
    }

    fn link_by_name(&mut self, device: &str) -> Result<Link, EgressError> {
        let no_such_device = || EgressError::NoSuchDevice { device: device.to_owned() };
        // IFNAMSIZ, its final zero included; a longer name would be refused with another error.
        if device.is_empty() || device.len() > 15 {
            return Err(no_such_device());
        }
        self.link(&LinkQuery::Name(device)).map_err(|error| match error {
            EgressError::Netlink { source, .. } if Errno::from_io_error(&source) == Some(Errno::NODEV) => {
                no_such_device()
            }
            error @ (EgressError::Netlink { .. }
            | EgressError::NoRoute { .. }
            | EgressError::NoSuchDevice { .. }
            | EgressError::SourceNotLocal { .. }
            | EgressError::FamilyUnavailable { .. }) => error,
        })
    }
}

fn read_route(attributes: &[RouteAttribute]) -> Route {
    let mtu = |metrics: &[RouteMetric]| {
        metrics.iter().find_map(|metric| if let RouteMetric::Mtu(mtu) = metric { Some(*mtu) } else { None })
    };
    let mut route = Route::default();
    for attribute in attributes {
        if let RouteAttribute::Oif(ifindex) = attribute {
            route.ifindex = Some(*ifindex);
        } else if let RouteAttribute::MultiPath(hops) = attribute {
            route.ifindex = route.ifindex.or(hops.first().map(|hop| hop.interface_index));
        } else if let RouteAttribute::PrefSource(RouteAddress::Inet(address)) = attribute {
            route.source = Some((*address).into());
        } else if let RouteAttribute::PrefSource(RouteAddress::Inet6(address)) = attribute {
            route.source = Some((*address).into());
        } else if let RouteAttribute::CacheInfo(info) = attribute {
            route.expires = info.expires != 0;
        } else if let RouteAttribute::Metrics(metrics) = attribute {
            route.mtu = mtu(metrics);
        }
    }
    route
}

/// An MTU from a route; what no path can have is no hint either.
fn path_mtu(bytes: u32) -> Option<PathMtu> {
    PathMtu::new(u16::try_from(bytes).unwrap_or(u16::MAX)).ok()
}

fn via(device: Option<&str>) -> String {
    device.map(|device| format!(" by link {device}")).unwrap_or_default()
}

fn netlink(what: &'static str) -> impl FnOnce(io::Error) -> EgressError {
    move |source| EgressError::Netlink { what, source }
}

fn odd(what: &'static str) -> EgressError {
    EgressError::Netlink { what, source: io::ErrorKind::InvalidData.into() }
}
