//! The values of many nodes, and what follows for their pools.

use std::collections::{BTreeMap, BTreeSet};

use super::mtu::LinkMtu;

/// The values that nodes and pools have now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Safe dind MTU of each node that tells one.
    pub nodes: BTreeMap<String, LinkMtu>,
    /// That of each pool.
    pub pools: BTreeMap<String, LinkMtu>,
    /// The pools that a namespace names; one that names none is not in here.
    pub namespaces: BTreeMap<String, BTreeSet<String>>,
}

impl Values {
    /// The safe dind MTU of a node.
    pub fn of_node(&self, name: &str) -> Option<LinkMtu> {
        self.nodes.get(name).copied()
    }

    /// The smallest over the pools that the namespace names, else over all.
    pub fn of_namespace(&self, name: &str) -> Option<LinkMtu> {
        let named = self.namespaces.get(name);
        let pools = self.pools.iter().filter(|(pool, _)| named.is_none_or(|named| named.contains(*pool)));
        pools.map(|(_, mtu)| *mtu).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mtu(value: u32) -> LinkMtu {
        LinkMtu::new(value).expect("it is a size")
    }

    fn values() -> Values {
        let named = |pools: &[&str]| pools.iter().map(|pool| (*pool).to_owned()).collect();
        Values {
            nodes: [("node-1".to_owned(), mtu(1400))].into(),
            pools: [("cloud".to_owned(), mtu(1450)), ("metal".to_owned(), mtu(1400))].into(),
            namespaces: [("ci".to_owned(), named(&["cloud"])), ("odd".to_owned(), named(&["gone"]))].into(),
        }
    }

    #[test]
    fn a_namespace_has_the_smallest_of_the_pools_that_it_names_or_of_all() {
        assert_eq!(values().of_namespace("ci"), Some(mtu(1450)));
        assert_eq!(values().of_namespace("other"), Some(mtu(1400)));
        assert_eq!(values().of_namespace("odd"), None, "a pool that is not there has no value");
    }

    #[test]
    fn a_node_has_its_own() {
        assert_eq!(values().of_node("node-1"), Some(mtu(1400)));
        assert_eq!(values().of_node("node-2"), None);
    }
}
