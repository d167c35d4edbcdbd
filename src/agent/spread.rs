//! Numbers that spread what many nodes do: the same whenever one node does one thing, and different from node to node.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

/// From 0 to 1.
pub(super) fn seed(node_name: &str, what: impl Hash) -> f64 {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((node_name, what));
    let [high, low, ..] = hash.to_be_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}
