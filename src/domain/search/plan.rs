//! Which sizes go out together. The first flight is frugal: it is all that a path without trouble needs.
//! Later ones split what is believed, and repeat the size that would make the answer wrong.

use std::time::Duration;

use super::belief::{Belief, Loss, Named, SIGNIFICANCE};
use super::config::SearchConfig;

/// Copies of one size in one flight: more of them together would share the fate of one burst of loss.
const MAX_COPIES: usize = 6;

/// Packets in which a search without loss should find the size, apart from those that prove it. Fewer cost a
/// round trip more.
const FRUGAL_SEARCH: u32 = 20;

/// Packets larger than the answer that are still to be sent when it is found: copies of the next size, and those
/// that look for the hop.
const LARGE_AFTER_SEARCH: u32 = 9;

/// Sizes of a flight where packets are lost, by the belief that they pass: many small flights then tell more than
/// few large ones. An answer is rarer than silence and tells more, so less than half is best (a Z-channel).
const SHARES_LOSSY: [f64; 2] = [0.4, 0.3];

/// The same where packets are larger than `DEAR`, and bytes end a search before the packets do.
const SHARE_DEAR: [f64; 1] = [0.42];
const DEAR: u16 = 3000;

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
pub(super) fn first(config: SearchConfig) -> Vec<u16> {
    let max = config.max.get();
    // A link that is that small may lead to a smaller one, where IPv4 allows it.
    let small = if config.base() == max { config.family.minimum_mtu().get().max(576) } else { config.base() };
    let hint = config.hint.map(crate::domain::mtu::PathMtu::get);
    let wanted = [Some(max), Some(1500), Some(1400), hint, Some(small), Some(config.control())];
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
    /// Whether the path is known to have carried packets while the next larger size was not answered.
    pub(super) is_witnessed: bool,
    /// What the search may still send.
    pub(super) bytes_left: u32,
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
    let is_lossy = known.is_lossy();
    let end = known.silent.first().copied().unwrap_or(known.top + 1);
    let untried = end - known.low - 1;
    let repeats = sure > 0.5 || (untried == 0 && !is_lossy);
    let mut flight = Vec::new();
    let mut after = Duration::ZERO;
    if is_lossy && !repeats {
        let shares =
            if belief.at(&SHARE_DEAR).first() > Some(&DEAR) { &SHARE_DEAR[..] } else { &SHARES_LOSSY };
        flight.extend(belief.at(shares).into_iter().rev().map(|size| Planned::now(size, None)));
    }
    if !is_lossy && sure < 0.9 {
        let count = splits(known.low, end, known.bytes_left);
        let sizes =
            if untried <= count.min(16) { (known.low + 1..end).collect() } else { belief.splits(count) };
        let sizes = sizes.into_iter().rev().filter(|&size| !repeats || size != known.low + 1);
        flight.extend(sizes.map(|size| Planned::now(size, None)));
    }
    if repeats {
        let spacing = Duration::from_millis(2) + known.rtt / 32;
        for _ in 0..known.missing().min(worth(sure, is_lossy)) {
            flight.push(Planned { size: known.low + 1, hop_limit: None, after });
            after += spacing;
        }
    }
    // Without loss the control tells soonest what is missing. With loss it costs too much to send one each time,
    // but one must have been answered while the next larger size was not.
    let repeated = flight.iter().filter(|packet| packet.size == known.low + 1).count();
    let is_halfway = known.copies() + repeated >= known.missing().saturating_sub(repeated);
    if !is_lossy || (repeats && is_halfway && !known.is_witnessed) {
        flight.push(Planned { size: control, hop_limit: None, after });
    }
    (flight, sure)
}

/// How many copies of the size that seems not to pass are worth sending at once: one that is answered makes the
/// others of its flight useless.
fn worth(sure: f64, is_lossy: bool) -> usize {
    match (sure, is_lossy) {
        (_, false) => MAX_COPIES,
        (0.95.., true) => 4,
        (0.8.., true) => 2,
        (_, true) => 1,
    }
}

/// Into how many sizes to split the gap between `low` and `end`: as few flights as packets and bytes allow, and
/// then as few packets as that many flights need.
fn splits(low: u16, end: u16, bytes_left: u32) -> u16 {
    let gap = u32::from(end - low);
    let middle = u32::midpoint(low.into(), end.into());
    let cost = |&(flights, sizes): &(u32, u16)| flights * u32::from(sizes + 1);
    let plans: Vec<(u32, u16)> = (1..=16)
        .map(|flights| {
            let sizes = (1..end - low).find(|&sizes| u64::from(sizes + 1).pow(flights) >= gap.into());
            (flights, sizes.unwrap_or(1))
        })
        .collect();
    let least = plans.iter().map(cost).min().unwrap_or(0);
    let allowed = (least * 5 / 4).max(FRUGAL_SEARCH);
    // The proof and the hop take some large packets, too.
    let bytes = bytes_left.saturating_sub(LARGE_AFTER_SEARCH * u32::from(end));
    let fits = |plan: &&(u32, u16)| cost(plan) <= allowed && plan.0 * u32::from(plan.1) * middle <= bytes;
    plans.iter().find(fits).map_or(1, |&(_, sizes)| sizes)
}

#[cfg(test)]
mod tests;
