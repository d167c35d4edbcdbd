//! What a search says: while it works, and when it is over.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::domain::mtu::PathMtu;

/// What limits a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LimitedBy {
    /// Router that sent the PTB, or the last one that a vanishing packet passed.
    pub address: Option<IpAddr>,
    /// Its distance: 1 is the first router; 0 is this host's own link.
    pub hop: Option<u8>,
}

/// What the search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Packets up to `path_mtu` pass, larger ones are refused with a PTB, or by our own link.
    Exact {
        /// The path MTU.
        path_mtu: PathMtu,
    },
    /// Packets up to `path_mtu` pass, larger ones vanish, and no PTB comes.
    BlackHole {
        /// The path MTU.
        path_mtu: PathMtu,
    },
    /// Packets of `path_mtu` pass; whether larger ones do could not be told.
    LowerBound {
        /// Largest size that passed.
        path_mtu: PathMtu,
    },
    /// The answers contradict each other; no number is known.
    Inconsistent,
    /// Not even the smallest probes were answered; no number is known.
    Unreachable,
}

impl Verdict {
    /// The number that this verdict tells, if it tells one.
    pub fn path_mtu(self) -> Option<PathMtu> {
        match self {
            Self::Exact { path_mtu } | Self::BlackHole { path_mtu } | Self::LowerBound { path_mtu } => {
                Some(path_mtu)
            }
            Self::Inconsistent | Self::Unreachable => None,
        }
    }

    /// Names of those that tell a number which may lower a published value.
    pub const CAPS: [&str; 2] = ["exact", "black_hole"];

    /// The number that may lower a published value: exact and black hole; a lower bound never does.
    pub fn cap(self) -> Option<PathMtu> {
        match self {
            Self::Exact { path_mtu } | Self::BlackHole { path_mtu } => Some(path_mtu),
            Self::LowerBound { .. } | Self::Inconsistent | Self::Unreachable => None,
        }
    }

    /// Its name in JSON and in metric labels.
    pub fn name(self) -> &'static str {
        let [exact, black_hole] = Self::CAPS;
        match self {
            Self::Exact { .. } => exact,
            Self::BlackHole { .. } => black_hole,
            Self::LowerBound { .. } => "lower_bound",
            Self::Inconsistent => "inconsistent",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Verdict of a search, with what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// What was found.
    pub verdict: Verdict,
    /// What limits the path, where that is known.
    pub limited_by: Option<LimitedBy>,
    /// Packets sent.
    pub probes_sent: u32,
    /// Bytes sent, IP headers included.
    pub bytes_sent: u32,
    /// Rounds of packets sent together.
    pub flights: u32,
    /// Smallest round-trip time that was seen.
    pub rtt: Option<Duration>,
    /// Share of probes of passing size that were not answered, between 0 and 1.
    pub loss: Option<f32>,
    /// PTBs that matched a probe but named an impossible size (RFC 8899 §4.6.2); they changed nothing.
    pub ptbs_ignored: u32,
    /// From the first packet sent to the verdict.
    pub elapsed: Duration,
}

/// How far a search is, for a line that lives while it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Largest size that passed.
    pub largest_passed: Option<PathMtu>,
    /// Smallest size above that which is believed not to pass. May still turn out to.
    pub smallest_lost: Option<PathMtu>,
    /// Rounds of packets so far.
    pub flight: u32,
    /// Packets sent so far.
    pub probes_sent: u32,
}
