//! The packets of one search, and what came of each.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::ProbeId;
use super::locate::{Fate, Limited};
use super::rtt::Rtt;

/// What came of a probe, apart from its acknowledgement, which overrides all of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A router refused it for its size.
    Ptb { from: IpAddr },
    /// Its hop limit ended at this router.
    TimeExceeded { from: IpAddr },
    /// A router knows no way.
    Unreachable,
    /// It never left this host.
    NotSent,
}

/// One probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) id: ProbeId,
    pub(super) size: u16,
    pub(super) hop_limit: Option<u8>,
    pub(super) sent_at: Instant,
    pub(super) acked_at: Option<Instant>,
    pub(super) answer: Option<Answer>,
}

/// How sure it must be that a probe is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Enough to go on with the next flight: a later packet was answered, or the deadline is over.
    Suspected,
    /// Enough for a verdict: the deadline is over.
    Overdue,
}

/// All probes of a search in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    probes: Vec<Probe>,
    pub(super) rtt: Rtt,
    largest_acked: Option<u16>,
}

impl Record {
    pub(super) fn sent(&mut self, id: ProbeId, size: u16, hop_limit: Option<u8>, now: Instant) {
        self.probes.push(Probe { id, size, hop_limit, sent_at: now, acked_at: None, answer: None });
    }

    pub(super) fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// Probes that went to the destination, and so say something about the whole path.
    fn end_to_end(&self) -> impl Iterator<Item = &Probe> {
        self.probes.iter().filter(|probe| probe.hop_limit.is_none() && probe.answer != Some(Answer::NotSent))
    }

    /// Largest size that passed: whatever else is said, the path MTU is not below.
    pub(super) fn largest_acked(&self) -> Option<u16> {
        self.largest_acked
    }

    pub(super) fn get(&self, id: ProbeId) -> Option<Probe> {
        self.probes.iter().find(|probe| probe.id == id).copied()
    }

    /// Sets the answer of a probe that has none yet. Whether there is such a probe.
    pub(super) fn answer(&mut self, id: ProbeId, answer: Answer) -> bool {
        let probe = self.probes.iter_mut().find(|probe| probe.id == id);
        match probe {
            Some(probe) if probe.answer.is_none() && probe.acked_at.is_none() => {
                probe.answer = Some(answer);
                true
            }
            Some(_) | None => false,
        }
    }

    /// The probe was answered by the destination. Whether that is news.
    pub(super) fn acked(&mut self, id: ProbeId, now: Instant) -> bool {
        let Some(index) = self.probes.iter().position(|probe| probe.id == id) else { return false };
        let overtaken_at = self.probes[index + 1..].iter().filter_map(|probe| probe.acked_at).min();
        let probe = &mut self.probes[index];
        if probe.acked_at.is_some() || probe.answer == Some(Answer::NotSent) {
            return false;
        }
        probe.acked_at = Some(now);
        self.largest_acked = self.largest_acked.max(Some(probe.size));
        self.rtt.sample(now.saturating_duration_since(probe.sent_at));
        if let Some(at) = overtaken_at {
            self.rtt.overtaken(now.saturating_duration_since(at));
        }
        true
    }

    /// When the silence of the probe at `index` reaches `silence`, if nothing comes. `None` while no answer of
    /// the destination says how long a round trip takes.
    pub(super) fn silent_at(&self, index: usize, silence: Silence) -> Option<Instant> {
        let probe = &self.probes[index];
        let overdue_at = probe.sent_at + self.rtt.deadline()?;
        // A PTB already says that no acknowledgement is to come; only a liar's router would still forward it.
        let may_be_exposed =
            silence == Silence::Suspected || matches!(probe.answer, Some(Answer::Ptb { .. }));
        if !may_be_exposed {
            return Some(overdue_at);
        }
        let later = self.probes[index + 1..].iter().filter_map(|probe| probe.acked_at).min();
        let exposed_at = later.zip(self.rtt.patience()).map(|(at, patience)| at + patience);
        Some(exposed_at.map_or(overdue_at, |at| at.min(overdue_at)))
    }

    /// Sizes above what passed that were not acknowledged, by `now`, each as often as it was sent; ascending.
    pub(super) fn silent_above_passed(&self, now: Instant, silence: Silence) -> Vec<u16> {
        let passed = self.largest_acked.unwrap_or(0);
        let mut sizes: Vec<u16> = self
            .probes
            .iter()
            .enumerate()
            .filter(|(_, probe)| probe.hop_limit.is_none() && probe.answer != Some(Answer::NotSent))
            .filter(|(_, probe)| probe.size > passed && probe.acked_at.is_none())
            .filter(|&(index, _)| self.silent_at(index, silence).is_some_and(|at| at <= now))
            .map(|(_, probe)| probe.size)
            .collect();
        sizes.sort_unstable();
        sizes
    }

    /// Probes of passing size: how many were acknowledged, and how many were not though it is time.
    pub(super) fn passing(&self, now: Instant) -> (u32, u32) {
        self.passing_except(now, None)
    }

    /// As [`Record::passing`], without those of size `except`.
    pub(super) fn passing_except(&self, now: Instant, except: Option<u16>) -> (u32, u32) {
        let passed = self.largest_acked.unwrap_or(0);
        let mut counts = (0, 0);
        for (index, probe) in self.probes.iter().enumerate() {
            let counts_for_loss = probe.hop_limit.is_none() && probe.answer != Some(Answer::NotSent);
            if !counts_for_loss || probe.size > passed || Some(probe.size) == except {
                continue;
            }
            if probe.acked_at.is_some() {
                counts.0 += 1;
            } else if self.silent_at(index, Silence::Suspected).is_some_and(|at| at <= now) {
                counts.1 += 1;
            }
        }
        counts
    }

    /// How many probes of `size` were not acknowledged; 0 if one was.
    pub(super) fn silent_of(&self, size: u16, now: Instant) -> usize {
        let mut silent = 0;
        for (index, probe) in self.probes.iter().enumerate() {
            if probe.size != size || probe.hop_limit.is_some() || probe.answer == Some(Answer::NotSent) {
                continue;
            }
            if probe.acked_at.is_some() {
                return 0;
            }
            silent += usize::from(self.silent_at(index, Silence::Suspected).is_some_and(|at| at <= now));
        }
        silent
    }

    /// Whether a packet that was sent after at least half of those of `size` was acknowledged: then the path did
    /// carry packets at that time, and an answer to those of `size` should have come first.
    pub(super) fn is_witnessed(&self, size: u16) -> bool {
        let is_copy = |probe: &&Probe| probe.size == size && probe.hop_limit.is_none();
        let copies = self.probes.iter().filter(is_copy).count();
        let middle = self.probes.iter().filter(is_copy).nth(copies.div_ceil(2).saturating_sub(1));
        middle.is_some_and(|middle| {
            self.probes.iter().any(|probe| probe.acked_at.is_some() && probe.id > middle.id)
        })
    }

    /// Whether an unanswered probe of `size` may still be answered at `now`.
    pub(super) fn is_in_flight(&self, size: u16, now: Instant) -> bool {
        self.probes.iter().enumerate().any(|(index, probe)| {
            probe.size == size
                && probe.hop_limit.is_none()
                && probe.acked_at.is_none()
                && probe.answer.is_none()
                && self.silent_at(index, Silence::Suspected).is_none_or(|at| at > now)
        })
    }

    /// Probes with a hop limit, as they stand at `now`.
    pub(super) fn limited(&self, now: Instant) -> Vec<Limited> {
        let limited = self.probes.iter().enumerate().filter_map(|(index, probe)| {
            let fate = match (probe.acked_at, probe.answer) {
                (Some(_), _) => Fate::Destination,
                (None, Some(Answer::TimeExceeded { from })) => Fate::Reached(from),
                (None, Some(Answer::Ptb { .. } | Answer::Unreachable | Answer::NotSent)) => Fate::Other,
                (None, None) => {
                    let is_silent = self.silent_at(index, Silence::Suspected).is_some_and(|at| at <= now);
                    if is_silent { Fate::Silent } else { Fate::Waiting }
                }
            };
            Some(Limited { size: probe.size, hop: probe.hop_limit?, fate })
        });
        limited.collect()
    }

    /// When every probe is answered or silent; `None` while nothing tells how long that takes. `hops` says
    /// whether those with a hop limit are waited for, too.
    pub(super) fn settled_at(&self, silence: Silence, hops: bool, since: Instant) -> Option<Instant> {
        let mut settled_at = since;
        for (index, probe) in self.probes.iter().enumerate() {
            if probe.hop_limit.is_some() && !hops {
                continue;
            }
            let is_answered = probe.acked_at.is_some()
                || match probe.answer {
                    // A liar's router may forward it all the same.
                    None | Some(Answer::Ptb { .. }) => false,
                    Some(Answer::TimeExceeded { .. } | Answer::Unreachable | Answer::NotSent) => true,
                };
            if !is_answered {
                settled_at = settled_at.max(self.silent_at(index, silence)?);
            }
        }
        Some(settled_at)
    }

    /// Packets and bytes that left this host.
    pub(super) fn sent_totals(&self) -> (u32, u32) {
        let sent = self.probes.iter().filter(|probe| probe.answer != Some(Answer::NotSent));
        sent.fold((0, 0), |(packets, bytes), probe| (packets + 1, bytes + u32::from(probe.size)))
    }

    pub(super) fn first_sent_at(&self) -> Option<Instant> {
        self.end_to_end().next().map(|probe| probe.sent_at)
    }

    pub(super) fn last_sent_at(&self) -> Option<Instant> {
        self.probes.last().map(|probe| probe.sent_at)
    }

    pub(super) fn min_rtt(&self) -> Option<Duration> {
        self.rtt.min()
    }
}
