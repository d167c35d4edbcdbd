//! A path described in a file, and what is expected of whoever measures it.
//!
//! ```toml
//! about = "A narrow link behind the second router, which says nothing."
//!
//! [link]              # the client's own link
//! mtu = 1500
//!
//! [[hop]]             # router 1, and the link that it sends onto, towards the server
//! mtu = 1500
//! delay_ms = 25       # each way
//!
//! [[hop]]             # router 2
//! mtu = 1450
//! ptb = false
//! loss = 0.1          # each way
//!
//! [expect]
//! verdict = "black_hole"
//! path_mtu = 1450
//! hop = 2
//! ```
//!
//! Unknown keys are refused: a misspelt one would test another network than the one that is meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

/// IP version of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4; probes have DF set.
    #[default]
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Smallest MTU of a link: 68 (RFC 791 §3.2) or 1280 (RFC 8200 §5).
    pub fn minimum_mtu(self) -> u16 {
        match self {
            Self::Ipv4 => 68,
            Self::Ipv6 => 1280,
        }
    }
}

/// What the server does with an echo request that reaches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// Sends it back, in the same size.
    #[default]
    Answers,
    /// Nothing.
    Silent,
    /// Does not exist: the last router says "host unreachable".
    Unreachable,
}

/// The client's own link: to the first router, or to the server if there is no router.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnLink {
    /// MTU that the client's kernel knows and enforces, in bytes.
    pub mtu: u16,
    /// Largest packet that the link really carries, if that is less: a hole that no router can report.
    pub carries: Option<u16>,
    /// Time that a packet takes, each way.
    #[serde(default, rename = "delay_ms", deserialize_with = "milliseconds")]
    pub delay: Duration,
    /// Up to this much is added to the delay, evenly distributed.
    #[serde(default, rename = "jitter_ms", deserialize_with = "milliseconds")]
    pub jitter: Duration,
    /// Share of packets that are lost, each way.
    #[serde(default)]
    pub loss: f64,
}

/// One router, and the link that it sends onto.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Address that its ICMP errors come from; by default 10.77.HOP.1 or `fd77::HOP:1`
    /// (HOP in hexadecimal).
    pub address: Option<IpAddr>,
    /// MTU of the link, in bytes, in both directions.
    pub mtu: u16,
    /// MTUs of further links to the next router, equal in cost (ECMP): a flow takes one of `mtu` and these.
    #[serde(default)]
    pub ecmp: Vec<u16>,
    /// Time that a packet takes, each way.
    #[serde(default, rename = "delay_ms", deserialize_with = "milliseconds")]
    pub delay: Duration,
    /// Up to this much is added to the delay, evenly distributed.
    #[serde(default, rename = "jitter_ms", deserialize_with = "milliseconds")]
    pub jitter: Duration,
    /// Share of packets that are lost, each way.
    #[serde(default)]
    pub loss: f64,
    /// Share of packets that are held back by `reorder_ms`, so that later ones overtake them.
    #[serde(default)]
    pub reorder: f64,
    /// How long a reordered packet is held back.
    #[serde(default, rename = "reorder_ms", deserialize_with = "milliseconds")]
    pub reorder_by: Duration,
    /// Share of packets that arrive twice.
    #[serde(default)]
    pub duplicate: f64,
    /// Whether a packet that is too big for the link is answered with a PTB.
    #[serde(default = "yes")]
    pub ptb: bool,
    /// MTU that the PTB names instead of the true one (0: an old router that names none).
    pub ptb_mtu: Option<u32>,
    /// How long the PTB is held back.
    #[serde(default, rename = "ptb_late_ms", deserialize_with = "milliseconds")]
    pub ptb_late: Duration,
    /// PTBs allowed per second; unlimited by default, as Linux has it.
    pub ptb_per_second: Option<f64>,
    /// PTBs allowed at once, if they are limited.
    #[serde(default = "linux_burst")]
    pub ptb_burst: u32,
    /// MTU of a PTB that is sent for each larger packet although the packet is forwarded: a lie.
    pub ptb_lie: Option<u32>,
    /// Whether a packet whose TTL ends here is answered with a time exceeded.
    #[serde(default = "yes")]
    pub time_exceeded: bool,
    /// Time exceeded messages allowed per second; Linux allows 1 per destination (`icmp_ratelimit`).
    #[serde(default = "linux_rate")]
    pub time_exceeded_per_second: f64,
    /// Time exceeded messages allowed at once; Linux allows 6 (`XRLIM_BURST_FACTOR`).
    #[serde(default = "linux_burst")]
    pub time_exceeded_burst: u32,
}

/// Which packet a forged PTB quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quote {
    /// One that was never sent: the forger is off the path and guesses.
    Guessed,
    /// The last one that the client sent: the forger sees the path.
    Seen,
}

/// PTBs that no router sends: they come at their own rate, not in answer to a packet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forged {
    /// MTUs that they name, in turn.
    pub mtus: Vec<u32>,
    /// How many come per second.
    pub per_second: f64,
    /// Address that they come from.
    pub from: IpAddr,
    /// Which packet they quote.
    pub quote: Quote,
}

/// The MTU of a link changes while packets flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, since the network began.
    #[serde(rename = "after_ms", deserialize_with = "milliseconds")]
    pub after: Duration,
    /// Router whose link changes, from 1.
    pub hop: usize,
    /// The new MTU, in bytes.
    pub mtu: u16,
}

/// How the path is to be measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Largest size to try; by default the MTU of the client's own link.
    pub max: Option<u16>,
    /// A size that is said to be likely.
    pub hint: Option<u16>,
}

/// What a measurement must answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Name of the verdict, as in JSON: exact, `black_hole`, `lower_bound`, inconsistent, unreachable.
    pub verdict: String,
    /// The path MTU, if the verdict has one.
    pub path_mtu: Option<u16>,
    /// Hop that limits the path.
    pub hop: Option<u8>,
    /// Packets that it may send at most.
    pub packets: Option<u32>,
    /// How long it may take at most, from the first packet to the verdict.
    #[serde(default, rename = "elapsed_ms", deserialize_with = "some_milliseconds")]
    pub elapsed: Option<Duration>,
}

/// A network between a client and a server, and what is expected of whoever measures it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the file is there for, in a sentence.
    pub about: String,
    /// IP version.
    #[serde(default)]
    pub family: Family,
    /// The client's own link.
    pub link: OwnLink,
    /// Routers from the client to the server.
    #[serde(default, rename = "hop")]
    pub hops: Vec<Hop>,
    /// Routers from the server to the client; by default the same ones, backwards. The `mtu` of the last one is
    /// that of its link to the client.
    #[serde(default, rename = "reverse")]
    pub reverse: Option<Vec<Hop>>,
    /// What the server does.
    #[serde(default)]
    pub destination: Destination,
    /// PTBs that no router sends.
    pub forged: Option<Forged>,
    /// Links that change.
    #[serde(default, rename = "change")]
    pub changes: Vec<Change>,
    /// How to measure.
    #[serde(default)]
    pub search: Search,
    /// What a measurement must answer.
    pub expect: Expect,
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("read scenario {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not the TOML of a scenario; the source names line and key.
    #[error("parse scenario {name}")]
    Parse {
        /// Its name.
        name: String,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A value that no network can have.
    #[error("scenario {name}: {what}")]
    Impossible {
        /// Its name.
        name: String,
        /// Which value, and why.
        what: String,
    },
}

impl Scenario {
    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Self::parse(&path.file_stem().unwrap_or_default().to_string_lossy(), &text)
    }

    /// Parses `text`; `name` is for the error only.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)
            .map_err(|source| ScenarioError::Parse { name: name.to_owned(), source: Box::new(source) })?;
        scenario.check().map_err(|what| ScenarioError::Impossible { name: name.to_owned(), what })?;
        Ok(scenario)
    }

    /// Address that the ICMP errors of router `hop` (from 1) come from, on the way to the server.
    pub fn address_of(&self, hop: usize) -> IpAddr {
        let given =
            hop.checked_sub(1).and_then(|index| self.hops.get(index)).and_then(|router| router.address);
        given.unwrap_or_else(|| default_address(self.family, hop))
    }

    /// Address of router `hop` (from 1) of a way back of its own: 10.77.100+HOP.1 or `fd77::100+HOP:1`.
    pub fn reverse_address_of(&self, hop: usize) -> IpAddr {
        default_address(self.family, 100 + hop)
    }

    fn check(&self) -> Result<(), String> {
        let mtu_is_possible = |what: String, mtu: u16| {
            let minimum = self.family.minimum_mtu();
            if mtu < minimum {
                Err(format!("{what}: {mtu} is below {minimum}, the least of its family"))
            } else {
                Ok(())
            }
        };
        mtu_is_possible("link.mtu".to_owned(), self.link.mtu)?;
        if let Some(carries) = self.link.carries {
            mtu_is_possible("link.carries".to_owned(), carries)?;
        }
        share("link.loss", self.link.loss)?;
        let directions = [("hop", Some(&self.hops)), ("reverse", self.reverse.as_ref())];
        for (name, hops) in directions.into_iter().filter_map(|(name, hops)| Some((name, hops?))) {
            if hops.len() > 60 {
                return Err(format!("{name}: {} routers are more than a TTL of 64 passes", hops.len()));
            }
            for (index, hop) in hops.iter().enumerate() {
                let key = |field: &str| format!("{name} {}: {field}", index + 1);
                for mtu in std::iter::once(hop.mtu).chain(hop.ecmp.iter().copied()) {
                    mtu_is_possible(key("mtu"), mtu)?;
                }
                share(&key("loss"), hop.loss)?;
                share(&key("reorder"), hop.reorder)?;
                share(&key("duplicate"), hop.duplicate)?;
                rate(&key("time_exceeded_per_second"), hop.time_exceeded_per_second)?;
                rate(&key("ptb_per_second"), hop.ptb_per_second.unwrap_or_default())?;
                if hop.address.is_some_and(|address| address.is_ipv4() != (self.family == Family::Ipv4)) {
                    return Err(format!("{} is of the other IP version", key("address")));
                }
            }
        }
        for change in &self.changes {
            mtu_is_possible("change.mtu".to_owned(), change.mtu)?;
            if change.hop == 0 || change.hop > self.hops.len() {
                return Err(format!("change.hop: there is no router {}", change.hop));
            }
        }
        if let Some(forged) = &self.forged {
            rate("forged.per_second", forged.per_second)?;
            if forged.per_second <= 0.0 {
                return Err("forged.per_second: is nothing; leave the forger out".to_owned());
            }
            if forged.mtus.is_empty() {
                return Err("forged.mtus: names no MTU".to_owned());
            }
        }
        Ok(())
    }

    /// Largest packet that passes both ways, as an echo of the same size needs it, before any change. With ECMP
    /// the smallest over all flows.
    pub fn path_mtu(&self) -> u16 {
        let routers = self.hops.iter().chain(self.reverse.iter().flatten());
        let links = routers.flat_map(|hop| std::iter::once(hop.mtu).chain(hop.ecmp.iter().copied()));
        let own = self.link.carries.unwrap_or(self.link.mtu).min(self.link.mtu);
        links.fold(own, u16::min)
    }
}

fn default_address(family: Family, hop: usize) -> IpAddr {
    let hop = u8::try_from(hop).unwrap_or(u8::MAX);
    match family {
        Family::Ipv4 => Ipv4Addr::new(10, 77, hop, 1).into(),
        Family::Ipv6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, hop.into(), 1).into(),
    }
}

fn share(key: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{key}: {value} is not between 0 and 1")) }
}

fn rate(key: &str, value: f64) -> Result<(), String> {
    if (0.0..=1e6).contains(&value) {
        Ok(())
    } else {
        Err(format!("{key}: {value} is not between 0 and 1000000"))
    }
}

fn yes() -> bool {
    true
}

fn linux_rate() -> f64 {
    1.0
}

fn linux_burst() -> u32 {
    6
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if (0.0..=3_600_000.0).contains(&value) {
        Ok(Duration::from_secs_f64(value / 1000.0))
    } else {
        Err(serde::de::Error::custom(format!("{value} ms is not between 0 and an hour")))
    }
}

fn some_milliseconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    milliseconds(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
