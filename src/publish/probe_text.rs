//! One probed path in a few lines for people.

use std::time::Duration;

use super::paint::Paint;
use crate::domain::search::{LimitedBy, Progress, Verdict};
use crate::kernel::socket::SocketKind;
use crate::probes::driver::ProbeReport;

/// The answer, and what it took. `destination` is what the user named.
pub fn render(destination: &str, report: &ProbeReport, paint: Paint) -> String {
    let outcome = report.outcome;
    let address = report.destination.to_string();
    let to = if address == destination { address } else { format!("{destination} ({address})") };
    let limiting = outcome.limited_by.map(|limited_by| place(limited_by, &report.egress.device));
    let by = limiting.as_ref().map_or_else(|| all_there_is(report), |place| format!(", limited by {place}"));
    let after = limiting.as_ref().map(|place| format!(" after {place}")).unwrap_or_default();
    let answer = match outcome.verdict {
        Verdict::Exact { path_mtu } => paint.good(&format!("path MTU {path_mtu}")) + ", exact" + &by,
        Verdict::BlackHole { path_mtu } => {
            paint.bad(&format!("path MTU {path_mtu}, black hole")) + ": larger packets vanish" + &after
        }
        Verdict::LowerBound { path_mtu } => {
            format!("path MTU at least {path_mtu}: whether more fits could not be told, too much is lost")
        }
        Verdict::Inconsistent => paint.bad("path MTU unknown: the answers contradict each other"),
        Verdict::Unreachable => paint.bad("path MTU unknown: no probe was answered, not even a small one"),
    };
    let rtt = outcome.rtt.map(|rtt| format!(", round trip {}", milliseconds(rtt))).unwrap_or_default();
    let loss = outcome.loss.map(|loss| format!(", {:.0} % lost", loss * 100.0)).unwrap_or_default();
    let socket = match report.socket {
        SocketKind::Raw => "",
        SocketKind::Ping => " from an unprivileged ping socket",
    };
    let how = format!(
        "  measured by ICMP echo{socket} by link {}, so in both directions: {} in {}, {}{rtt}{loss}",
        report.egress.device,
        count(outcome.probes_sent, "packet"),
        count(outcome.flights, "flight"),
        milliseconds(outcome.elapsed),
    );
    format!("{to}: {answer}\n{}\n{}", paint.faint(&paint.fit(&how)), disbelieved(report))
}

/// A line for a terminal while the search works.
pub fn progress(destination: &str, progress: &Progress) -> String {
    let passed = progress.largest_passed.map(|size| format!(", {size} passes")).unwrap_or_default();
    let lost = progress.smallest_lost.map(|size| format!(", {size} seems not to")).unwrap_or_default();
    format!("{destination}: flight {}, {} sent{passed}{lost}", progress.flight, progress.probes_sent)
}

fn place(limited_by: LimitedBy, link: &str) -> String {
    match (limited_by.address, limited_by.hop) {
        (_, Some(0)) => format!("link {link} of this host"),
        (Some(address), Some(hop)) => format!("{address} (hop {hop})"),
        (Some(address), None) => address.to_string(),
        (None, Some(hop)) => format!("hop {hop}, which does not say its name"),
        (None, None) => "an unknown hop".to_owned(),
    }
}

/// Why an exact path MTU is no larger, when nothing on the path limits it.
fn all_there_is(report: &ProbeReport) -> String {
    if report.outcome.verdict.path_mtu() == report.egress.max() {
        format!(": as much as link {} carries", report.egress.device)
    } else {
        ": as much as was tried".to_owned()
    }
}

fn count(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A line about lies, if there were any.
fn disbelieved(report: &ProbeReport) -> String {
    let ignored = report.ignored;
    let lies = ignored.forged + ignored.off_path + ignored.absurd + u64::from(report.outcome.ptbs_ignored);
    if lies == 0 {
        String::new()
    } else {
        format!("  {lies} messages were not believed: forged or impossible\n")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
