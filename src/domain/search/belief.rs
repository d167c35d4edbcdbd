//! What is believed about sizes that nobody acknowledged: a loss is not a size.
//!
//! A packet that is too big is never answered; one that fits is lost with some chance, which is estimated from
//! packets of sizes that are known to fit. So silence above what passed multiplies the belief in every path MTU
//! that would have carried the packet by the chance of a loss. Two things are read from this: which sizes would
//! tell most if they were sent next, and whether loss alone could still explain the silence.

use super::ladder::LIKELY;

/// Loss alone is ruled out as the reason of a silence when its chance is below this.
pub(super) const SIGNIFICANCE: f64 = 1e-4;

/// Chance that a PTB whose quote is right names a size that the path does not have.
const CHANCE_OF_A_LIE: f64 = 1e-3;

/// What is assumed of a path before its first answer: it is one of these kinds, with that chance, and behaves as
/// if so many packets had been lost and answered before.
const KINDS: [Kind; 2] =
    [Kind { chance: 0.5, lost: 0.5, answered: 30.0 }, Kind { chance: 0.5, lost: 4.0, answered: 10.0 }];

/// A kind of path, by its loss: a Beta distribution.
struct Kind {
    chance: f64,
    lost: f64,
    answered: f64,
}

impl Kind {
    /// Chance that of the next packets `lost` are lost and `answered` are answered, in one given order.
    fn chance_of(&self, lost: u32, answered: u32) -> f64 {
        let (mut chance, mut all) = (1.0, self.lost + self.answered);
        for (count, seen) in [(lost, self.lost), (answered, self.answered)] {
            for number in 0..count {
                chance *= (seen + f64::from(number)) / all;
                all += 1.0;
            }
        }
        chance
    }
}

/// Belief in a likely size, in a hinted one, and in all the sizes between two likely ones together.
const LIKELY_WEIGHT: f64 = 0.5;
const HINT_WEIGHT: f64 = 20.0;
const UP_TO_ETHERNET_WEIGHT: f64 = 30.0;
const JUMBO_WEIGHT: f64 = 15.0;
const SMALL_WEIGHT: f64 = 0.1;

const BASE: u16 = 1280;
const ETHERNET: u16 = 1500;

/// What is known about the loss of packets that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) answered: u32,
    pub(super) lost: u32,
}

impl Loss {
    /// Chance that `count` more packets of a size that fits are all lost.
    ///
    /// The rate is not known but estimated, so this falls slower than a power: the more answers were seen, the
    /// fewer copies are needed.
    pub(super) fn chance_of_silence(self, count: usize) -> f64 {
        let more = u32::try_from(count).unwrap_or(u32::MAX);
        let chance_of = |lost: u32| -> f64 {
            KINDS.iter().map(|kind| kind.chance * kind.chance_of(lost, self.answered)).sum()
        };
        chance_of(self.lost + more) / chance_of(self.lost)
    }

    /// How many unanswered copies of a size rule out loss, `prior` being the chance without any.
    pub(super) fn copies_needed(self, prior: f64, significance: f64) -> usize {
        (0..64).find(|&count| prior * self.chance_of_silence(count) < significance).unwrap_or(64)
    }
}

/// Belief in each path MTU from what passed up to the largest possible.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    low: u16,
    /// Belief in a path MTU of `low + index` or more, not normalised.
    at_least: Vec<f64>,
}

/// Sizes that somebody named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// By the user, the last search, or the kernel.
    pub(super) hint: Option<u16>,
    /// By a PTB that may be true.
    pub(super) ptb: Option<u16>,
}

impl Named {
    /// Chance that something above `low` passes although a PTB named `low`; 1 if none did.
    pub(super) fn chance_above(self, low: u16) -> f64 {
        if self.ptb == Some(low) { CHANCE_OF_A_LIE } else { 1.0 }
    }
}

impl Belief {
    /// Of a path that carries `low`, and no more than `top`. `silent` has the sizes above `low` that were not
    /// answered, ascending, each as often as it was sent.
    pub(super) fn new(low: u16, top: u16, silent: &[u16], loss: Loss, named: Named) -> Self {
        let chances: Vec<f64> = (0..=silent.len()).map(|count| loss.chance_of_silence(count)).collect();
        let mut unanswered = 0;
        let mut at_least: Vec<f64> = (low..=top)
            .map(|size| {
                while silent.get(unanswered).is_some_and(|&other| other <= size) {
                    unanswered += 1;
                }
                let contradiction =
                    if named.ptb.is_some_and(|mtu| size > mtu) { CHANCE_OF_A_LIE } else { 1.0 };
                prior(size, top, named) * chances[unanswered] * contradiction
            })
            .collect();
        let mut sum = 0.0;
        for belief in at_least.iter_mut().rev() {
            sum += *belief;
            *belief = sum;
        }
        Self { low, at_least }
    }

    /// Belief that nothing above what passed passes, between 0 and 1.
    pub(super) fn in_low(&self) -> f64 {
        match self.at_least[..] {
            [all, above, ..] => 1.0 - above / all,
            [_] | [] => 1.0,
        }
    }

    /// Sizes above what passed, one for each of `shares`: the largest that so much of the belief says passes.
    pub(super) fn at(&self, shares: &[f64]) -> Vec<u16> {
        let [all, above @ ..] = &self.at_least[..] else { return Vec::new() };
        if above.is_empty() {
            return Vec::new();
        }
        let size = |share: &f64| {
            let passing = above.partition_point(|&belief| belief >= share * *all).max(1);
            self.low + u16::try_from(passing).expect("as many beliefs as sizes")
        };
        let mut sizes: Vec<u16> = shares.iter().map(size).collect();
        sizes.sort_unstable();
        sizes
    }

    /// Up to `count` sizes above what passed that split the belief in them into equal parts; ascending. After a
    /// size that takes several parts comes the next larger one, which tells whether it is the answer.
    pub(super) fn splits(&self, count: u16) -> Vec<u16> {
        let Some(&above) = self.at_least.get(1) else { return Vec::new() };
        let mut sizes: Vec<u16> = Vec::with_capacity(count.into());
        for part in (1..=count).rev() {
            let share = above * f64::from(part) / f64::from(count + 1);
            let passing = self.at_least.partition_point(|&belief| belief >= share).max(2) - 1;
            let size = self.low + u16::try_from(passing).expect("as many beliefs as sizes");
            let next = if sizes.contains(&size) { size + 1 } else { size };
            if !sizes.contains(&next) && self.at_least.len() > usize::from(next - self.low) {
                sizes.push(next);
            }
        }
        sizes.sort_unstable();
        sizes
    }
}

/// Belief before any packet.
fn prior(size: u16, top: u16, named: Named) -> f64 {
    let spread = if size < BASE {
        SMALL_WEIGHT / f64::from(BASE)
    } else if size <= ETHERNET {
        UP_TO_ETHERNET_WEIGHT / f64::from(ETHERNET - BASE + 1)
    } else {
        JUMBO_WEIGHT / f64::from(top.saturating_sub(ETHERNET).max(1))
    };
    let likely = match LIKELY.contains(&size) || size == top {
        true if size < BASE => SMALL_WEIGHT / 4.0,
        true => LIKELY_WEIGHT,
        false => 0.0,
    };
    let hinted = if named.hint == Some(size) || named.ptb == Some(size) { HINT_WEIGHT } else { 0.0 };
    spread + likely + hinted
}

#[cfg(test)]
mod tests;
