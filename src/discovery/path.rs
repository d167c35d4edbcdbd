//! A path from the host to a target, and what is known of it.

use std::net::IpAddr;

use crate::domain::evidence::Evidence;
use crate::domain::mtu::{IpFamily, PathMtu};
use crate::domain::safe::MeasuredPath;
use crate::domain::search::{LimitedBy, Outcome, Verdict};
use crate::probes::ledger::IgnoredCounts;

/// One target at one of its addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// As the user named it.
    pub target: String,
    /// The address, if the name resolved.
    pub address: Option<IpAddr>,
    /// What came of it.
    pub result: PathResult,
    /// What an earlier search measured, while this one tells no number: the last good value stays.
    pub kept: Option<PathMtu>,
    /// Largest size that this host's own way there allows, if it was searched.
    pub widest: Option<PathMtu>,
    /// Messages that were not believed while it was searched.
    pub ignored: IgnoredCounts,
}

/// What came of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum PathResult {
    /// A search ran to its end.
    Searched(Outcome),
    /// No probe was wanted, or none has ended yet; the kernel may have learned a path MTU by itself.
    NotProbed {
        /// From the route cache: a hint.
        learned: Option<PathMtu>,
    },
    /// A search could not run, or the name did not resolve.
    Failed {
        /// The whole error.
        why: String,
        /// Whether it is the name that has no address.
        unresolved: bool,
    },
}

impl Path {
    /// Without an earlier measurement.
    pub fn new(target: String, address: Option<IpAddr>, result: PathResult) -> Self {
        Self { target, address, result, kept: None, widest: None, ignored: IgnoredCounts::default() }
    }

    /// Keeps what `earlier` measured, if this tells no number that may lower a published value.
    #[must_use]
    pub fn keeping(self, earlier: &Self) -> Self {
        let kept = match self.measured() {
            Some(_) => None,
            None => earlier.measured().map(|measured| measured.path_mtu),
        };
        Self { kept, ..self }
    }

    /// IP version, if the name resolved.
    pub fn family(&self) -> Option<IpFamily> {
        self.address.map(IpFamily::of)
    }

    /// Name of the verdict, if there is one.
    pub fn verdict(&self) -> Option<&'static str> {
        match &self.result {
            PathResult::Searched(outcome) => Some(outcome.verdict.name()),
            PathResult::NotProbed { .. } | PathResult::Failed { .. } => None,
        }
    }

    /// The path MTU with how it is known.
    pub fn path_mtu(&self) -> Option<(PathMtu, Evidence)> {
        match &self.result {
            PathResult::Searched(outcome) => Some((outcome.verdict.path_mtu()?, Evidence::Measured)),
            PathResult::NotProbed { learned } => Some(((*learned)?, Evidence::Learned)),
            PathResult::Failed { .. } => None,
        }
    }

    /// What limits it, if that was found.
    pub fn limited_by(&self) -> Option<LimitedBy> {
        match &self.result {
            PathResult::Searched(outcome) => outcome.limited_by,
            PathResult::NotProbed { .. } | PathResult::Failed { .. } => None,
        }
    }

    /// The number that may lower a published value.
    pub fn measured(&self) -> Option<MeasuredPath> {
        let found = match &self.result {
            PathResult::Searched(outcome) => outcome.verdict.cap(),
            PathResult::NotProbed { .. } | PathResult::Failed { .. } => None,
        };
        Some(MeasuredPath { family: self.family()?, path_mtu: found.or(self.kept)? })
    }

    /// Whether large packets vanish on it.
    pub fn is_black_hole(&self) -> bool {
        matches!(&self.result, PathResult::Searched(Outcome { verdict: Verdict::BlackHole { .. }, .. }))
    }

    /// Whether its name has no address.
    pub fn is_unresolved(&self) -> bool {
        matches!(&self.result, PathResult::Failed { unresolved: true, .. })
    }
}
