//! What is believed of a PTB: the size to try next, and never the answer (RFC 8899 §4.6.2).

use std::net::IpAddr;

use crate::domain::mtu::IpFamily;

/// PTBs that are followed at once. Few paths have more ever narrower links; a forger has.
const MAX_FOLLOWED: usize = 4;

/// A PTB whose MTU is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Next-hop MTU that it names.
    pub(super) mtu: u16,
    /// Router that it comes from, if that is no lie.
    pub(super) from: IpAddr,
}

/// The PTBs of one search.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    possible: Vec<Claim>,
    followed: usize,
    pub(super) ignored: u32,
}

impl Claims {
    /// Takes note of a PTB for a probe of `probed` bytes, `passed` being the largest size that passed. Some if
    /// its size is the smallest named so far, and so is worth a probe at once.
    pub(super) fn note(
        &mut self,
        family: IpFamily,
        passed: Option<u16>,
        probed: u16,
        mtu: u32,
        from: IpAddr,
    ) -> Option<Claim> {
        let possible = u16::try_from(mtu).ok().filter(|&mtu| {
            mtu >= family.minimum_mtu().get() && mtu < probed && passed.is_none_or(|passed| mtu >= passed)
        });
        let Some(mtu) = possible else {
            self.ignored += 1;
            return None;
        };
        let claim = Claim { mtu, from };
        let is_news = self.smallest(passed).is_none_or(|smallest| mtu < smallest.mtu);
        let is_worth_it = is_news && self.are_trusted(passed) && self.followed < MAX_FOLLOWED;
        self.possible.push(claim);
        if !is_worth_it {
            return None;
        }
        self.followed += 1;
        Some(claim)
    }

    /// The claim that limits the path most, of those that nothing larger than it has passed since.
    pub(super) fn smallest(&self, passed: Option<u16>) -> Option<Claim> {
        let alive = self.possible.iter().filter(|claim| passed.is_none_or(|passed| claim.mtu >= passed));
        alive.min_by_key(|claim| claim.mtu).copied()
    }

    /// Whether none of them was proven wrong: something larger than a true one never passes.
    pub(super) fn are_trusted(&self, passed: Option<u16>) -> bool {
        self.possible.iter().all(|claim| passed.is_none_or(|passed| claim.mtu >= passed))
    }
}

#[cfg(test)]
mod tests;
