//! Since when a mismatch is there, as far as this agent has seen.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::moment;
use crate::discovery::advice::Finding;
use crate::discovery::survey::Survey;

/// When each mismatch of the last survey was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Since {
    seen: BTreeMap<Key, Seen>,
}

/// A link, by what no other has at the same time. The name tells a link that took over another's index.
type Key = (String, String);

/// When it was first seen, and whether it may have been there before the first survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    at: Timestamp,
    or_earlier: bool,
}

impl Seen {
    /// In words.
    pub(super) fn told(self) -> String {
        let at = moment(self.at);
        if self.or_earlier { format!("{at} or earlier") } else { at }
    }
}

impl Since {
    /// What is known once `survey` follows the one that `earlier` was made of.
    pub fn of(survey: &Survey, earlier: Option<&Self>) -> Self {
        let seen = survey.findings.iter().map(|finding| {
            let key = key(survey, finding);
            let before = earlier.and_then(|earlier| earlier.seen.get(&key)).copied();
            let now = Seen { at: survey.observed_at, or_earlier: earlier.is_none() };
            (key, before.unwrap_or(now))
        });
        Self { seen: seen.collect() }
    }

    /// Since when this one is there.
    pub(super) fn get(&self, survey: &Survey, finding: &Finding) -> Option<Seen> {
        self.seen.get(&key(survey, finding)).copied()
    }
}

fn key(survey: &Survey, finding: &Finding) -> Key {
    let name = survey.look.topology.link(finding.mismatch.at).map(|link| link.name.clone());
    (finding.id.clone(), name.unwrap_or_default())
}
