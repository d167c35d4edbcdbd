//! `mtu-agent survey`.

use anyhow::Context;
use jiff::Timestamp;
use mtu_agent::discovery::survey::{Sources, Survey, look};
use mtu_agent::discovery::who;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::{survey_json, survey_text, walk_text};

use crate::cli::{Output, SurveyArgs, When};
use crate::{FINE, MISMATCH, UNKNOWN, terminal};

/// Surveys this host, prints it, and tells the exit code.
pub(crate) fn run(args: SurveyArgs, color: When) -> anyhow::Result<u8> {
    let SurveyArgs { targets, no_probe, max_dind_mtu, of, output } = args;
    let look = look(&Sources::default()).context("survey this host")?;
    let from = of.map(|who| who::find(&look.identities, &who)).transpose()?;
    let paths = Vec::new();
    let _ = (targets, no_probe);
    let maximum = LinkMtu::new(max_dind_mtu.get()).expect("it is not 0");
    let survey = Survey::conclude(look, paths, maximum, now());
    let paint = terminal::paint(color);
    let text = match (from, output) {
        (Some(from), _) => walk_text::render(&survey, from, paint),
        (None, Output::Text) => survey_text::render(&survey, paint),
        (None, Output::Json) => survey_json::render(&survey)? + "\n",
    };
    terminal::answer(&text).context("write the survey to stdout")?;
    Ok(exit_code(&survey))
}

/// A mismatch is known for sure, so it wins over what is unknown.
fn exit_code(survey: &Survey) -> u8 {
    if !survey.findings.is_empty() || survey.has_black_hole() {
        MISMATCH
    } else if survey.safe_dind_mtu().is_none() || survey.paths.iter().any(|path| path.is_unresolved()) {
        UNKNOWN
    } else {
        FINE
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge of the program: the survey is dated here")]
fn now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).expect("the year is under 9999")
}
