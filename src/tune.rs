//! `mtu-agent tune`.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use mtu_agent::discovery::doors::Doors;
use mtu_agent::discovery::scope::{Chosen, Selection, choose};
use mtu_agent::discovery::survey::{Look, Sources, Survey, look};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::domain::plan::{Mode, Plan};
use mtu_agent::domain::topology::NetnsIx;
use mtu_agent::kernel::clamp::{self, Clamp, ClampError};
use mtu_agent::publish::tune::requirements;
use mtu_agent::publish::tune::{Ledger, TuneError};
use mtu_agent::publish::tune_text::Planned;
use mtu_agent::publish::{tune, tune_json, tune_text};

use crate::cli::{Output, TuneArgs, TuneMode, When};
use crate::survey::{now, probe};
use crate::{CHANGES, FINE, UNKNOWN, terminal};

/// Plans, and does what it was told to do with it; tells the exit code.
pub(crate) fn run(args: TuneArgs, color: When) -> anyhow::Result<u8> {
    let writes = args.apply || args.revert;
    let missing = requirements::missing();
    if writes && !missing.is_empty() {
        bail!("nothing was changed, for it would need {}", missing.join(", "));
    }
    if args.revert { revert(&args, color) } else { plan(args, &missing, color) }
}

fn revert(args: &TuneArgs, color: When) -> anyhow::Result<u8> {
    let ledger = Ledger::new(&args.directory);
    let _nobody_writes_it_again = ledger.claim().map_err(TuneError::from).context("take back nothing")?;
    let reverted = tune::revert(&ledger, &doors()?)?;
    let text = match args.output {
        Output::Text => tune_text::reverted(&reverted, terminal::paint(color)),
        Output::Json => tune_json::reverted(&reverted)? + "\n",
    };
    terminal::answer(&text).context("write to stdout what was taken back")?;
    Ok(if reverted.iter().all(|it| it.outcome.is_ok()) { FINE } else { UNKNOWN })
}

fn doors() -> anyhow::Result<Doors> {
    Doors::open().context("identify this host's own network namespace")
}

fn plan(args: TuneArgs, missing: &[String], color: When) -> anyhow::Result<u8> {
    let selections = selections(&args);
    let TuneArgs { apply, mode, targets, no_probe, max_dind_mtu, output, directory, .. } = args;
    let look = look(&Sources::default()).context("survey this host")?;
    let given = max_dind_mtu.and_then(|mtu| LinkMtu::new(mtu.get()).ok());
    let maximum = given.unwrap_or(LinkMtu::LARGEST_USEFUL);
    let survey = Survey::conclude(look, probe(targets, no_probe)?, maximum, now());
    let chosen = choose(&survey, &selections)?;
    // After the look, so that a container which came meanwhile is not one without a door.
    let doors = doors()?;

    let mut notes = Vec::new();
    if !missing.is_empty() {
        notes.push(format!("--apply would need {}", missing.join(", ")));
    }
    let (clamped, mode) = clamped(&survey.look, &doors, &chosen, mode.into(), apply, &mut notes)?;
    let opted_in: Vec<_> = chosen.iter().map(|chosen| chosen.opted_in.clone()).collect();
    let plan = Plan::new(&survey.look.topology, &opted_in, mode, &clamped);
    if apply {
        let steps = tune::steps(&survey.look, &doors, &plan.changes)?;
        let ledger = Ledger::new(&directory);
        if !steps.is_empty() {
            tune::prune(&ledger, &doors).map_err(TuneError::from)?;
        }
        tune::apply(&ledger, &doors, &steps, |step| tracing::debug!(step = step.what(), "write"))?;
    }
    let planned = Planned { survey: &survey, chosen: &chosen, plan: &plan, notes: &notes, applied: apply };
    let text = match output {
        Output::Text => tune_text::plan(&planned, terminal::paint(color)),
        Output::Json => tune_json::plan(&planned)? + "\n",
    };
    terminal::answer(&text).context("write the plan to stdout")?;
    Ok(if chosen.iter().any(|chosen| chosen.safe.is_none()) {
        UNKNOWN
    } else if apply || plan.changes.is_empty() {
        FINE
    } else {
        CHANGES
    })
}

fn selections(args: &TuneArgs) -> Vec<Selection> {
    let pods = args.pods.iter().cloned().map(Selection::Pod);
    let containers = args.containers.iter().cloned().map(Selection::Container);
    let namespaces = args.namespaces.iter().cloned().map(Selection::Netns);
    pods.chain(containers).chain(namespaces).chain(args.all_docker.then_some(Selection::AllDocker)).collect()
}

impl From<TuneMode> for Mode {
    fn from(mode: TuneMode) -> Self {
        match mode {
            TuneMode::Links => Self::Links,
            TuneMode::Clamp => Self::Clamp,
            TuneMode::Both => Self::Both,
        }
    }
}

/// Which namespaces are clamped already, and the mode that this kernel can do: without nftables only links, if those
/// were wanted too.
fn clamped(
    look: &Look,
    doors: &Doors,
    chosen: &[Chosen],
    mode: Mode,
    apply: bool,
    notes: &mut Vec<String>,
) -> anyhow::Result<(BTreeSet<NetnsIx>, Mode)> {
    let mut clamped = BTreeSet::new();
    if mode == Mode::Links {
        return Ok((clamped, mode));
    }
    for netns in chosen.iter().map(|chosen| chosen.opted_in.netns) {
        let Some(door) = doors.to(&look.identities[netns.0]) else { continue }; // told when it is to be written
        match door.run(clamp::read) {
            Ok(Ok(Clamp::Present)) => {
                clamped.insert(netns);
            }
            Ok(Ok(Clamp::Absent | Clamp::Altered)) => {}
            Ok(Err(error @ ClampError::Unsupported { .. })) if mode == Mode::Both => {
                notes.push(format!("TCP is not clamped, links are tuned: {:#}", anyhow::Error::from(error)));
                return Ok((BTreeSet::new(), Mode::Links));
            }
            Ok(Err(error)) if apply => return Err(error.into()),
            Err(error) if apply => return Err(error.into()),
            Ok(Err(error)) => notes.push(format!("{:#}", anyhow::Error::from(error))),
            Err(error) => notes.push(format!("{:#}", anyhow::Error::from(error))),
        }
    }
    Ok((clamped, mode))
}
