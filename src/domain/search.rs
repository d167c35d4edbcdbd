//! Search of a path MTU, in the words of RFC 8899. Pure: it takes events and `now`, and returns what to send
//! and when to be woken.
//!
//! The driver's contract: after each call that changes the search, drain [`Search::poll_transmit`] until it is
//! `None`, then wait for a packet or for [`Search::poll_timeout`], and hand over exactly one event. The search is
//! over when [`Search::outcome`] is `Some`; a packet that comes later may still be handed over and may still
//! change the outcome.
//!
//! ```text
//!            a larger size is acked: done
//!  first ───────────────┬──────────────────────────────────────────────────────────┐
//!  flight  PTB          ▼ silence                     loss cannot explain the       ▼
//!    │  └──► probe the  next flight: split what is ──► silence above what passed ─► hop ─► verdict
//!    │       named size believed, repeat the doubtful    │ budget spent
//!    │ nothing at all   ▲     │ still doubtful           └────────► lower bound
//!    └─► repeat, give up └────┘
//! ```
//!
//! The largest size that was acknowledged is a hard lower bound and the only number that is ever an answer. All
//! else is a matter of how many packets of which sizes stayed unanswered: see `belief`.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::domain::mtu::PathMtu;

mod belief;
mod config;
pub mod confirm;
mod decide;
mod ladder;
mod locate;
mod narrow;
mod outcome;
mod plan;
mod ptb;
mod record;
mod rtt;

pub use config::{SearchConfig, SearchConfigError, control_size};
pub use outcome::{LimitedBy, Outcome, Progress, Verdict};

use plan::Planned;
use ptb::Claims;
use record::{Answer, Record, Silence};

/// Packets that one search may send, those that look for the hop included.
const PACKET_BUDGET: u32 = 64;

/// Probes that one search may ask for, those that never leave this host included.
const ATTEMPTS: u16 = 128;

/// Waits for a first answer. After each but the last, more packets that any path should carry are sent.
const FIRST_WAITS: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(1)];

/// Names one probe of one search. The driver carries it in the packet (for ICMP echo: the sequence number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub u16);

/// One probe that the driver is to send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Its name, never used twice in one search.
    pub id: ProbeId,
    /// Size of the whole IP packet, header included; never fragmented.
    pub size: PathMtu,
    /// TTL or hop limit; `None` for the system's default.
    pub hop_limit: Option<u8>,
}

/// What the search waits for when nothing is left to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// The answers of a flight.
    Flight,
    /// The deadline of the packets that prove the size.
    Proof,
    /// The answers that name the hop.
    Hop,
}

/// A packet that waits for its turn.
#[derive(Clone, Copy, Debug)]
struct Queued {
    due: Instant,
    packet: Planned,
}

/// Search of one path MTU.
#[derive(Clone, Debug)]
pub struct Search {
    config: SearchConfig,
    /// Largest size that our own link sends.
    top: u16,
    is_own_link_the_limit: bool,
    record: Record,
    claims: Claims,
    queue: VecDeque<Queued>,
    waiting: Waiting,
    next_id: u16,
    flights: u32,
    unanswered_rounds: usize,
    /// Hops that small packets have been sent to because of a PTB.
    hops_looked_at: u8,
    unreachable_from: Option<IpAddr>,
    /// Verdict, hop, and when it was told.
    told: Option<(Verdict, Option<LimitedBy>, Instant)>,
    started_at: Instant,
}

impl Search {
    /// A search that has sent nothing yet.
    pub fn new(config: SearchConfig, now: Instant) -> Result<Self, SearchConfigError> {
        config.check()?;
        let mut search = Self {
            config,
            top: config.max.get(),
            is_own_link_the_limit: false,
            record: Record::default(),
            claims: Claims::default(),
            queue: VecDeque::new(),
            waiting: Waiting::Flight,
            next_id: 0,
            flights: 0,
            unanswered_rounds: 0,
            hops_looked_at: 0,
            unreachable_from: None,
            told: None,
            started_at: now,
        };
        search.launch(now, plan::first(config).into_iter().map(|size| Planned::now(size, None)));
        Ok(search)
    }

    /// Next probe to send now. The driver calls until `None`.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        let next = self.queue.front().filter(|queued| queued.due <= now)?.packet;
        self.queue.pop_front();
        let id = ProbeId(self.next_id);
        self.next_id += 1;
        self.record.sent(id, next.size, next.hop_limit, now);
        // No plan goes below the least size of its family.
        let size = PathMtu::new(next.size).unwrap_or(self.config.family.minimum_mtu());
        Some(Transmit { id, size, hop_limit: next.hop_limit })
    }

    /// When [`Search::handle_timeout`] wants to be called, if ever.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.told.is_some() {
            return None;
        }
        match self.queue.front() {
            Some(queued) => Some(queued.due),
            None => Some(self.wakes_at()),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
    }

    /// The destination answered probe `id`: its size passes.
    pub fn handle_ack(&mut self, now: Instant, id: ProbeId) {
        if !self.record.acked(id, now) {
            return;
        }
        if let Some((verdict, _, _)) = self.told {
            self.correct(verdict, now);
        } else {
            self.advance(now);
        }
    }

    /// A router refused probe `id` for its size and named `mtu`. The driver has verified the quote.
    pub fn handle_ptb(&mut self, now: Instant, id: ProbeId, mtu: u32, from: IpAddr) {
        let Some(probe) = self.record.get(id) else { return };
        if probe.answer.is_some() || self.told.is_some() {
            return;
        }
        let passed = self.record.largest_acked();
        let known = self.claims.ignored;
        let news = self.claims.note(self.config.family, passed, probe.size, mtu, from);
        if self.claims.ignored > known {
            return;
        }
        self.record.answer(id, Answer::Ptb { from });
        if let Some(claim) = news {
            self.follow(now, claim.mtu);
        }
        self.advance(now);
    }

    /// Our own link refused to send probe `id` (`EMSGSIZE`): it carries no more than `mtu`, if that is known.
    pub fn handle_local_limit(&mut self, now: Instant, id: ProbeId, mtu: Option<u32>) {
        let Some(probe) = self.record.get(id) else { return };
        if !self.record.answer(id, Answer::NotSent) {
            return;
        }
        let named = mtu.and_then(|mtu| u16::try_from(mtu).ok());
        let limit = named.unwrap_or(probe.size.saturating_sub(1));
        // The kernel sometimes refuses a size that it says it carries: then this one packet was not sent.
        if limit < self.top && limit < probe.size {
            self.top = limit.max(self.record.largest_acked().unwrap_or(self.config.control()));
            self.is_own_link_the_limit = true;
            let top = self.top;
            self.queue.retain(|queued| queued.packet.size <= top);
            let is_tried = self.record.probes().iter().any(|probe| probe.size == top);
            if !is_tried && self.told.is_none() {
                self.launch(now, [Planned::now(top, None)]);
            }
        }
        self.advance(now);
    }

    /// The hop limit of probe `id` ended at the router `from`.
    pub fn handle_time_exceeded(&mut self, now: Instant, id: ProbeId, from: IpAddr) {
        if self.record.answer(id, Answer::TimeExceeded { from }) {
            self.advance(now);
        }
    }

    /// Probe `id` cannot get there: a router at `from` says so, or this host itself.
    pub fn handle_unreachable(&mut self, now: Instant, id: ProbeId, from: Option<IpAddr>) {
        let answer = if from.is_some() { Answer::Unreachable } else { Answer::NotSent };
        if !self.record.answer(id, answer) {
            return;
        }
        self.unreachable_from = self.unreachable_from.or(from);
        let refused = self.record.probes().iter().filter(|probe| probe.answer == Some(Answer::Unreachable));
        let is_final = from.is_none() || refused.count() >= 2;
        if is_final && self.record.largest_acked().is_none() {
            self.tell(
                Verdict::Unreachable,
                from.map(|from| LimitedBy { address: Some(from), hop: None }),
                now,
            );
        }
        self.advance(now);
    }

    /// What was found; `None` while the search goes on.
    pub fn outcome(&self) -> Option<Outcome> {
        let (verdict, limited_by, told_at) = self.told?;
        let (probes_sent, bytes_sent) = self.record.sent_totals();
        let began = self.record.first_sent_at().unwrap_or(self.started_at);
        let (answered, lost) = self.record.passing(told_at);
        let share = |part: u32, all: u32| {
            Some(f32::from(u16::try_from(part).ok()?) / f32::from(u16::try_from(all).ok()?))
        };
        Some(Outcome {
            verdict,
            limited_by,
            probes_sent,
            bytes_sent,
            flights: self.flights,
            rtt: self.record.min_rtt(),
            loss: if answered + lost == 0 { None } else { share(lost, answered + lost) },
            ptbs_ignored: self.claims.ignored,
            elapsed: told_at.saturating_duration_since(began),
        })
    }

    /// How far the search is.
    pub fn progress(&self) -> Progress {
        let passed = self.record.largest_acked();
        let last = self.record.last_sent_at().unwrap_or(self.started_at);
        let silent = self.record.silent_above_passed(last, Silence::Suspected);
        let size = |size: Option<u16>| size.and_then(|size| PathMtu::new(size).ok());
        Progress {
            largest_passed: size(passed),
            smallest_lost: size(silent.first().copied()),
            flight: self.flights,
            probes_sent: self.record.sent_totals().0,
        }
    }
}

#[cfg(test)]
mod tests;
