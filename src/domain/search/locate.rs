//! Which hop swallows a size: the last router that such a packet still reaches.
//!
//! A router looks at the hop limit before it looks at the size. So a packet that is too big, sent with hop limit
//! H, is answered by router H as long as it gets there; the last router that answers is the one whose next link
//! is too narrow. A small packet with the same hop limit tells a narrow link from a router that never answers.

use std::net::IpAddr;

use super::LimitedBy;
use super::belief::Loss;

/// Packets for one router: Linux allows six time exceeded messages at once, and then one a second.
const PER_ROUTER: usize = 6;

/// Copies for one router at once: one that it answers makes the others useless.
const AT_ONCE: usize = 2;

/// Hops that one sweep looks at.
const SWEEP: u8 = 3;

/// Routers in a row that may be silent before it is given up.
const SILENT_IN_A_ROW: u8 = 5;

/// Sizes that differ by so few bytes vanish at the same link: no header is that small.
const SAME_LINK: u16 = 2;

/// Chance that loss alone makes a router look like the last one.
const SIGNIFICANCE: f64 = 1e-2;

/// A probe with a hop limit, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) size: u16,
    pub(super) hop: u8,
    pub(super) fate: Fate,
}

/// What came of a probe with a hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// An answer may still come.
    Waiting,
    /// Nothing came in time.
    Silent,
    /// The router at that distance answered.
    Reached(IpAddr),
    /// The destination answered: it is not further than that.
    Destination,
    /// Something else; it says nothing about the hop.
    Other,
}

/// What to do about the hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send these: size and hop limit.
    Send(Vec<(u16, u8)>),
    /// Answers are still to come.
    Wait,
    /// As much is known as can be.
    Done(Option<LimitedBy>),
}

/// The hops behind `after`.
fn sweep(size: u16, after: u8) -> impl Iterator<Item = (u16, u8)> {
    (after + 1..=after.saturating_add(SWEEP)).map(move |hop| (size, hop))
}

/// Distance of the router at `address`, if one with that address answered.
pub(super) fn hop_of(probes: &[Limited], address: IpAddr) -> Option<u8> {
    probes.iter().filter(|probe| probe.fate == Fate::Reached(address)).map(|probe| probe.hop).min()
}

/// A look at the next hops with packets of `send`, unless one that was sent before may tell as much about packets of
/// `size`. It is worth its packets while the search still goes on: the hop then takes no time of its own.
pub(super) fn scout(probes: &[Limited], size: u16, send: u16) -> Vec<(u16, u8)> {
    let last_hop = last_reached(probes, size).map_or(0, |(hop, _)| hop);
    let is_tried = probes.iter().any(|probe| probe.hop > last_hop && probe.size >= size);
    if is_tried { Vec::new() } else { sweep(send, last_hop).collect() }
}

/// Where packets of `size` vanish, although smaller ones do not. `send` is the size of those that are to be sent,
/// hardly larger; `control` that of small packets.
pub(super) fn step(probes: &[Limited], size: u16, send: u16, control: u16, loss: Loss) -> Step {
    let last = last_reached(probes, size);
    let last_hop = last.map_or(0, |(hop, _)| hop);
    let known = LimitedBy { address: last.map(|(_, address)| address), hop: Some(last_hop) };
    let next = last_hop + 1;
    let sweep = scout(probes, size, send);
    if !sweep.is_empty() {
        return Step::Send(sweep);
    }
    let copies = loss.copies_needed(1.0, SIGNIFICANCE).min(PER_ROUTER - 1);
    for hop in next..next.saturating_add(SILENT_IN_A_ROW) {
        let here = || probes.iter().filter(move |probe| probe.hop == hop);
        let small = || here().filter(|probe| probe.size < size);
        let big = || here().filter(|probe| (size..=size + SAME_LINK).contains(&probe.size));
        if small().any(|probe| probe.fate == Fate::Destination) {
            // Nothing is left but the link to the destination; the search itself saw packets vanish there.
            return Step::Done(Some(known));
        }
        let answers = small().any(|probe| matches!(probe.fate, Fate::Reached(_)));
        let silent = big().filter(|probe| probe.fate == Fate::Silent).count();
        if answers && silent >= copies {
            return Step::Done(Some(known));
        }
        if here().any(|probe| probe.fate == Fate::Waiting) {
            return Step::Wait;
        }
        let room = PER_ROUTER.saturating_sub(here().count());
        let controls = if answers { 0 } else { 2_usize.saturating_sub(small().count()).min(1) };
        let wanted =
            if answers || controls > 0 { copies.saturating_sub(big().count()).min(AT_ONCE) } else { 0 };
        let wishes: Vec<_> = std::iter::repeat_n((send, hop), wanted)
            .chain(std::iter::repeat_n((control, hop), controls))
            .take(room)
            .collect();
        if !wishes.is_empty() {
            return Step::Send(wishes);
        }
        // This router never answers: the next one has to tell.
    }
    Step::Done(last.map(|_| known))
}

/// Farthest router that a packet of `size` or more reached.
fn last_reached(probes: &[Limited], size: u16) -> Option<(u8, IpAddr)> {
    let reached = probes.iter().filter(|probe| probe.size >= size).filter_map(|probe| match probe.fate {
        Fate::Reached(from) => Some((probe.hop, from)),
        Fate::Waiting | Fate::Silent | Fate::Destination | Fate::Other => None,
    });
    reached.max_by_key(|&(hop, _)| hop)
}

#[cfg(test)]
mod tests;
