//! Which sizes go out together. The first flight is frugal: it is all that a path without trouble needs.
//! Later ones split what is believed, and repeat the size that would make the answer wrong.

use std::time::Duration;

use super::belief::{Belief, Loss, Named, SIGNIFICANCE};
use super::config::SearchConfig;
use super::narrow;

/// Copies of one size in one flight: more of them together would share the fate of one burst of loss.
const MAX_COPIES: usize = 6;

/// Copies of one size that are few enough to send them of a size that may be the answer.
const FEW_COPIES: usize = 6;

/// Packets of a jumbo flight without loss, small controls to fill it up, until so many were answered: the more
/// answers, the fewer large copies are a proof.
const FULL: usize = 7;
const ANSWERED: u32 = 20;

/// Belief that nothing larger than what passed passes, from which the next larger size is worth a packet, and from
/// which its proof begins.
const LIKELY: f64 = 0.2;
const SURE: f64 = 0.5;

/// Sizes of a flight where packets are lost, by the belief that they pass: many small flights then tell more than
/// few large ones. An answer is rarer than silence and tells more, so less than half is best (a Z-channel).
const SHARES_LOSSY: [f64; 2] = [0.4, 0.3];

/// The same where packets are larger than `DEAR`, and bytes end a search before the packets do.
const SHARE_DEAR: [f64; 1] = [0.42];
const DEAR: u16 = 3000;

/// Packets that go out together, largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) packets: Vec<Planned>,
    /// Size of packets that are to tell the hop meanwhile, if it is time for that.
    pub(super) hop_size: Option<u16>,
}

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
    let [one, other] = match config.hint {
        Some(hint) => [hint.get(), 1400],
        None => narrow::first(config).unwrap_or([1400; 2]),
    };
    let wanted = [max, narrow::ETHERNET, one, other, small, config.control()];
    let mut sizes: Vec<u16> = wanted.into_iter().filter(|&size| size <= max).collect();
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
        self.copies_of(self.low + 1)
    }

    fn copies_of(&self, wanted: u16) -> usize {
        self.silent.iter().filter(|&&size| size == wanted).count()
    }

    /// Whether loss alone cannot explain that nothing above what passed was answered.
    pub(super) fn is_proven(&self) -> bool {
        let chance = self.named.chance_above(self.low) * self.loss.chance_of_silence(self.copies());
        self.low == self.top || chance < SIGNIFICANCE
    }

    /// Copies of the next larger size that are still needed to rule out loss.
    fn missing(&self) -> usize {
        self.missing_of(self.low + 1)
    }

    /// The same for any `size`, if it is the next larger one.
    fn missing_of(&self, size: u16) -> usize {
        let needed = self.loss.copies_needed(self.named.chance_above(size - 1), SIGNIFICANCE);
        needed.saturating_sub(self.copies_of(size))
    }

    /// Up to `most` copies of `size` that a proof still needs, apart in time.
    fn repeated(&self, size: u16, most: usize) -> Vec<Planned> {
        let count = u32::try_from(self.missing_of(size).min(most)).unwrap_or(u32::MAX);
        let copy = |number| Planned { size, hop_limit: None, after: self.spacing() * number };
        (0..count).map(copy).collect()
    }

    fn spacing(&self) -> Duration {
        Duration::from_millis(2) + self.rtt / 32
    }

    fn is_lossy(&self) -> bool {
        self.loss.lost > 0 || self.low < self.base
    }
}

/// The next flight.
pub(super) fn next(known: &Known<'_>, control: u16) -> Flight {
    let belief = Belief::new(known.low, known.top, known.silent, known.loss, known.named);
    let (sure, is_lossy) = (belief.in_low(), known.is_lossy());
    let end = known.silent.first().copied().unwrap_or(known.top + 1);
    let untried = end - known.low - 1;
    let is_last = !is_lossy && untried <= narrow::LAST && (untried == 0 || known.missing() <= FEW_COPIES);
    let repeats = is_last || sure > SURE;
    let sizes = match (is_lossy, repeats) {
        (true, true) => Vec::new(),
        (true, false) => lossy_sizes(&belief),
        (false, _) if is_last || sure > 0.9 => Vec::new(),
        (false, _) => {
            let mut sizes = sizes(&belief, known.low, end, known.bytes_left);
            sizes.retain(|&size| size != known.low + 1 || !repeats);
            if sure > LIKELY && !repeats && !sizes.contains(&(known.low + 1)) {
                sizes.insert(0, known.low + 1);
            }
            sizes
        }
    };
    let mut packets: Vec<Planned> = sizes.into_iter().rev().map(|size| Planned::now(size, None)).collect();
    if is_last {
        // Each of them may turn out to be the one that is to be proven.
        let others = (known.low + 2..=end.min(known.top)).rev();
        packets.extend(others.flat_map(|size| known.repeated(size, MAX_COPIES)));
    }
    let mut after = Duration::ZERO;
    if repeats {
        let copies = known.repeated(known.low + 1, worth(sure, is_lossy));
        after = copies.last().map_or(after, |last| last.after + known.spacing());
        packets.extend(copies);
    }
    // Without loss the control tells soonest what is missing. With loss it costs too much to send one each time,
    // but one must have been answered while the next larger size was not.
    let repeated = packets.iter().filter(|packet| packet.size == known.low + 1).count();
    let is_halfway = known.copies() + repeated >= known.missing().saturating_sub(repeated);
    let controls = match is_lossy {
        true => usize::from(repeats && is_halfway && !known.is_witnessed),
        false if known.low > DEAR && known.loss.answered < ANSWERED => {
            FULL.saturating_sub(packets.len()).max(1)
        }
        false => 1,
    };
    packets.extend(vec![Planned { size: control, hop_limit: None, after }; controls]);
    let hop_size = if is_last { end.min(known.top) } else { known.low + 1 };
    Flight { packets, hop_size: repeats.then_some(hop_size) }
}

/// Sizes of a flight where packets are lost; ascending.
fn lossy_sizes(belief: &Belief) -> Vec<u16> {
    let is_dear = belief.at(&SHARE_DEAR).first() > Some(&DEAR);
    belief.at(if is_dear { &SHARE_DEAR } else { &SHARES_LOSSY })
}

/// Sizes between `low` and `end` of a flight where none is lost; ascending.
fn sizes(belief: &Belief, low: u16, end: u16, bytes_left: u32) -> Vec<u16> {
    let count = narrow::splits(low, end, bytes_left);
    if end - low - 1 <= count.min(16) {
        (low + 1..end).collect()
    } else if low >= narrow::ETHERNET {
        narrow::even(low, end, count)
    } else {
        belief.splits(count)
    }
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

#[cfg(test)]
mod tests;
