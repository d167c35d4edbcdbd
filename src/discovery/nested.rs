//! A full-size packet from inside of a nested namespace to a target: what proves that its links carry what they say.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;

pub use self::inside::NestedNetns;
use super::path::Path;
use crate::domain::mtu::PathMtu;
use crate::domain::topology::NetnsIx;

mod inside;

/// An address that answers the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedTarget {
    /// As it is configured.
    pub target: String,
    /// One of its addresses.
    pub address: IpAddr,
    /// The path MTU from the host: where that changes, what was probed may not hold any more.
    pub path_mtu: PathMtu,
}

/// What one probe from inside said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedProbe {
    /// Where to; `None` if there was nobody to ask.
    pub to: Option<(String, IpAddr)>,
    /// The size that was sent: all that the namespace's own way out lets leave.
    pub mtu: Option<PathMtu>,
    /// What came back.
    pub passes: Passes,
}

/// Whether full-size packets get through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passes {
    /// They do: one was answered.
    Full,
    /// Smaller ones were answered, these were not.
    Narrower {
        /// What does get through.
        path_mtu: PathMtu,
    },
    /// Nobody knows: loss, silence or an error is no size.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// A probe of one namespace, as a survey tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NestedPath {
    /// From where.
    pub netns: NetnsIx,
    /// How deep that is.
    pub level: u8,
    /// What was found.
    pub probe: NestedProbe,
    /// When; `None`: it was not probed yet.
    pub observed_at: Option<Timestamp>,
}

impl Passes {
    /// `None` if it is not known.
    pub fn is_verified(&self) -> Option<bool> {
        match self {
            Self::Full => Some(true),
            Self::Narrower { .. } => Some(false),
            Self::Unknown { .. } => None,
        }
    }
}

impl NestedProbe {
    /// Of a namespace that was not probed.
    pub fn unknown(why: &str) -> Self {
        Self { to: None, mtu: None, passes: Passes::Unknown { why: why.to_owned() } }
    }
}

/// For each level of which something is known, whether no namespace there was found to let less through.
pub fn verified_by_level(paths: &[NestedPath]) -> BTreeMap<u8, bool> {
    let mut levels = BTreeMap::new();
    for path in paths {
        if let Some(verified) = path.probe.passes.is_verified() {
            *levels.entry(path.level).or_insert(true) &= verified;
        }
    }
    levels
}

/// Of each family the first target that answers the host, if it is the same one seen from inside of a namespace.
pub fn targets(paths: &[Path]) -> Vec<NestedTarget> {
    let answering = paths.iter().filter_map(|path| {
        let (path_mtu, _) = path.path_mtu()?;
        path.verdict()?;
        let address = path.address.filter(|address| !is_local(*address))?;
        Some(NestedTarget { target: path.target.clone(), address, path_mtu })
    });
    let mut targets: Vec<NestedTarget> = Vec::new();
    for target in answering {
        if targets.iter().all(|other| other.address.is_ipv4() != target.address.is_ipv4()) {
            targets.push(target);
        }
    }
    targets
}

/// Whether an address means another host in another namespace, or none.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        }
}

#[cfg(test)]
mod tests;
