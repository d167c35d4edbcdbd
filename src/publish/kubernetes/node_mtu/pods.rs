//! The pods of a node, as far as they matter to its NodeMtu.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// All of them, by their uid.
pub type Pods = BTreeMap<String, Pod>;

/// One.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What its annotation says that is to tell it the node's dind MTU, unless it came unasked.
    pub annotation: Option<String>,
    /// What its annotation says how far it may be tuned.
    pub tune: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether its network is the node's.
    pub host_network: bool,
    /// Whether it has ended: its address may be another pod's by now.
    pub ended: bool,
}

impl Pod {
    /// Whether one of these addresses is its own.
    pub fn has_any_of(&self, addresses: &[IpAddr]) -> bool {
        !self.ended && !self.host_network && self.addresses.iter().any(|own| addresses.contains(own))
    }
}
