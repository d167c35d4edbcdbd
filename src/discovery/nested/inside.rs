//! The way into a nested namespace, and a probe from there.
//!
//! The sockets are opened by a thread that joins the namespace and ends; the packets are sent from outside of it. A
//! socket keeps its namespace alive, so none stays open after its probe, and no door is held open between two.

use std::net::IpAddr;

use tokio::task::spawn_blocking;

use super::{NestedProbe, NestedTarget, Passes};
use crate::discovery::survey::Look;
use crate::domain::error::with_sources;
use crate::domain::mtu::{IpFamily, LinkMtu, PathMtu};
use crate::domain::topology::{NetnsIx, Place};
use crate::kernel::netns::{self, NetnsError, NetnsFile};
use crate::kernel::procfs;
use crate::probes::driver::check::Checked;
use crate::probes::driver::{ProbeError, ProbeRequest, Prober};

/// Processes by which a namespace is looked for: any of them may have ended.
const DOORS: usize = 8;

/// A namespace that is connected to the host by links, and how to get into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedNetns {
    /// Which: `net:[INODE]`.
    pub inode: u64,
    /// How deep it is.
    pub level: u8,
    /// The least MTU of its ways out.
    pub mtu: Option<LinkMtu>,
    /// Processes in it.
    pub pids: Vec<u32>,
    /// Names of files that pin it.
    pub pinned: Vec<String>,
}

impl NestedNetns {
    /// The one at `netns`; `None` if no links connect it to the host, or it cannot be told apart from later ones.
    pub fn of(look: &Look, netns: NetnsIx) -> Option<Self> {
        let (topology, identity) = (&look.topology, &look.identities[netns.0]);
        let Place::Nested { level, .. } = topology.netns(netns).place else { return None };
        let mtu = |family| {
            let way_out = topology.way_out(netns, family)?;
            let link = topology.netns(netns).links.get(&way_out.ifindex)?.mtu;
            Some(way_out.route_mtu.map_or(link, |route| route.min(link)))
        };
        let (pids, pinned) = (identity.pids.iter().copied().take(DOORS).collect(), identity.pinned.clone());
        let mtu = IpFamily::ALL.into_iter().filter_map(mtu).min();
        Some(Self { inode: identity.inode?, level, mtu, pids, pinned })
    }

    /// Sends a full-size packet, and a small one beside it, from inside to each of the targets. Where that says that
    /// less gets through, a search says how much.
    pub async fn probe(&self, targets: &[NestedTarget]) -> Vec<NestedProbe> {
        let mut probes = Vec::new();
        let mut without_way_out = Vec::new();
        for NestedTarget { target, address, .. } in targets {
            let to = Some((target.clone(), *address));
            match self.passes(*address).await {
                Ok((mtu, passes)) => probes.push(NestedProbe { to, mtu: Some(mtu), passes }),
                Err(error) => {
                    let probe =
                        NestedProbe { to, mtu: None, passes: Passes::Unknown { why: with_sources(&error) } };
                    if error.is_no_way_out() { without_way_out.push(probe) } else { probes.push(probe) }
                }
            }
        }
        // A namespace need not speak both families; one that speaks none is told of.
        if probes.is_empty() { without_way_out } else { probes }
    }

    async fn passes(&self, address: IpAddr) -> Result<(PathMtu, Passes), NestedError> {
        let prober = self.open(address).await?;
        let full = prober.max();
        match prober.check_full().await? {
            Checked::Holds => return Ok((full, Passes::Full)),
            Checked::Silent => return Ok((full, silent())),
            Checked::InDoubt => {}
        }
        // Opened anew: the link may just have been given another MTU.
        let prober = self.open(address).await?;
        let full = prober.max();
        let verdict = prober.run(|_| {}).await?.outcome.verdict;
        let passes = match (verdict.path_mtu(), verdict.cap()) {
            (Some(path_mtu), _) if path_mtu >= full => Passes::Full,
            (_, Some(path_mtu)) => Passes::Narrower { path_mtu },
            (_, None) => silent(),
        };
        Ok((full, passes))
    }

    /// A probe whose socket is in the namespace.
    async fn open(&self, address: IpAddr) -> Result<Prober, NestedError> {
        let netns = self.clone();
        let opening = spawn_blocking(move || {
            let prober = netns.enter()?.run(|| Prober::open(ProbeRequest::new(address)))?;
            Ok(prober?)
        });
        opening.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// By a process or a file that still leads there: pids and names are given anew.
    fn enter(&self) -> Result<NetnsFile, NestedError> {
        let by_pid = self.pids.iter().map(|pid| NetnsFile::open(&procfs::netns_path(*pid)));
        let by_name = self.pinned.iter().map(|name| netns::find(name));
        let mut refused = None;
        for opened in by_pid.chain(by_name) {
            match opened {
                Ok(netns) if netns.inode() == self.inode => return Ok(netns),
                Err(error) if error.is_permission() => refused = Some(error),
                Ok(_) | Err(_) => {}
            }
        }
        Err(refused.map_or(NestedError::Ended { inode: self.inode }, NestedError::Netns))
    }
}

fn silent() -> Passes {
    Passes::Unknown { why: "too few packets were answered to tell, whatever their size".to_owned() }
}

/// Why nothing was sent, or nothing heard.
#[derive(Debug, thiserror::Error)]
enum NestedError {
    #[error("network namespace net:[{inode}] has ended, or no process or file leads there any more")]
    Ended { inode: u64 },
    #[error(transparent)]
    Netns(#[from] NetnsError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

impl NestedError {
    fn is_no_way_out(&self) -> bool {
        matches!(self, Self::Probe(ProbeError::Egress(_)))
    }
}
