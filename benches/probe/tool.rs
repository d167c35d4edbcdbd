//! The contestants: how each is called, at its fastest settings that still give a right answer.

use std::fmt;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::lane::{Lane, Layout};
use crate::parse;

/// A program that tells the path MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    MtuAgent,
    Tracepath,
    Traceroute,
    Scamper,
    Nmap,
    /// Bisection with `ping -M do`, as people do by hand.
    Ping,
}

impl Tool {
    pub(crate) const PEERS: [Self; 5] =
        [Self::Tracepath, Self::Traceroute, Self::Scamper, Self::Nmap, Self::Ping];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::MtuAgent => "mtu-agent",
            Self::Tracepath => "tracepath",
            Self::Traceroute => "traceroute",
            Self::Scamper => "scamper",
            Self::Nmap => "nmap",
            Self::Ping => "ping bisect",
        }
    }

    /// The programs that it needs, and the Debian package that has them.
    fn needs(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::MtuAgent => (&[], ""),
            Self::Tracepath => (&["tracepath"], "iputils-tracepath"),
            Self::Traceroute => (&["traceroute"], "traceroute"),
            Self::Scamper => (&["scamper", "sc_wartsdump"], "scamper"),
            Self::Nmap => (&["nmap"], "nmap"),
            Self::Ping => (&["ping"], "iputils-ping"),
        }
    }

    /// The Debian package to install, if it is not there.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let (programs, package) = self.needs();
        let is_there = |program: &&str| {
            let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
            found.is_ok_and(|output| output.status.success())
        };
        (!programs.iter().all(is_there)).then_some(package)
    }

    /// One run, on a path of its own.
    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    pub(crate) fn run(self, layout: &Layout, lane: &Lane) -> Result<Reading> {
        if self == Self::Scamper {
            lane.learn_neighbours()?;
        }
        let began = Instant::now();
        let (answer, document) = self.ask(layout, lane)?;
        Ok(Reading { answer, wall: began.elapsed(), packets: lane.packets()?, document })
    }

    fn ask(self, layout: &Layout, lane: &Lane) -> Result<(Answer, Option<Value>)> {
        let server = lane.server.to_string();
        let family = if lane.server.is_ipv4() { "-4" } else { "-6" };
        // Farther than the server there is nothing, and waiting for hops that do not answer is what takes them long.
        let hops = layout.links().to_string();
        let shell = |pipeline: String| output(lane, &["sh", "-c", &pipeline]);
        Ok(match self {
            Self::MtuAgent => {
                let output =
                    output(lane, &[env!("CARGO_BIN_EXE_mtu-agent"), "probe", &server, "--output", "json"])?;
                match serde_json::from_slice::<Value>(&output.stdout) {
                    Ok(document) => (parse::own(&document), Some(document)),
                    Err(_) => (Answer::None, Some(String::from_utf8_lossy(&output.stderr).trim().into())),
                }
            }
            Self::Tracepath => (
                parse::tracepath(&text(&output(lane, &["tracepath", "-n", family, "-m", &hops, &server])?)),
                None,
            ),
            // One query per hop, and one second, its least useful wait here, where it would take three of five.
            Self::Traceroute => {
                let words = ["traceroute", "-n", family, "--mtu", "-q1", "-w", "1", "-m", &hops, &server];
                (parse::traceroute(&text(&output(lane, &words)?)), None)
            }
            // One second is the shortest wait that it takes. One or two tries end early, without an answer.
            Self::Scamper => {
                let trace = format!("trace -M -P udp -q 3 -w 1 {server}");
                let pipeline = format!("scamper -p 1000 -O warts -o - -I '{trace}' | sc_wartsdump");
                (parse::scamper(&text(&shell(pipeline)?)), None)
            }
            Self::Nmap => {
                let words = ["nmap", "-n", "-Pn", "-p", "80", "--script", "path-mtu", &server];
                (parse::nmap(&text(&output(lane, &words)?)), None)
            }
            Self::Ping => (bisect(layout, lane)?, None),
        })
    }
}

/// What a tool says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    Mtu(u16),
    Range(String),
    None,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mtu(mtu) => write!(f, "{mtu}"),
            Self::Range(range) => f.write_str(range),
            Self::None => f.write_str("none"),
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) answer: Answer,
    /// Of the whole process, or of all processes.
    pub(crate) wall: Duration,
    /// From the client to the server, or to wherever their TTL lets them.
    pub(crate) packets: u64,
    /// Ours alone: the JSON, or what it said instead.
    pub(crate) document: Option<Value>,
}

fn output(lane: &Lane, words: &[&str]) -> Result<Output> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let name = words.first().cloned().unwrap_or_default();
    let run = move || Command::new(&words[0]).args(&words[1..]).output();
    lane.client().run(run)?.with_context(|| format!("start {name}"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Three pings per size at once, so that a lost one is none too many, and half a second for their answers; a PTB
/// names the size to try next.
fn bisect(layout: &Layout, lane: &Lane) -> Result<Answer> {
    let (family, overhead) = if lane.server.is_ipv4() { ("-4", 28) } else { ("-6", 48) };
    let server = lane.server.to_string();
    let passes = |mtu: u16| -> Result<(bool, Option<u16>)> {
        let payload = (mtu - overhead).to_string();
        let words =
            ["ping", family, "-M", "do", "-n", "-c", "3", "-i", "0.01", "-W", "0.5", "-s", &payload, &server];
        let output = output(lane, &words)?;
        let said = format!("{}{}", text(&output), String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), parse::ping_ptb(&said)))
    };
    let (mut good, mut bad) = (1279, layout.own());
    let (is_wide, mut named) = passes(bad)?;
    if is_wide {
        return Ok(Answer::Mtu(bad));
    }
    while bad - good > 1 {
        let is_new = |mtu: &u16| (good + 1..bad).contains(mtu);
        let hint = named.filter(is_new);
        let mtu = hint.unwrap_or(u16::midpoint(good, bad));
        let (is_good, ptb) = passes(mtu)?;
        match (is_good, hint) {
            // The router has said that nothing larger passes.
            (true, Some(_)) => return Ok(Answer::Mtu(mtu)),
            (true, None) => good = mtu,
            (false, _) => (bad, named) = (mtu, ptb),
        }
    }
    Ok(if good < 1280 { Answer::None } else { Answer::Mtu(good) })
}
