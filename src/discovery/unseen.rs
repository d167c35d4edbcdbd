//! What a survey could not see, and what is lost by it. Partial sight is said, never hidden.

use serde::Serialize;

use crate::kernel::watch::Unheard;

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What, with how many.
    pub what: String,
    /// Why it matters: what is lost.
    pub why: String,
    /// What would make it visible; `None` when nothing would.
    pub needs: Option<String>,
}

impl Unseen {
    /// With the means to see it.
    pub fn needing(what: impl Into<String>, why: impl Into<String>, needs: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), needs: Some(needs.into()) }
    }

    /// Nothing would make it visible.
    pub fn opaque(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), needs: None }
    }
}

impl From<Unheard> for Unseen {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::OtherNamespaces => Self::needing(
                "changes in other network namespaces, at the moment they happen",
                "they are found when the survey is repeated on its timer, not within milliseconds",
                "CAP_NET_BROADCAST",
            ),
            Unheard::Bursts { room_bytes } => Self::needing(
                format!("bursts of kernel events over {} KiB", room_bytes / 1024),
                "the survey is repeated as a whole after each, at most every 2 s while they last",
                "CAP_NET_ADMIN",
            ),
        }
    }
}

/// `3 namespaces`, `1 namespace`, `2 processes`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if noun.ends_with('s') { "es" } else { "s" };
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}{plural}") }
}
