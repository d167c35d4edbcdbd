//! Which sizes split a gap where no packet is lost. Time is flights: as few as packets and bytes allow.
//!
//! Bytes are short where packets are large: 29 packets of 8.7 kB are all that a jumbo search may send. So sizes are
//! laid evenly, whatever is likely, since every path is to be known in time; and what proves the size and names the
//! hop is set aside before.

use super::config::SearchConfig;

/// Largest size that most links carry.
pub(super) const ETHERNET: u16 = 1500;

/// Untried sizes at which the last look for the size and its proof share a flight.
pub(super) const LAST: u16 = 1;

/// Packets in which a search without loss should find the size, apart from those that prove it. Fewer cost a
/// round trip more.
const FRUGAL_SEARCH: u32 = 25;

/// Large packets that are still to be sent when a flight of narrowing is over: copies of the last sizes, and those
/// that tell which router they do not reach.
const LARGE_AFTER_SEARCH: u32 = 7;

/// Where a first flight splits what is above Ethernet, in 15ths: the higher, the dearer is each later packet, and the
/// narrower must be what is left.
const FIRST_PARTS: [u32; 2] = [13, 9];

/// Part of the bytes of a search that its first flight may take for that.
const FIRST_SHARE: u32 = 8;

/// Sizes between Ethernet and a much larger first size that are worth a packet of the first flight.
pub(super) fn first(config: SearchConfig) -> Option<[u16; 2]> {
    let above = config.max.get().checked_sub(ETHERNET)?;
    let sizes = FIRST_PARTS.map(|part| ETHERNET + share(above, part, 15));
    let bytes = u32::from(config.max.get()) + sizes.map(u32::from).iter().sum::<u32>();
    (above > ETHERNET && bytes * FIRST_SHARE <= config.byte_budget()).then_some(sizes)
}

/// `count` sizes that split the gap between `low` and `end` evenly; ascending.
pub(super) fn even(low: u16, end: u16, count: u16) -> Vec<u16> {
    (1..=count).map(|part| low + share(end - low, part.into(), u32::from(count) + 1)).collect()
}

fn share(gap: u16, part: u32, parts: u32) -> u16 {
    u16::try_from(u32::from(gap) * part / parts).expect("a part is less than the whole")
}

/// Into how many sizes to split the gap between `low` and `end`: as few flights as packets and bytes allow, and
/// then as few packets as that many flights need.
pub(super) fn splits(low: u16, end: u16, bytes_left: u32) -> u16 {
    let parts = u32::from(end - low).div_ceil(u32::from(LAST) + 1);
    let plans = (1..=16).map(|flights| Plan { flights, packets: packets_for(parts, flights) });
    let cost = |plan: &Plan| plan.flights + plan.packets;
    let least = plans.clone().map(|plan| cost(&plan)).min().unwrap_or(0);
    let allowed = (least * 5 / 4).max(FRUGAL_SEARCH);
    let bytes = bytes_left.saturating_sub(LARGE_AFTER_SEARCH * u32::from(end));
    // The larger the path MTU, the dearer: what comes after this flight is taken to be in the upper half.
    let middle = u32::midpoint(low.into(), end.into());
    let later = u32::midpoint(middle, end.into());
    let is_affordable = |plan: &Plan| plan.at_once() * middle + plan.later() * later <= bytes;
    let mut plans = plans.filter(|plan| cost(plan) <= allowed && is_affordable(plan));
    let sizes = plans.next().map_or(1, |plan| plan.at_once());
    u16::try_from(sizes).unwrap_or(u16::MAX).clamp(1, end - low)
}

/// Flights, and sizes in all of them together.
struct Plan {
    flights: u32,
    packets: u32,
}

impl Plan {
    /// The first of them is the largest: its packets are the cheapest.
    fn at_once(&self) -> u32 {
        self.packets.div_ceil(self.flights)
    }

    fn later(&self) -> u32 {
        self.packets - self.at_once()
    }
}

/// Fewest packets that find one of `parts` parts in so many flights.
fn packets_for(parts: u32, flights: u32) -> u32 {
    let told = |packets: u32| {
        let (each, larger) = (packets / flights + 1, packets % flights);
        u64::from(each).pow(flights - larger).saturating_mul(u64::from(each + 1).pow(larger))
    };
    (0..parts).find(|&packets| told(packets) >= parts.into()).unwrap_or(parts)
}

#[cfg(test)]
mod tests;
