//! `mtu-agent survey`.

use std::rc::Rc;

use anyhow::Context;
use jiff::Timestamp;
use mtu_agent::discovery::measure::{Step, measure, recall};
use mtu_agent::discovery::path::Path;
use mtu_agent::discovery::survey::{Sources, Survey, look};
use mtu_agent::discovery::who;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::probes::resolve::Target;
use mtu_agent::publish::drawing::{Drawing, dot, svg};
use mtu_agent::publish::{survey_json, survey_text, walk_text};
use tokio::task::LocalSet;

use crate::cli::{SurveyArgs, SurveyOutput, When};
use crate::terminal::Progress;
use crate::{FINE, MISMATCH, UNKNOWN, terminal};

/// Surveys this host, prints it, and tells the exit code.
pub(crate) fn run(args: SurveyArgs, color: When) -> anyhow::Result<u8> {
    let SurveyArgs { targets, no_probe, max_dind_mtu, of, output } = args;
    let look = look(&Sources::default()).context("survey this host")?;
    let from = of.map(|who| who::find(&look.identities, &who)).transpose()?;
    let paths = probe(targets, no_probe)?;
    let maximum = LinkMtu::new(max_dind_mtu.get()).expect("it is not 0");
    let survey = Survey::conclude(look, paths, maximum, now());
    let paint = terminal::paint(color);
    let text = match (from, output) {
        (Some(from), _) => walk_text::render(&survey, from, paint),
        (None, SurveyOutput::Text) => survey_text::render(&survey, paint),
        (None, SurveyOutput::Json) => survey_json::render(&survey)? + "\n",
        (None, SurveyOutput::Svg) => svg::document(&Drawing::of(&survey)),
        (None, SurveyOutput::Dot) => dot::render(&Drawing::of(&survey)),
    };
    terminal::answer(&text).context("write the survey to stdout")?;
    Ok(exit_code(&survey))
}

pub(crate) fn probe(targets: Vec<Target>, no_probe: bool) -> anyhow::Result<Vec<Path>> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start the runtime that sends probes")?;
    let paths = LocalSet::new().block_on(&runtime, async {
        if no_probe {
            return recall(targets).await;
        }
        let progress = Rc::new(Progress::new());
        measure(targets, move |step| progress.show(&progress_line(step))).await
    });
    Ok(paths)
}

fn progress_line(step: Step<'_>) -> String {
    let passed = step.largest_passed.map(|size| format!(", {size} passes")).unwrap_or_default();
    format!("probing {}: {} sent{passed}", step.target, step.probes_sent)
}

/// A mismatch is known for sure, so it wins over what is unknown.
fn exit_code(survey: &Survey) -> u8 {
    if !survey.findings.is_empty() || survey.has_black_hole() {
        MISMATCH
    } else if survey.safe_dind_mtu().is_none() || survey.paths.iter().any(Path::is_unresolved) {
        UNKNOWN
    } else {
        FINE
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program: the survey is dated here")]
pub(crate) fn now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).expect("the year is under 9999")
}
