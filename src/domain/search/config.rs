//! What a search is told before it starts.

use crate::domain::mtu::{IpFamily, PathMtu};

/// What to search, and within which limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchConfig {
    /// IP version of the path.
    pub family: IpFamily,
    /// Largest size to try: the MTU of the link that the path leaves by, or what the user allows.
    pub max: PathMtu,
    /// A size that is likely the answer: the last known one, or what the kernel learned. Only a hint.
    pub hint: Option<PathMtu>,
    /// Whether to find out which hop limits the path. Costs packets, and on most paths no time.
    pub localise: bool,
}

/// Why a search cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchConfigError {
    /// Every link of that IP version carries more.
    #[error(
        "the largest size to try is {max}, but every {family} link carries {minimum} (RFC 791, RFC 8200)"
    )]
    MaxBelowMinimum {
        /// The refused size.
        max: PathMtu,
        /// IP version of the path.
        family: IpFamily,
        /// Least MTU of a link of that version.
        minimum: PathMtu,
    },
}

impl SearchConfig {
    /// Searches up to `max`, with no hint, and names the hop.
    pub fn new(family: IpFamily, max: PathMtu) -> Self {
        Self { family, max, hint: None, localise: true }
    }

    pub(super) fn check(self) -> Result<(), SearchConfigError> {
        let minimum = self.family.minimum_mtu();
        if self.max < minimum {
            return Err(SearchConfigError::MaxBelowMinimum { max: self.max, family: self.family, minimum });
        }
        Ok(())
    }

    /// Size of a control packet: what `ping` sends when nobody asks for a size.
    pub(super) fn control(self) -> u16 {
        let ping = match self.family {
            IpFamily::V4 => 84,
            IpFamily::V6 => 104,
        };
        ping.min(self.max.get())
    }

    /// Size that nearly every path carries (RFC 8899 §5.1.2, `BASE_PLPMTU`): RFC 8200's minimum for both versions.
    pub(super) fn base(self) -> u16 {
        IpFamily::V6.minimum_mtu().get().min(self.max.get())
    }

    /// Bytes that one search may send: 64 packets of Ethernet size, or the same in fewer jumbo ones.
    pub(super) fn byte_budget(self) -> u32 {
        if self.max.get() <= 1500 { 96_000 } else { 256_000 }
    }
}
