//! Which value a pod is told, and where it comes from.

use std::fmt;

use crate::domain::fleet::Values;
use crate::domain::mtu::LinkMtu;

/// An MTU that a dockerd may be told: 576, which every IPv4 host takes (RFC 791), to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DindMtu(u16);

impl DindMtu {
    /// Where nothing is known: what IPv6 needs at least (RFC 8200 §5), and less than any path of a cloud.
    pub const FALLBACK: Self = Self(1280);

    /// `None` for what no dockerd is told.
    pub fn new(mtu: LinkMtu) -> Option<Self> {
        u16::try_from(mtu.get()).ok().and_then(Self::checked)
    }

    /// Reads what [`fmt::Display`] writes, and nothing else: dockerd takes `01450` for octal, and refuses ` 1450`.
    pub fn parse(text: &str) -> Option<Self> {
        let mtu = text.parse().ok().and_then(Self::checked)?;
        (mtu.to_string() == text).then_some(mtu)
    }

    fn checked(bytes: u16) -> Option<Self> {
        (bytes >= 576).then_some(Self(bytes))
    }

    /// Size in bytes.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for DindMtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The node that the pod names runs an agent.
    Node,
    /// The smallest over the pools of the namespace.
    Pools,
    /// Nothing is known: [`DindMtu::FALLBACK`].
    Fallback,
    /// The pod came with a smaller one.
    Pod,
}

impl Source {
    /// As the status calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pools => "pools",
            Self::Fallback => "fallback",
            Self::Pod => "pod",
        }
    }
}

/// What the cluster knows for one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What its dockerds may be told.
    pub mtu: DindMtu,
    /// Where that comes from.
    pub source: Source,
}

impl Policy {
    /// For a pod of `namespace`, which may name its node already. A value that no dockerd may be told is none.
    pub fn new(values: &Values, namespace: &str, node: Option<&str>) -> Self {
        let of = |mtu: Option<LinkMtu>, source| mtu.and_then(DindMtu::new).map(|mtu| Self { mtu, source });
        of(node.and_then(|node| values.of_node(node)), Source::Node)
            .or_else(|| of(values.of_namespace(namespace), Source::Pools))
            .unwrap_or(Self { mtu: DindMtu::FALLBACK, source: Source::Fallback })
    }

    /// What is known to fit, if anything is.
    pub fn known(&self) -> Option<DindMtu> {
        match self.source {
            Source::Node | Source::Pools | Source::Pod => Some(self.mtu),
            Source::Fallback => None,
        }
    }

    /// What the annotation is to say, of a pod that came with one.
    ///
    /// A smaller one stays, unless the node is known: its own value would replace it at binding, too.
    #[must_use]
    pub fn with_annotation(self, annotation: Option<&str>) -> Self {
        match annotation.and_then(DindMtu::parse) {
            Some(own) if own < self.mtu && self.source != Source::Node => {
                Self { mtu: own, source: Source::Pod }
            }
            Some(_) | None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(bytes: u32) -> LinkMtu {
        LinkMtu::new(bytes).expect("it is a size")
    }

    fn values() -> Values {
        Values {
            nodes: [("n".to_owned(), link(1400)), ("odd".to_owned(), link(100))].into(),
            pools: [("p".to_owned(), link(1450))].into(),
            namespaces: [("nowhere".to_owned(), ["gone".to_owned()].into())].into(),
        }
    }

    fn told(namespace: &str, node: Option<&str>) -> (u16, Source) {
        let policy = Policy::new(&values(), namespace, node);
        (policy.mtu.get(), policy.source)
    }

    #[test]
    fn the_node_is_asked_then_the_pools_and_where_neither_knows_it_is_1280() {
        assert_eq!(told("ci", None), (1450, Source::Pools));
        assert_eq!(told("ci", Some("n")), (1400, Source::Node));
        assert_eq!(told("ci", Some("unknown")), (1450, Source::Pools));
        assert_eq!(told("nowhere", None), (1280, Source::Fallback));
    }

    #[test]
    fn a_value_that_no_dockerd_may_be_told_is_none() {
        assert_eq!(told("ci", Some("odd")), (1450, Source::Pools));
        assert_eq!(DindMtu::new(link(575)), None);
        assert_eq!(DindMtu::new(link(576)).map(DindMtu::get), Some(576));
        assert_eq!(DindMtu::new(link(65_535)).map(DindMtu::get), Some(65_535));
        assert_eq!(DindMtu::new(link(65_536)), None);
    }

    #[test]
    fn only_plain_decimals_are_read() {
        assert_eq!(DindMtu::parse("1450").map(DindMtu::get), Some(1450));
        for odd in ["", " 1450", "1450\n", "+1450", "01450", "0x5aa", "1_450", "1450.0", "575", "65536", "-1"]
        {
            assert_eq!(DindMtu::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_smaller_annotation_stays_until_the_node_is_known() {
        let pools = Policy::new(&values(), "ci", None);
        let kept = pools.with_annotation(Some("1300"));
        assert_eq!((kept.mtu.get(), kept.source), (1300, Source::Pod));
        for replaced in [None, Some("1450"), Some("1500"), Some("many"), Some("")] {
            assert_eq!(pools.with_annotation(replaced), pools, "{replaced:?}");
        }
        let node = Policy::new(&values(), "ci", Some("n"));
        assert_eq!(node.with_annotation(Some("1300")), node);
    }
}
