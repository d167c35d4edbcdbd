//! A path that is made for one run of one tool: what a kernel learned of it stays for 600 s, and rate limits for
//! ICMP errors have a memory, so the next tool would find another path.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mtu_lab::router::chain::Chain;
use mtu_lab::router::seeded::SeededPath;
use mtu_lab::router::space::Space;
use mtu_lab::scenario::{Family, Scenario};
use serde_json::Value;

/// How to make it.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// Kernel routers between links of these MTUs, RTT about zero; the routers in `holes` send no PTB.
    Chain {
        /// Of each link, from the client on.
        mtus: Vec<u16>,
        /// Router numbers, from 1.
        holes: Vec<usize>,
    },
    /// A seeded network, with delay and loss.
    Seeded(Box<Scenario>),
}

/// Delay and harm of a seeded network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// There and back.
    pub(crate) rtt_ms: f64,
    /// All of it lies before the first router, so that every PTB takes a whole round trip; else each router's link
    /// has its share.
    pub(crate) is_far_off: bool,
    /// Share of packets that are lost, each way.
    pub(crate) loss: f64,
    /// What 1000 forged PTBs per second quote: `guessed` or `seen`.
    pub(crate) forged: Option<&'static str>,
}

impl Layout {
    /// A seeded network with a router before each of the links after the first, which is the client's own.
    pub(crate) fn seeded(family: Family, mtus: &[u16], holes: &[usize], weather: Weather) -> Result<Self> {
        use std::fmt::Write as _;
        let (own, others) = mtus.split_first().context("a path has a link")?;
        let Weather { rtt_ms, is_far_off, loss, forged } = weather;
        let (name, forger) = match family {
            Family::Ipv4 => ("ipv4", "10.77.1.1"),
            Family::Ipv6 => ("ipv6", "fd77::1:1"),
        };
        let routers = f64::from(u32::try_from(others.len())?.max(1));
        let one_way_ms = rtt_ms / 2.0;
        let [before, each] = if is_far_off { [one_way_ms, 0.0] } else { [0.0, one_way_ms / routers] };
        let mut text = format!(
            "about = 'A bench.'\nfamily = '{name}'\n[link]\nmtu = {own}\nloss = {loss}\ndelay_ms = {before}\n"
        );
        for (index, mtu) in others.iter().enumerate() {
            let ptb = !holes.contains(&(index + 1));
            let _infallible = writeln!(text, "[[hop]]\nmtu = {mtu}\ndelay_ms = {each}\nptb = {ptb}");
        }
        if let Some(quote) = forged {
            let _infallible = writeln!(
                text,
                "[forged]\nmtus = [0, 20, 68, 576, 1280, 1300, 1400, 1500, 9000, 4294967295]\nper_second = 1000.0\n\
                 from = '{forger}'\nquote = '{quote}'"
            );
        }
        text.push_str("[expect]\nverdict = 'black_hole'\n");
        Ok(Self::Seeded(Box::new(Scenario::parse("bench", &text)?)))
    }

    /// Largest packet that the routers let through.
    pub(crate) fn truth(&self) -> u16 {
        match self {
            Self::Chain { mtus, .. } => mtus.iter().copied().min().unwrap_or_default(),
            Self::Seeded(scenario) => scenario.path_mtu(),
        }
    }

    /// MTU of the client's own link.
    pub(crate) fn own(&self) -> u16 {
        match self {
            Self::Chain { mtus, .. } => mtus.first().copied().unwrap_or_default(),
            Self::Seeded(scenario) => scenario.link.mtu,
        }
    }

    /// Links, which is one more than routers.
    pub(crate) fn links(&self) -> usize {
        match self {
            Self::Chain { mtus, .. } => mtus.len(),
            Self::Seeded(scenario) => scenario.hops.len() + 1,
        }
    }

    /// Router that stands before the narrowest link, from 1; 0 is the client.
    pub(crate) fn limiting_router(&self) -> usize {
        let is_narrow = |mtu: u16| mtu == self.truth();
        match self {
            Self::Chain { mtus, .. } => mtus.iter().position(|mtu| is_narrow(*mtu)).unwrap_or_default(),
            Self::Seeded(scenario) if is_narrow(scenario.link.mtu) => 0,
            Self::Seeded(scenario) => {
                scenario.hops.iter().position(|hop| is_narrow(hop.mtu)).map_or(0, |index| index + 1)
            }
        }
    }

    /// Makes it. The seed is for loss and forgery.
    pub(crate) fn make(&self, family: Family, seed: u64) -> Result<Lane> {
        let is_v4 = family == Family::Ipv4;
        let router = self.limiting_router();
        Ok(match self {
            Self::Chain { mtus, holes } => {
                let chain = Chain::new(mtus)?;
                for hole in holes {
                    chain.swallow_ptbs(*hole)?;
                }
                let server = if is_v4 { chain.server_v4() } else { chain.server_v6() };
                let number = u8::try_from(router)?;
                let limit = (number > 0).then(|| chain.router_address(number, is_v4));
                warm_up(&chain, server)?;
                count_at_first_router(&chain, server)?;
                Lane { path: Path::Chain(chain), server, limit }
            }
            Self::Seeded(scenario) => {
                let path = SeededPath::new(scenario, seed)?;
                let server = path.server_address();
                let limit = (router > 0).then(|| scenario.address_of(router));
                Lane { path: Path::Seeded(path), server, limit }
            }
        })
    }
}

/// A path that exists.
#[derive(Debug)]
pub(crate) struct Lane {
    path: Path,
    /// Address of the server.
    pub(crate) server: IpAddr,
    /// Address of the router that limits the path.
    pub(crate) limit: Option<IpAddr>,
}

#[derive(Debug)]
enum Path {
    Chain(Chain),
    Seeded(SeededPath),
}

impl Lane {
    pub(crate) fn client(&self) -> &Space {
        match &self.path {
            Path::Chain(chain) => chain.client(),
            Path::Seeded(path) => path.client(),
        }
    }

    /// Makes the first router's link address look as if it had been asked for. scamper writes Ethernet headers itself
    /// and reads addresses from the kernel's table, but not those that were entered by hand, as a seeded path has them.
    pub(crate) fn learn_neighbours(&self) -> Result<()> {
        let Path::Seeded(path) = &self.path else { return Ok(()) };
        let client = path.client();
        for version in ["ipv4", "ipv6"] {
            client.sysctl(&format!("{version}/neigh/eth0/base_reachable_time_ms"), "3600000")?;
        }
        let family = if self.server.is_ipv4() { "-4" } else { "-6" };
        let table = client.ip_output(&format!("{family} neighbour show dev eth0 nud permanent"))?;
        for line in table.lines() {
            if let [address, "lladdr", link_address, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
                client.ip(&format!(
                    "neighbour replace {address} dev eth0 lladdr {link_address} nud reachable"
                ))?;
            }
        }
        Ok(())
    }

    /// Packets to the server that came from the client: no ARP, no neighbour discovery.
    pub(crate) fn packets(&self) -> Result<u64> {
        match &self.path {
            Path::Chain(chain) => counted(chain.router(1)),
            Path::Seeded(path) => Ok(path.packets_from_client()),
        }
    }

    /// Ends it, and tells what went wrong in its router, if anything did.
    pub(crate) fn end(self) -> Result<()> {
        match self.path {
            Path::Chain(_) => Ok(()),
            Path::Seeded(path) => path.end(),
        }
    }
}

/// Lets all find their neighbours, which over IPv6 takes a second where a link is a moment late. A TCP connection that
/// is refused leaves no trace in any rate limit for ICMP errors.
fn warm_up(chain: &Chain, server: IpAddr) -> Result<()> {
    let connect = move || TcpStream::connect_timeout(&SocketAddr::new(server, 80), Duration::from_secs(5));
    match chain.client().run(connect)? {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("reach the server"),
        Ok(_) => bail!("something listens on port 80 of {server}"),
    }
}

/// Not at the client, where packets of a packet socket (scamper's) pass no such hook.
fn count_at_first_router(chain: &Chain, server: IpAddr) -> Result<()> {
    let ip = if server.is_ipv4() { "ip" } else { "ip6" };
    chain.router(1).nft(&format!(
        "table inet bench {{
           counter to_server {{ }}
           chain count {{ type filter hook prerouting priority raw; iifname left {ip} daddr {server} counter name to_server; }}
         }}"
    ))
}

fn counted(router: &Space) -> Result<u64> {
    let list = || Command::new("nft").args(["-j", "list", "counter", "inet", "bench", "to_server"]).output();
    let output = router.run(list)?.context("start nft")?;
    ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    let listed: Value = serde_json::from_slice(&output.stdout).context("parse what nft lists")?;
    let counters = listed["nftables"].as_array().context("nft lists")?;
    counters.iter().find_map(|entry| entry["counter"]["packets"].as_u64()).context("the counter is listed")
}
