//! Which probes are out, and whether a message speaks of one of them. Pure: it takes messages and says whether to
//! believe them, so that the search only ever sees what a probe of its own has caused.

use std::collections::HashMap;
use std::net::IpAddr;

use super::wire::echo::write_request;
use super::wire::token::{Token, TokenKey};
use super::wire::{Echo, Message, Quote};
use crate::domain::mtu::{IpFamily, PathMtu};
use crate::domain::search::{ProbeId, Transmit};

/// A believed message, in the words of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The probe arrived, and its reply came back.
    Ack {
        /// Which probe.
        id: ProbeId,
    },
    /// A router could not pass the probe on.
    Ptb {
        /// Which probe.
        id: ProbeId,
        /// MTU that the router names; still to be judged.
        mtu: u32,
        /// The router.
        from: IpAddr,
    },
    /// The probe's TTL or hop limit ran out at a router.
    TimeExceeded {
        /// Which probe.
        id: ProbeId,
        /// The router.
        from: IpAddr,
    },
    /// The probe was not delivered for another reason.
    Unreachable {
        /// Which probe.
        id: ProbeId,
        /// Who said so.
        from: IpAddr,
    },
}

/// Why a message was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Identifier and sequence number are right, the token is not.
    Forged,
    /// Speaks of no probe of this search: an earlier one's, or a guess.
    Stale,
    /// From, or about, another address than the one that is probed.
    OffPath,
    /// Answers what no probe said: a reply longer than its request.
    Absurd,
    /// Not the ICMP that it claims to be: cut off, wrong checksum, …
    Malformed,
    /// The reply came before: duplicated on the way.
    Duplicate,
    /// A message of a type that answers no probe.
    Unrelated,
}

/// How many messages were not believed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct IgnoredCounts {
    /// [`Ignored::Forged`].
    pub forged: u64,
    /// [`Ignored::Stale`].
    pub stale: u64,
    /// [`Ignored::OffPath`].
    pub off_path: u64,
    /// [`Ignored::Absurd`].
    pub absurd: u64,
    /// [`Ignored::Malformed`].
    pub malformed: u64,
    /// [`Ignored::Duplicate`].
    pub duplicate: u64,
    /// [`Ignored::Unrelated`].
    pub unrelated: u64,
}

impl IgnoredCounts {
    /// Counts one message.
    pub fn add(&mut self, why: Ignored) {
        let count = match why {
            Ignored::Forged => &mut self.forged,
            Ignored::Stale => &mut self.stale,
            Ignored::OffPath => &mut self.off_path,
            Ignored::Absurd => &mut self.absurd,
            Ignored::Malformed => &mut self.malformed,
            Ignored::Duplicate => &mut self.duplicate,
            Ignored::Unrelated => &mut self.unrelated,
        };
        *count += 1;
    }
}

/// TTL or hop limit of a probe that is not to end on the way (RFC 1700, and what Linux uses).
pub const HOP_LIMIT: u8 = 64;

#[derive(Clone, Copy, Debug)]
struct Probe {
    id: ProbeId,
    hop_limit: u8,
    payload_bytes: usize,
    token: Token,
    is_acknowledged: bool,
}

/// The probes of one search.
#[derive(Debug)]
pub struct Ledger {
    destination: IpAddr,
    id: u16,
    /// Sequence number of probe 0: unguessable, so that a quote too short for the token still needs 32 bits of
    /// luck from somebody who sees no packets.
    base: u16,
    key: &'static TokenKey,
    probes: HashMap<u16, Probe>,
    /// How far away the routers are that sent PTBs, by what they quote.
    distances: HashMap<IpAddr, u8>,
}

impl Ledger {
    /// For probes to `destination` from a socket with this echo identifier. `base` is the first sequence number.
    pub fn new(destination: IpAddr, id: u16, base: u16, key: &'static TokenKey) -> Self {
        Self { destination, id, base, key, probes: HashMap::new(), distances: HashMap::new() }
    }

    /// Writes the packet for `transmit` into `buffer` and remembers the probe.
    pub fn write(&mut self, transmit: &Transmit, buffer: &mut Vec<u8>) {
        let family = IpFamily::of(self.destination);
        let sequence = self.base.wrapping_add(transmit.id.0);
        let token = self.key.token(self.id, sequence);
        write_request(buffer, family, transmit.size, self.id, sequence, token);
        let payload_bytes = payload_bytes(transmit.size, family);
        let hop_limit = transmit.hop_limit.unwrap_or(HOP_LIMIT);
        let probe = Probe { id: transmit.id, hop_limit, payload_bytes, token, is_acknowledged: false };
        self.probes.insert(sequence, probe);
    }

    /// Whether to believe `message`, which came from `from`.
    pub fn judge(&mut self, message: Message<'_>, from: IpAddr) -> Result<Event, Ignored> {
        match message {
            Message::EchoReply(echo) => self.judge_reply(echo, from),
            Message::PacketTooBig { mtu, quote } => {
                let probe = self.judge_quote(quote)?;
                // Most routers quote the packet as it reached them: the first one with all that it was sent with.
                let passed = quote.hop_limit.and_then(|left| probe.hop_limit.checked_sub(left));
                self.distances.extend(passed.and_then(|passed| Some((from, passed.checked_add(1)?))));
                Ok(Event::Ptb { id: probe.id, mtu, from })
            }
            Message::TimeExceeded { quote } => {
                self.judge_quote(quote).map(|probe| Event::TimeExceeded { id: probe.id, from })
            }
            Message::Unreachable { code: _, quote } => {
                self.judge_quote(quote).map(|probe| Event::Unreachable { id: probe.id, from })
            }
            Message::Other { kind: _ } => Err(Ignored::Unrelated),
        }
    }

    /// A reply shorter than its request is believed: some servers cut them, and the request got there whole.
    fn judge_reply(&mut self, echo: Echo<'_>, from: IpAddr) -> Result<Event, Ignored> {
        if from != self.destination {
            return Err(Ignored::OffPath);
        }
        let probe =
            self.probes.get_mut(&echo.sequence).filter(|_| echo.id == self.id).ok_or(Ignored::Stale)?;
        if !probe.token.begins(echo.payload) {
            return Err(Ignored::Forged);
        }
        if echo.payload.len() > probe.payload_bytes {
            return Err(Ignored::Absurd);
        }
        if probe.is_acknowledged {
            return Err(Ignored::Duplicate);
        }
        probe.is_acknowledged = true;
        Ok(Event::Ack { id: probe.id })
    }

    /// An ICMP error may come from anywhere, so its quote has to prove that its sender saw the probe.
    fn judge_quote(&self, quote: Quote<'_>) -> Result<Probe, Ignored> {
        if quote.destination != self.destination {
            return Err(Ignored::OffPath);
        }
        let echo = quote.echo;
        let probe = self.probes.get(&echo.sequence).filter(|_| echo.id == self.id).ok_or(Ignored::Stale)?;
        if !probe.token.agrees_with_quote(echo.payload) {
            return Err(Ignored::Forged);
        }
        Ok(*probe)
    }

    /// How many hops away the router is that sent a PTB: 1 is the first. By what it quotes, which proves nothing.
    pub fn distance(&self, router: IpAddr) -> Option<u8> {
        self.distances.get(&router).copied()
    }
}

/// Bytes behind the ICMP header of a probe of this size.
fn payload_bytes(size: PathMtu, family: IpFamily) -> usize {
    usize::from(size.get() - family.header_bytes()).saturating_sub(8)
}

#[cfg(test)]
mod tests;
