//! Values that labels have.

use crate::discovery::role::Role;
use crate::domain::mtu::IpFamily;
use crate::probes::ledger::IgnoredCounts;
use crate::publish::kubernetes::outcome::PublishResult;
use crate::publish::links::LEVELS;

pub(super) const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];
/// Of one path; see [`crate::domain::search::Verdict::name`].
pub(super) const VERDICTS: [&str; 5] = ["exact", "black_hole", "lower_bound", "inconsistent", "unreachable"];
/// A search that could not run.
pub(super) const FAILED: &str = "failed";
pub(super) const SEARCHES: [&str; 6] =
    [VERDICTS[0], VERDICTS[1], VERDICTS[2], VERDICTS[3], VERDICTS[4], FAILED];
/// An echo of the probed size comes back: the smaller of both directions is what was measured.
pub(super) const BOTH: &str = "both";
pub(super) const DIRECTIONS: [&str; 3] = [BOTH, "up", "down"];
pub(super) const CHANGES: [&str; 2] = ["down", "up"];
pub(super) const AGGREGATES: [&str; 2] = ["min", "max"];
/// Of a namespace that no link connects to the host, or that is outside of it.
pub(super) const NO_LEVEL: &str = "none";
pub(super) const NAMESPACE_LEVELS: [&str; 6] =
    [LEVELS[0], LEVELS[1], LEVELS[2], LEVELS[3], LEVELS[4], NO_LEVEL];
pub(super) const IGNORED: [&str; 7] =
    ["forged", "stale", "off_path", "absurd", "malformed", "duplicate", "unrelated"];
pub(super) const WRITES: [&str; 6] =
    ["unchanged", "changed", "disk_full", "read_only", "permission_denied", "other"];
pub(super) const KINDS: [&str; Role::ALL.len() - 1] = {
    let mut kinds = [""; Role::ALL.len() - 1];
    let mut position = 0;
    while position < kinds.len() {
        // The first role is `lo`, of which nothing is told.
        kinds[position] = Role::ALL[position + 1].label();
        position += 1;
    }
    kinds
};

/// Why a survey is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SurveyReason {
    /// The agent starts.
    Start,
    /// The kernel told of a change.
    Event,
    /// The kernel dropped events.
    Overrun,
    /// It is time to look again.
    Timer,
    /// The configuration changed.
    Config,
    /// A path MTU was measured.
    Probe,
}

impl SurveyReason {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Event, Self::Overrun, Self::Timer, Self::Config, Self::Probe];

    /// Its name in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Event => "event",
            Self::Overrun => "overrun",
            Self::Timer => "timer",
            Self::Config => "config",
            Self::Probe => "probe",
        }
    }
}

pub(super) const REASONS: [&str; SurveyReason::ALL.len()] = {
    let mut names = [""; SurveyReason::ALL.len()];
    let mut position = 0;
    while position < names.len() {
        names[position] = SurveyReason::ALL[position].name();
        position += 1;
    }
    names
};

/// What the agent tells Kubernetes.
pub(super) const NODE_MTU: &str = "nodemtu";
pub(super) const OBJECTS: [&str; 1] = [NODE_MTU];
pub(super) const PUBLISH_RESULTS: [&str; PublishResult::ALL.len()] = {
    let mut names = [""; PublishResult::ALL.len()];
    let mut position = 0;
    while position < names.len() {
        names[position] = PublishResult::ALL[position].name();
        position += 1;
    }
    names
};

/// What tuning writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuned {
    /// A link's MTU.
    Link,
    /// The clamp.
    Clamp,
}

impl Tuned {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Clamp => "clamp",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TuneResult {
    /// It is as it was written.
    Written,
    /// The kernel said no.
    Refused,
    /// Somebody else wants it otherwise.
    Contested,
}

impl TuneResult {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Refused => "refused",
            Self::Contested => "contested",
        }
    }
}

pub(super) const TUNED: [&str; 2] = [Tuned::Link.name(), Tuned::Clamp.name()];
pub(super) const TUNE_RESULTS: [&str; 3] =
    [TuneResult::Written.name(), TuneResult::Refused.name(), TuneResult::Contested.name()];

/// As in the survey's JSON.
pub(super) fn family(family: IpFamily) -> &'static str {
    let [v4, v6] = FAMILIES;
    match family {
        IpFamily::V4 => v4,
        IpFamily::V6 => v6,
    }
}

/// Counts by reason, in the order of [`IGNORED`].
pub(super) fn ignored(counts: &IgnoredCounts) -> [(&'static str, u64); 7] {
    let IgnoredCounts { forged, stale, off_path, absurd, malformed, duplicate, unrelated } = *counts;
    let counts = [forged, stale, off_path, absurd, malformed, duplicate, unrelated];
    std::array::from_fn(|position| (IGNORED[position], counts[position]))
}
