//! `mtu-agent probe`.

use std::net::IpAddr;

use anyhow::{Context, bail};
use mtu_agent::domain::mtu::IpFamily;
use mtu_agent::domain::search::Verdict;
use mtu_agent::kernel::netns;
use mtu_agent::probes::driver::{ProbeError, ProbeReport, ProbeRequest, Prober};
use mtu_agent::publish::{probe_json, probe_text};

use crate::cli::{Output, ProbeArgs, When};
use crate::terminal::{self, Progress};
use crate::{FINE, MISMATCH, UNKNOWN, USAGE};

/// Probes one destination, prints what was found, and tells the exit code.
pub(crate) fn run(args: ProbeArgs, color: When) -> anyhow::Result<u8> {
    let destination = args.destination.to_string();
    let output = args.output;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = match runtime.context("start the runtime that sends probes")?.block_on(probe(args)) {
        Ok(report) => report,
        Err(error) => {
            terminal::complain(&format!("{error:#}"));
            let is_usage = matches!(error.downcast_ref(), Some(ProbeError::Config { .. }));
            return Ok(if is_usage { USAGE } else { UNKNOWN });
        }
    };
    let text = match output {
        Output::Text => probe_text::render(&destination, &report, terminal::paint(color)),
        Output::Json => probe_json::render(&destination, &report)? + "\n",
    };
    terminal::answer(&text).context("write the answer to stdout")?;
    Ok(match report.outcome.verdict {
        Verdict::Exact { .. } => FINE,
        Verdict::BlackHole { .. } => MISMATCH,
        Verdict::LowerBound { .. } | Verdict::Inconsistent | Verdict::Unreachable => UNKNOWN,
    })
}

async fn probe(args: ProbeArgs) -> anyhow::Result<ProbeReport> {
    let name = args.destination.to_string();
    let addresses = args.destination.resolve().await?;
    let candidates: Vec<_> = addresses.into_iter().filter(|it| args.allows(IpFamily::of(*it))).collect();
    let prober = open(&args, &candidates)?;
    let progress = Progress::new();
    Ok(prober.run(|step| progress.show(&probe_text::progress(&name, step))).await?)
}

/// A prober for the first address that this host has a way to, in the resolver's order.
fn open(args: &ProbeArgs, addresses: &[IpAddr]) -> anyhow::Result<Prober> {
    let mut refused = None;
    for address in addresses {
        let device = args.device.clone().or_else(|| args.destination.device().map(str::to_owned));
        let request = ProbeRequest { device, max: args.max_mtu, ..ProbeRequest::new(*address) };
        let opened = match &args.netns {
            Some(netns) => netns::find(netns)?.run(|| Prober::open(request))?,
            None => Prober::open(request),
        };
        match opened {
            Ok(prober) => return Ok(prober),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => bail!("{} has no address of the family that was asked for", args.destination),
    }
}
