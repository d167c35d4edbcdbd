//! What to do when the answers of a flight are in.

use std::time::Instant;

use super::belief::{Loss, Named};
use super::locate::{self, Step};
use super::outcome::{LimitedBy, Verdict};
use super::plan::{self, Flight, Known, Planned};
use super::record::{Answer, Silence};
use super::{ATTEMPTS, FIRST_WAITS, PACKET_BUDGET, Queued, Search, Waiting};
use crate::domain::mtu::PathMtu;

/// A size is contradicted when larger ones pass and loss explains its silence with less chance than this: one
/// in a hundred of what makes a verdict, since every size of a search is a chance to be wrong.
const CONTRADICTION: f64 = 1e-6;

/// Packets of a search along a path whose routers send PTBs; what is left of them looks for the hop.
const FRUGAL: u32 = 10;

/// Hops that are looked at for each further PTB, or for one that comes late.
const HOPS_PER_PTB: u32 = 4;

impl Search {
    /// Queues `packets` as one flight, as far as the budget goes. How many.
    pub(super) fn launch(&mut self, now: Instant, packets: impl IntoIterator<Item = Planned>) -> usize {
        let (mut sent, mut bytes) = self.record.sent_totals();
        for queued in &self.queue {
            sent += 1;
            bytes += u32::from(queued.packet.size);
        }
        let mut count = 0;
        for packet in packets {
            let size = u32::from(packet.size);
            let attempts = usize::from(self.next_id) + self.queue.len();
            if sent >= PACKET_BUDGET
                || bytes + size > self.config.byte_budget()
                || attempts >= ATTEMPTS.into()
            {
                continue;
            }
            sent += 1;
            bytes += size;
            count += 1;
            self.queue.push_back(Queued { due: now + packet.after, packet });
        }
        self.queue.make_contiguous().sort_by_key(|queued| queued.due);
        if count > 0 {
            self.flights += 1;
        }
        count
    }

    /// A PTB named `mtu`: tries the next larger size, which tells whether that is true, and then `mtu` itself. An
    /// answer to the second is also the witness that the path carried packets when the first was not answered.
    pub(super) fn follow(&mut self, now: Instant, mtu: u16) {
        let is_known = |size: u16| {
            let is_sent = self.record.is_in_flight(size, now) || self.record.largest_acked() >= Some(size);
            is_sent || self.queue.iter().any(|queued| queued.packet.size == size)
        };
        let control = self.config.control();
        let larger = (mtu < self.top && !is_known(mtu + 1)).then_some(mtu + 1);
        let itself = if is_known(mtu) { larger.map(|_| control) } else { Some(mtu) };
        let mut packets: Vec<Planned> =
            larger.into_iter().chain(itself).map(|size| Planned::now(size, None)).collect();
        if self.config.localise && !packets.is_empty() {
            let planned = u32::try_from(packets.len() + self.queue.len()).unwrap_or(FRUGAL);
            let left = match self.flights {
                1 => FRUGAL.saturating_sub(self.record.sent_totals().0 + planned),
                _ => HOPS_PER_PTB,
            };
            let left = u8::try_from(left).unwrap_or(u8::MAX);
            let hops = self.hops_looked_at + 1..=self.hops_looked_at.saturating_add(left);
            packets.extend(hops.map(|hop| Planned::now(control, Some(hop))));
            self.hops_looked_at = self.hops_looked_at.saturating_add(left);
        }
        self.launch(now, packets);
    }

    /// When something is to be decided if nothing comes before.
    pub(super) fn wakes_at(&self) -> Instant {
        let since = self.record.last_sent_at().unwrap_or(self.started_at);
        let settled_at = match self.waiting {
            Waiting::Flight => self.record.settled_at(Silence::Suspected, false, since),
            Waiting::Proof => self.record.settled_at(Silence::Overdue, false, since),
            Waiting::Hop => self.record.settled_at(Silence::Suspected, true, since),
        };
        let wait = FIRST_WAITS[self.unanswered_rounds.min(FIRST_WAITS.len() - 1)];
        settled_at.unwrap_or(since + wait)
    }

    pub(super) fn advance(&mut self, now: Instant) {
        if self.told.is_some() {
            return;
        }
        if let Some(passed) = self.record.largest_acked()
            && passed >= self.top
        {
            let own = self.is_own_link_the_limit.then_some(LimitedBy { address: None, hop: Some(0) });
            self.tell(Verdict::Exact { path_mtu: path_mtu(passed) }, own, now);
            return;
        }
        if self.queue.is_empty() && self.wakes_at() <= now {
            match self.record.largest_acked() {
                None => self.knock_again(now),
                Some(low) => self.decide(low, now),
            }
        }
    }

    /// Nothing was answered: sends more of what any path should carry.
    fn knock_again(&mut self, now: Instant) {
        self.unanswered_rounds += 1;
        let (base, control) = (self.config.base().min(self.top), self.config.control().min(self.top));
        let again = [base, control, control].map(|size| Planned::now(size, None));
        if self.unanswered_rounds >= FIRST_WAITS.len() || self.launch(now, again) == 0 {
            let from = self.unreachable_from.map(|from| LimitedBy { address: Some(from), hop: None });
            self.tell(Verdict::Unreachable, from, now);
        }
    }

    /// `low` passes, and every packet above it is answered or silent.
    fn decide(&mut self, low: u16, now: Instant) {
        if self.is_contradicted(low, now) {
            self.tell(Verdict::Inconsistent, None, now);
            return;
        }
        let (answered, lost) = self.record.passing(now);
        // Less than any path of today needs a better reason than a PTB, which may be forged (RFC 8899 §4.6.2).
        let base = self.config.base().min(self.top);
        let is_credible = |mtu: u16| mtu >= base && self.claims.are_trusted(Some(low));
        let ptb = self.claims.smallest(Some(low)).filter(|claim| is_credible(claim.mtu));
        let known = Known {
            low,
            top: self.top,
            base,
            silent: &self.record.silent_above_passed(now, Silence::Overdue),
            loss: Loss { answered, lost },
            named: Named { hint: self.config.hint.map(PathMtu::get), ptb: ptb.map(|claim| claim.mtu) },
            is_witnessed: self.record.is_witnessed(low + 1),
            bytes_left: self.config.byte_budget().saturating_sub(self.record.sent_totals().1),
            rtt: self.record.min_rtt().unwrap_or_default(),
        };
        if known.is_proven() {
            if !known.is_witnessed {
                // The path or this host may have stood still meanwhile.
                let control = Planned::now(self.config.control(), None);
                self.waiting = Waiting::Flight;
                if self.launch(now, [control]) == 0 {
                    self.tell(Verdict::LowerBound { path_mtu: path_mtu(low) }, None, now);
                }
                return;
            }
            self.conclude(&known, now);
            return;
        }
        let suspected = self.record.silent_above_passed(now, Silence::Suspected);
        let known = Known { silent: &suspected, ..known };
        if known.is_proven() {
            self.waiting = Waiting::Proof;
            if !self.is_refused_with_ptb(low) {
                self.look_for_hop(&known, low + 1, now, &[]);
            }
            return;
        }
        self.waiting = Waiting::Flight;
        let may_look = self.config.localise && lost == 0 && answered > 2 && !self.is_refused_with_ptb(low);
        let scout = if may_look && self.flights > 1 {
            let size = suspected.first().copied().unwrap_or(self.top);
            locate::scout(&self.record.limited(now), low + 1, size)
        } else {
            Vec::new()
        };
        let scouting: u32 = scout.iter().map(|&(size, _)| u32::from(size)).sum();
        let known = Known { bytes_left: known.bytes_left.saturating_sub(scouting), ..known };
        let Flight { packets, hop_size } = plan::next(&known, self.config.control());
        // Hops first: then the answers to the rest show which of them will never come.
        match hop_size {
            Some(size) if may_look => {
                self.look_for_hop(&known, size, now, &packets);
            }
            Some(_) | None => {
                self.launch_hops(now, &scout, &packets);
            }
        }
        self.launch(now, packets);
        if self.queue.iter().all(|queued| queued.packet.size <= low) {
            self.tell(Verdict::LowerBound { path_mtu: path_mtu(low) }, None, now);
        }
    }

    /// Sends what would name the hop behind which the next larger size vanishes, if that is not known: packets of
    /// `size`. `others` are packets that are to go out as well, and come first if not all fit the budget.
    fn look_for_hop(&mut self, known: &Known<'_>, size: u16, now: Instant, others: &[Planned]) -> Step {
        if !self.config.localise {
            return Step::Done(None);
        }
        let limited = self.record.limited(now);
        let step = locate::step(&limited, known.low + 1, size, self.config.control(), known.loss);
        match step {
            Step::Send(packets) => {
                let count = self.launch_hops(now, &packets, others);
                if count == 0 { Step::Done(None) } else { Step::Send(packets) }
            }
            Step::Wait | Step::Done(_) => step,
        }
    }

    fn launch_hops(&mut self, now: Instant, hops: &[(u16, u8)], others: &[Planned]) -> usize {
        let flights = self.flights;
        let (sent, bytes) = self.record.sent_totals();
        let room =
            usize::try_from(PACKET_BUDGET.saturating_sub(sent)).unwrap_or(0).saturating_sub(others.len());
        let bytes = bytes + others.iter().map(|packet| u32::from(packet.size)).sum::<u32>();
        let mut bytes_left = self.config.byte_budget().saturating_sub(bytes);
        let mut fits = |&&(size, _): &&(u16, u8)| {
            let left = bytes_left.checked_sub(size.into());
            bytes_left = left.unwrap_or(bytes_left);
            left.is_some()
        };
        let packets: Vec<_> = hops.iter().filter(|hop| fits(hop)).take(room).collect();
        let count = self.launch(now, packets.into_iter().map(|&(size, hop)| Planned::now(size, Some(hop))));
        if !others.is_empty() {
            self.flights = flights;
        }
        count
    }

    /// The size is proven: names the hop, and tells.
    fn conclude(&mut self, known: &Known<'_>, now: Instant) {
        let path_mtu = path_mtu(known.low);
        if self.is_refused_with_ptb(known.low) {
            let router = self.claims.smallest(Some(known.low)).map(|claim| claim.from);
            let limited_by = router.map(|from| LimitedBy {
                address: Some(from),
                hop: locate::hop_of(&self.record.limited(now), from),
            });
            self.tell(Verdict::Exact { path_mtu }, limited_by, now);
            return;
        }
        match self.look_for_hop(known, known.low + 1, now, &[]) {
            Step::Send(_) | Step::Wait => self.waiting = Waiting::Hop,
            Step::Done(limited_by) => self.tell(Verdict::BlackHole { path_mtu }, limited_by, now),
        }
    }

    /// Whether a router says that nothing above `low` passes: it named `low`, or refused the next larger size.
    fn is_refused_with_ptb(&self, low: u16) -> bool {
        self.claims.smallest(Some(low)).is_some_and(|claim| claim.mtu == low)
            || self
                .record
                .probes()
                .iter()
                .any(|probe| probe.size == low + 1 && matches!(probe.answer, Some(Answer::Ptb { .. })))
    }

    /// Whether some size below what passed is silent beyond what loss explains.
    fn is_contradicted(&self, low: u16, now: Instant) -> bool {
        let below = self.record.probes().iter().filter(|probe| probe.size < low).map(|probe| probe.size);
        let mut sizes: Vec<u16> = below.collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes.into_iter().any(|size| {
            let silent = self.record.silent_of(size, now);
            let (answered, lost) = self.record.passing_except(now, Some(size));
            silent > 0 && Loss { answered, lost }.chance_of_silence(silent) < CONTRADICTION
        })
    }

    pub(super) fn tell(&mut self, verdict: Verdict, limited_by: Option<LimitedBy>, now: Instant) {
        self.queue.clear();
        self.told = Some((verdict, limited_by, now));
    }

    /// An answer came after the verdict `told`: what it says is true all the same.
    pub(super) fn correct(&mut self, told: Verdict, now: Instant) {
        let Some(passed) = self.record.largest_acked() else { return };
        let is_more = told.path_mtu().is_none_or(|told| told.get() < passed);
        match told {
            Verdict::Inconsistent => {}
            Verdict::Exact { .. }
            | Verdict::BlackHole { .. }
            | Verdict::LowerBound { .. }
            | Verdict::Unreachable => {
                if is_more && passed >= self.top {
                    self.tell(Verdict::Exact { path_mtu: path_mtu(passed) }, None, now);
                } else if is_more {
                    self.tell(Verdict::LowerBound { path_mtu: path_mtu(passed) }, None, now);
                }
            }
        }
    }
}

fn path_mtu(size: u16) -> PathMtu {
    PathMtu::new(size).expect("a size that was sent is possible")
}
