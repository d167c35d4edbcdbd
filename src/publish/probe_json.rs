//! One probed path as JSON, described in `docs/probe-json.md`. Changes only add.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::domain::evidence::Evidence;
use crate::domain::mtu::{IpFamily, PathMtu};
use crate::domain::search::LimitedBy;
use crate::kernel::socket::SocketKind;
use crate::probes::driver::ProbeReport;
use crate::probes::ledger::IgnoredCounts;

#[derive(Serialize)]
struct Document<'a> {
    destination: &'a str,
    address: IpAddr,
    family: IpFamily,
    verdict: &'static str,
    path_mtu: Option<PathMtu>,
    evidence: Option<Evidence>,
    method: &'static str,
    direction: &'static str,
    limited_by: Option<LimitedBy>,
    probes_sent: u32,
    bytes_sent: u32,
    flights: u32,
    rtt_ms: Option<f64>,
    loss: Option<f32>,
    elapsed_ms: f64,
    socket: SocketKind,
    link: &'a str,
    ignored: Ignored,
}

/// Messages that were not believed: they changed nothing.
#[derive(Serialize)]
struct Ignored {
    impossible_ptb: u32,
    #[serde(flatten)]
    others: IgnoredCounts,
}

/// The report as one JSON document, indented. `destination` is what the user named.
pub fn render(destination: &str, report: &ProbeReport) -> serde_json::Result<String> {
    let outcome = report.outcome;
    let path_mtu = outcome.verdict.path_mtu();
    serde_json::to_string_pretty(&Document {
        destination,
        address: report.destination,
        family: IpFamily::of(report.destination),
        verdict: outcome.verdict.name(),
        path_mtu,
        evidence: path_mtu.map(|_| Evidence::Measured),
        // The echo comes back at the probed size: the smaller of both directions is what is measured.
        method: "icmp_echo",
        direction: "both",
        limited_by: outcome.limited_by,
        probes_sent: outcome.probes_sent,
        bytes_sent: outcome.bytes_sent,
        flights: outcome.flights,
        rtt_ms: outcome.rtt.map(milliseconds),
        loss: outcome.loss,
        elapsed_ms: milliseconds(outcome.elapsed),
        socket: report.socket,
        link: &report.egress.device,
        ignored: Ignored { impossible_ptb: outcome.ptbs_ignored, others: report.ignored },
    })
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
