//! Which sizes go out together. The first flight is frugal: it is all that a path without trouble needs.
//! Later ones split what is believed, and repeat the size that would make the answer wrong.

use std::time::Duration;

use super::belief::{Belief, Loss, Named, SIGNIFICANCE};
use super::config::SearchConfig;

/// Copies of one size in one flight: more of them together would share the fate of one burst of loss.
const MAX_COPIES: usize = 6;

/// Sizes that split a flight: wide gaps would cost too many bytes, and loss makes later flights cheaper than
/// larger ones.
const SPLITS: u16 = 14;
const SPLITS_JUMBO: u16 = 10;
const SPLITS_LOSSY: u16 = 7;

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
        self.loss.lost > 0
    }
}

/// The next flight, largest first, and a control at its end. `sure` is the belief that nothing larger passes.
pub(super) fn next(known: &Known<'_>, control: u16) -> (Vec<Planned>, f64) {
    let belief = Belief::new(known.low, known.top, known.silent, known.loss, known.named);
    let sure = belief.in_low();
    let copies = if sure > 0.5 {
        known.missing()
    } else if sure > 0.15 {
        known.missing().min(2)
    } else {
        0
    };
    let gap = known.silent.first().unwrap_or(&known.top) - known.low;
    let splits = match sure {
        0.8.. => 0,
        _ if known.is_lossy() => SPLITS_LOSSY,
        _ if gap > 1000 => SPLITS_JUMBO,
        _ => SPLITS,
    };
    let spacing = Duration::from_millis(2) + known.rtt / 32;
    let mut flight: Vec<Planned> = belief
        .splits(splits)
        .into_iter()
        .filter(|&size| copies == 0 || size != known.low + 1)
        .map(|size| Planned::now(size, None))
        .collect();
    flight.reverse();
    let repeated = (0_u32..).zip(std::iter::repeat_n(known.low + 1, copies.min(MAX_COPIES)));
    flight.extend(repeated.map(|(number, size)| Planned { size, hop_limit: None, after: spacing * number }));
    let last = flight.last().map_or(Duration::ZERO, |packet| packet.after);
    flight.push(Planned { size: control, hop_limit: None, after: last });
    (flight, sure)
}

#[cfg(test)]
mod tests;
