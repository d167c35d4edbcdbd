//! Which sizes go out together. The first flight is frugal: it is all that a path without trouble needs.
//! Later ones split what is believed, and repeat the size that would make the answer wrong.

use std::time::Duration;

use super::belief::{Belief, Loss, Named, SIGNIFICANCE};
use super::config::SearchConfig;

/// Copies of one size in one flight: more of them together would share the fate of one burst of loss.
const MAX_COPIES: usize = 6;

/// Packets in which a search without loss should find the size, apart from those that prove it. Fewer cost a
/// round trip more.
const FRUGAL_SEARCH: u16 = 24;

/// Sizes of a flight where packets are lost: several small flights then tell more than a large one.
const SHARES_LOSSY: [f64; 2] = [0.4, 0.3];
const SPLITS_LOSSY: u16 = 6;

/// A packet to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) size: u16,
    pub(super) hop_limit: Option<u8>,
    /// How long after the first of its flight.
    pub(super) after: Duration,
}

impl Planned {
    pub(super) fn now(size: u16, hop_limit: Option<u8>) -> Self {
        Self { size, hop_limit, after: Duration::ZERO }
    }
}

/// The first flight: the largest size, the likely ones, a size that always passes, a control.
pub(super) fn first(config: &SearchConfig) -> Vec<u16> {
    let max = config.max.get();
    let small = if config.base() == max { 576 } else { config.base() };
    let hint = config.hint.map(crate::domain::mtu::PathMtu::get);
    let wanted = [Some(max), Some(1500), hint, Some(small), Some(config.control())];
    let mut sizes: Vec<u16> = wanted.into_iter().flatten().filter(|&size| size <= max).collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    sizes.dedup();
    sizes
}

/// What is known when a flight is planned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Largest size that passed.
    pub(super) low: u16,
    /// Largest size that is possible.
    pub(super) top: u16,
    /// Size that nearly every path carries.
    pub(super) base: u16,
    /// Larger sizes that were not answered, ascending, each as often as it was sent.
    pub(super) silent: &'a [u16],
    /// Loss of packets that pass.
    pub(super) loss: Loss,
    /// Sizes that somebody named.
    pub(super) named: Named,
    /// Round trip.
    pub(super) rtt: Duration,
}

impl Known<'_> {
    /// Copies of the next larger size that are unanswered.
    pub(super) fn copies(&self) -> usize {
        self.silent.iter().filter(|&&size| size == self.low + 1).count()
    }

    /// Whether loss alone cannot explain that nothing above what passed was answered.
    pub(super) fn is_proven(&self) -> bool {
        let chance = self.named.chance_above(self.low) * self.loss.chance_of_silence(self.copies());
        self.low == self.top || chance < SIGNIFICANCE
    }

    /// Copies of the next larger size that are still needed to rule out loss.
    pub(super) fn missing(&self) -> usize {
        let needed = self.loss.copies_needed(self.named.chance_above(self.low), SIGNIFICANCE);
        needed.saturating_sub(self.copies())
    }

    fn is_lossy(&self) -> bool {
        self.loss.lost > 0 || self.low < self.base
    }
}

/// The next flight, largest first. `sure` is the belief that nothing larger passes.
pub(super) fn next(known: &Known<'_>, control: u16) -> (Vec<Planned>, f64) {
    let belief = Belief::new(known.low, known.top, known.silent, known.loss, known.named);
    let sure = belief.in_low();
    let mut flight = Vec::new();
    let mut after = Duration::ZERO;
    let is_next_silent = known.silent.first() == Some(&(known.low + 1));
    if sure > 0.5 || (is_next_silent && !known.is_lossy()) {
        let spacing = Duration::from_millis(2) + known.rtt / 32;
        // A copy that is answered makes the others of its flight useless.
        let worth = match sure {
            0.95.. => 4,
            0.8.. => 2,
            _ => 1,
        };
        for _ in 0..known.missing().min(worth) {
            flight.push(Planned { size: known.low + 1, hop_limit: None, after });
            after += spacing;
        }
    } else if known.is_lossy() {
        flight.extend(belief.at(&SHARES_LOSSY).into_iter().rev().map(|size| Planned::now(size, None)));
    } else {
        let end = known.silent.first().copied().unwrap_or(known.top + 1);
        let count = splits(end - known.low);
        let sizes = if end - known.low - 1 <= count {
            (known.low + 1..end).collect()
        } else {
            belief.splits(count, 1)
        };
        flight.extend(sizes.into_iter().rev().map(|size| Planned::now(size, None)));
    }
    if !known.is_lossy() {
        flight.push(Planned { size: control, hop_limit: None, after });
    }
    (flight, sure)
}

/// Into how many sizes to split a gap of `gap` candidates: as few flights as the packets allow, and then as few
/// packets as that many flights need.
fn splits(gap: u16) -> u16 {
    let plans = (1..=16_u32).map(|flights| {
        let sizes = (1..gap).find(|sizes| u64::from(sizes + 1).pow(flights) >= gap.into()).unwrap_or(1);
        (flights, sizes)
    });
    let cost = |&(flights, sizes): &(u32, u16)| flights * u32::from(sizes + 1);
    let least = plans.clone().map(|plan| cost(&plan)).min().unwrap_or(0);
    let allowed = (least * 5 / 4).max(FRUGAL_SEARCH.into());
    plans.into_iter().find(|plan| cost(plan) <= allowed).map_or(1, |(_, sizes)| sizes)
}

#[cfg(test)]
mod tests;
