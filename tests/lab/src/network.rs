//! What a described path does to packets: seeded, pure, in any time.
//!
//! A [`Network`] is told of each packet that enters it, with the time, and answers with all that will come of
//! it and when. It holds no queue and reads no clock, so the same path runs in virtual time against pure code,
//! and in real time as a router between real sockets. Times count from when the network began.
//!
//! A router looks at the TTL before it looks at the size, as Linux does: a packet whose TTL ends at the very
//! router whose link is too narrow is answered with a time exceeded; one more, and it vanishes or gets a PTB.

use std::net::IpAddr;
use std::time::Duration;

use crate::scenario::{Destination, Forged, Hop, Scenario};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    Forward,
    /// From the server to the client.
    Reverse,
}

/// A packet as it enters the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Which way it goes.
    pub direction: Direction,
    /// Its whole size in bytes, IP header included.
    pub size: u16,
    /// Its TTL or hop limit as sent.
    pub ttl: u8,
    /// What an ECMP router hashes; packets of the same flow take the same links.
    pub flow: u64,
    /// Whether routers may fragment it: IPv4 without DF. It is then never too big.
    pub fragmentable: bool,
}

/// What comes of a packet. Nothing at all: it was lost, or vanished because it was too big.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reaches the other end (for [`Network::echo`]: the reply is back at the client).
    Delivered,
    /// A router's packet too big reaches the sender.
    Ptb {
        /// The router.
        from: IpAddr,
        /// Next-hop MTU that it names.
        mtu: u32,
    },
    /// A router's time exceeded reaches the sender.
    TimeExceeded {
        /// The router.
        from: IpAddr,
    },
    /// A router's "host unreachable" reaches the sender.
    Unreachable {
        /// The router.
        from: IpAddr,
    },
    /// It is larger than the client's own link and was never sent.
    LocalLimit {
        /// MTU of the link.
        mtu: u16,
    },
}

/// An effect and when it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, since the network began.
    pub at: Duration,
    /// What.
    pub effect: Effect,
}

/// A PTB that no router sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForgedPtb {
    /// When it reaches the client, since the network began.
    pub at: Duration,
    /// MTU that it names.
    pub mtu: u32,
    /// Address that it comes from.
    pub from: IpAddr,
}

/// A path with its state: the dice, and what is left of each router's ICMP allowance.
#[derive(Clone, Debug)]
pub struct Network {
    scenario: Scenario,
    seed: u64,
    dice: fastrand::Rng,
    allowances: Vec<Allowance>,
}

/// Tokens of a router for its rate-limited ICMP errors.
#[derive(Clone, Debug)]
struct Allowance {
    ptb: Bucket,
    time_exceeded: Bucket,
}

#[derive(Clone, Debug)]
struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    fn new(per_second: f64, burst: u32) -> Self {
        Self { per_second, burst: burst.into(), tokens: burst.into(), filled_at: Duration::ZERO }
    }

    fn take(&mut self, now: Duration) -> bool {
        let since = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + since * self.per_second).min(self.burst);
        self.filled_at = self.filled_at.max(now);
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        is_allowed
    }
}

/// One link of a way, as a packet meets it.
#[derive(Clone, Copy)]
struct Link {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    reorder: f64,
    reorder_by: Duration,
    duplicate: f64,
}

impl From<&Hop> for Link {
    fn from(hop: &Hop) -> Self {
        Self {
            delay: hop.delay,
            jitter: hop.jitter,
            loss: hop.loss,
            reorder: hop.reorder,
            reorder_by: hop.reorder_by,
            duplicate: hop.duplicate,
        }
    }
}

impl Network {
    /// The network of `scenario`. The same `seed` and the same packets give the same effects.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let allowances = scenario
            .hops
            .iter()
            .map(|hop| Allowance {
                ptb: match hop.ptb_per_second {
                    Some(per_second) => Bucket::new(per_second, hop.ptb_burst),
                    None => Bucket::new(f64::INFINITY, u32::MAX),
                },
                time_exceeded: Bucket::new(hop.time_exceeded_per_second, hop.time_exceeded_burst),
            })
            .collect();
        Self { scenario: scenario.clone(), seed, dice: fastrand::Rng::with_seed(seed), allowances }
    }

    /// The description that the network was made from.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Sends `packet` in at `now`, which may not go back. What comes of it, in order of time; a PTB or a time
    /// exceeded comes back to the sender of the packet.
    pub fn send(&mut self, now: Duration, packet: Packet) -> Vec<Event> {
        let mut events = Vec::new();
        match packet.direction {
            Direction::Forward => self.forward(now, packet, &mut events),
            Direction::Reverse => self.backward(now, packet, &mut events),
        }
        events.sort_by_key(|event| event.at);
        events
    }

    /// An echo request of `size` bytes and its reply of the same size, which may not be fragmented either.
    /// [`Effect::Delivered`] is the reply at the client.
    pub fn echo(&mut self, now: Duration, size: u16, ttl: u8, flow: u64) -> Vec<Event> {
        let request = Packet { direction: Direction::Forward, size, ttl, flow, fragmentable: false };
        let mut seen = Vec::new();
        for event in self.send(now, request) {
            match event.effect {
                Effect::Delivered => {
                    if self.scenario.destination == Destination::Answers {
                        let reply = Packet { direction: Direction::Reverse, ttl: 64, ..request };
                        let arrivals = self.send(event.at, reply);
                        seen.extend(
                            arrivals.into_iter().filter(|arrival| arrival.effect == Effect::Delivered),
                        );
                    }
                }
                Effect::Ptb { .. }
                | Effect::TimeExceeded { .. }
                | Effect::Unreachable { .. }
                | Effect::LocalLimit { .. } => seen.push(event),
            }
        }
        seen.sort_by_key(|event| event.at);
        seen
    }

    /// The `index`-th forged PTB (from 0), if the scenario has a forger.
    pub fn forged(&self, index: u64) -> Option<ForgedPtb> {
        let Forged { mtus, per_second, from, quote: _ } = self.scenario.forged.as_ref()?;
        let length = u64::try_from(mtus.len()).ok()?;
        let mtu = *mtus.get(usize::try_from(index % length).ok()?)?;
        let interval = Duration::from_secs(1).div_f64(*per_second);
        Some(ForgedPtb { at: interval.saturating_mul(u32::try_from(index).ok()?), mtu, from: *from })
    }

    fn forward(&mut self, now: Duration, packet: Packet, events: &mut Vec<Event>) {
        if packet.size > self.scenario.link.mtu && !packet.fragmentable {
            events.push(Event { at: now, effect: Effect::LocalLimit { mtu: self.scenario.link.mtu } });
            return;
        }
        if self.scenario.link.carries.is_some_and(|carries| packet.size > carries) {
            return;
        }
        for at in self.pass(now, self.own_link()) {
            self.forward_from(1, at, packet, events);
        }
    }

    /// The packet reaches router `number`, or the server behind the last one, at `at`.
    fn forward_from(&mut self, number: usize, at: Duration, packet: Packet, events: &mut Vec<Event>) {
        let Some(hop) = self.scenario.hops.get(number - 1).cloned() else {
            events.push(Event { at, effect: Effect::Delivered });
            return;
        };
        let from = self.scenario.address_of(number);
        if usize::from(packet.ttl) <= number {
            if hop.time_exceeded && self.allowances[number - 1].time_exceeded.take(at) {
                self.back_to_client(number, at, Effect::TimeExceeded { from }, events);
            }
            return;
        }
        let mtu = self.mtu_at(number, at, packet.flow);
        let is_too_big = packet.size > mtu && !packet.fragmentable;
        let ptb = match (is_too_big, hop.ptb_lie) {
            (true, _) if hop.ptb => Some(hop.ptb_mtu.unwrap_or(mtu.into())),
            (false, Some(lie)) if u32::from(packet.size) > lie => Some(lie),
            (true | false, _) => None,
        };
        if let Some(mtu) = ptb
            && self.allowances[number - 1].ptb.take(at)
        {
            self.back_to_client(number, at + hop.ptb_late, Effect::Ptb { from, mtu }, events);
        }
        if is_too_big {
            return;
        }
        let is_last = number == self.scenario.hops.len();
        if is_last && self.scenario.destination == Destination::Unreachable {
            self.back_to_client(number, at, Effect::Unreachable { from }, events);
            return;
        }
        for next in self.pass(at, Link::from(&hop)) {
            self.forward_from(number + 1, next, packet, events);
        }
    }

    /// An ICMP error of router `number` goes home over the links that the packet came by.
    fn back_to_client(&mut self, number: usize, at: Duration, effect: Effect, events: &mut Vec<Event>) {
        let mut arrivals = vec![at];
        for link in (0..number).rev().map(|index| self.link(index)).collect::<Vec<_>>() {
            arrivals = arrivals.into_iter().flat_map(|at| self.pass(at, link)).collect();
        }
        events.extend(arrivals.into_iter().map(|at| Event { at, effect }));
    }

    fn backward(&mut self, now: Duration, packet: Packet, events: &mut Vec<Event>) {
        // (MTU, link) of each step; with a path of its own the server's link is as wide as it likes.
        let steps: Vec<(u16, Link)> = match &self.scenario.reverse {
            Some(hops) => {
                hops.iter().map(|hop| (leg(hop, self.seed, packet.flow), Link::from(hop))).collect()
            }
            None => (0..=self.scenario.hops.len())
                .rev()
                .map(|index| {
                    let own = self.scenario.link.carries.unwrap_or(u16::MAX).min(self.scenario.link.mtu);
                    (if index == 0 { own } else { self.mtu_at(index, now, packet.flow) }, self.link(index))
                })
                .collect(),
        };
        let mut arrivals = vec![now];
        for (number, (mtu, link)) in steps.into_iter().enumerate() {
            if packet.size > mtu && !packet.fragmentable {
                // The first step is the server's own link, where no router sends anything.
                if let Some((hop, from)) = self.reverse_router(number)
                    && hop.ptb
                    && let Some(&at) = arrivals.first()
                {
                    events.push(Event { at, effect: Effect::Ptb { from, mtu: mtu.into() } });
                }
                return;
            }
            arrivals = arrivals.into_iter().flat_map(|at| self.pass(at, link)).collect();
        }
        events.extend(arrivals.into_iter().map(|at| Event { at, effect: Effect::Delivered }));
    }

    /// Router that sends onto step `number` (from 0) of the way back, and its address.
    fn reverse_router(&self, number: usize) -> Option<(&Hop, IpAddr)> {
        if let Some(hops) = &self.scenario.reverse {
            let hop = hops.get(number)?;
            return Some((hop, hop.address.unwrap_or_else(|| self.scenario.reverse_address_of(number + 1))));
        }
        let index = self.scenario.hops.len().checked_sub(number)?;
        Some((self.scenario.hops.get(index)?, self.scenario.address_of(index + 1)))
    }

    fn own_link(&self) -> Link {
        let own = &self.scenario.link;
        Link {
            delay: own.delay,
            jitter: own.jitter,
            loss: own.loss,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            duplicate: 0.0,
        }
    }

    /// Link behind router `index`; 0 is the client's own.
    fn link(&self, index: usize) -> Link {
        match index.checked_sub(1).and_then(|index| self.scenario.hops.get(index)) {
            Some(hop) => Link::from(hop),
            None => self.own_link(),
        }
    }

    fn mtu_at(&self, number: usize, at: Duration, flow: u64) -> u16 {
        let changes =
            self.scenario.changes.iter().filter(|change| change.hop == number && change.after <= at);
        match changes.max_by_key(|change| change.after) {
            Some(change) => change.mtu,
            None => leg(&self.scenario.hops[number - 1], self.seed, flow),
        }
    }

    /// When the packet arrives at the end of `link`: never, once, or twice.
    fn pass(&mut self, at: Duration, link: Link) -> Vec<Duration> {
        if self.happens(link.loss) {
            return Vec::new();
        }
        let copies = if self.happens(link.duplicate) { 2 } else { 1 };
        (0..copies)
            .map(|_| {
                let held_back = if self.happens(link.reorder) { link.reorder_by } else { Duration::ZERO };
                let jitter =
                    if link.jitter.is_zero() { Duration::ZERO } else { link.jitter.mul_f64(self.dice.f64()) };
                at + link.delay + jitter + held_back
            })
            .collect()
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.dice.f64() < share
    }
}

/// MTU of the link that `flow` takes out of `hop`.
fn leg(hop: &Hop, seed: u64, flow: u64) -> u16 {
    let legs = hop.ecmp.len() + 1;
    let choice =
        if legs == 1 { 0 } else { fastrand::Rng::with_seed(seed ^ flow.rotate_left(17)).usize(..legs) };
    choice.checked_sub(1).and_then(|index| hop.ecmp.get(index).copied()).unwrap_or(hop.mtu)
}

#[cfg(test)]
mod tests;
