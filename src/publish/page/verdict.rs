//! How it stands, in words, and the command that mends it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::mend::mend;
use crate::discovery::path::{Path, PathResult};
use crate::discovery::survey::Survey;

/// How it stands; the worst is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All that was looked at is as it should be.
    Fine,
    /// It cannot be told.
    Unknown,
    /// A link lets in packets that cannot get out, or what was tuned does not carry what it says.
    Mismatch,
    /// Large packets vanish on a probed path.
    BlackHole,
    /// The agent does not look any more, so nobody knows.
    Late,
}

impl State {
    /// What a survey says.
    pub fn of(survey: &Survey) -> Self {
        if survey.has_black_hole() {
            Self::BlackHole
        } else if !survey.findings.is_empty() || narrower(survey) > 0 {
            Self::Mismatch
        } else if survey.safe_dind_mtu().is_none() || survey.paths.iter().any(Path::is_unresolved) {
            Self::Unknown
        } else {
            Self::Fine
        }
    }

    /// In the page and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Mismatch => "mismatch",
            Self::BlackHole => "black-hole",
            Self::Late => "late",
        }
    }

    /// For people.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Fine => "Fine",
            Self::Unknown => "Unknown",
            Self::Mismatch => "Mismatch",
            Self::BlackHole => "Black hole",
            Self::Late => "The agent hangs",
        }
    }

    /// Of the dot in a tab, in hexadecimal.
    pub(super) fn colour(self) -> &'static str {
        match self {
            Self::Fine => "2da44e",
            Self::Unknown | Self::Late => "bf8700",
            Self::Mismatch | Self::BlackHole => "cf222e",
        }
    }
}

/// How it stands, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// In one word.
    pub(super) state: State,
    /// Why, the worst first.
    pub(super) sentences: Vec<String>,
    /// What mends it, or shows more of it.
    pub(super) command: Option<String>,
}

impl Verdict {
    /// What a survey says.
    pub(super) fn of(survey: &Survey) -> Self {
        let state = State::of(survey);
        let holes: Vec<_> = survey.paths.iter().filter(|path| path.is_black_hole()).collect();
        let mut sentences: Vec<_> = holes.iter().map(|path| black_hole(path)).collect();
        match survey.findings.len() {
            0 => {}
            1 => sentences.push("1 link lets in packets that cannot get out.".to_owned()),
            several => sentences.push(format!("{several} links let in packets that cannot get out.")),
        }
        match narrower(survey) {
            0 => {}
            1 => sentences.push("From 1 tuned namespace full-size packets do not get through.".to_owned()),
            several => {
                sentences
                    .push(format!("From {several} tuned namespaces full-size packets do not get through."));
            }
        }
        if survey.safe_dind_mtu().is_none() {
            sentences.push("No safe MTU can be told.".to_owned());
        }
        let unresolved = survey.paths.iter().filter(|path| path.is_unresolved());
        sentences.extend(unresolved.map(|path| format!("The target {} has no address.", path.target)));
        if state == State::Fine {
            sentences.push(fine(survey).to_owned());
        }
        sentences.extend(survey.remark().map(|remark| sentence(&remark)));
        let mend = mend(survey);
        let command = match (mend, holes.first()) {
            (Some(mend), _) => {
                let then = match survey.findings.as_slice() {
                    [] => "so that nothing nested sends what vanishes",
                    [..] => "the table says what mends it for good",
                };
                sentences.push(format!("This lowers {} at once; {then}.", mend.what));
                Some(mend.command)
            }
            (None, Some(hole)) => {
                sentences.push(
                    "What is nested fits already. This shows the hop that is to let PTBs through:".into(),
                );
                Some(format!("mtu-agent probe {}", super::mend::quoted(&hole.target)))
            }
            (None, None) => survey.findings.first().map(|finding| finding.fix.clone()),
        };
        Self { state, sentences, command }
    }

    /// The same, but that the agent should have looked again so long ago.
    #[must_use]
    pub(super) fn late_by(mut self, overdue: Option<Duration>) -> Self {
        if let Some(overdue) = overdue {
            let seconds = overdue.as_secs();
            self.sentences
                .insert(0, format!("It should have looked again {seconds} s ago. What it saw last:"));
            self.state = State::Late;
        }
        self
    }
}

fn fine(survey: &Survey) -> &'static str {
    let was_searched = |path: &Path| matches!(path.result, PathResult::Searched(_));
    if survey.paths.iter().any(was_searched) {
        "No link lets in packets that cannot get out, and no large packet vanishes on a probed path."
    } else {
        "No link lets in packets that cannot get out. Nothing was measured: the agent has no target."
    }
}

/// How many tuned namespaces do not let through what they say.
fn narrower(survey: &Survey) -> usize {
    let paths = survey.nested_paths.iter().filter(|path| path.probe.passes.is_verified() == Some(false));
    paths.map(|path| path.netns).collect::<BTreeSet<_>>().len()
}

fn black_hole(path: &Path) -> String {
    let size = path.path_mtu().map(|(size, _)| format!(" over {size} bytes")).unwrap_or_default();
    let hop = path.limited_by().and_then(|limited_by| limited_by.address);
    let hop = hop.map(|address| format!(" behind {address}")).unwrap_or_default();
    format!("Packets{size} to {} vanish{hop}, and nobody says so.", path.target)
}

/// A remark begins in small letters, as a part of a line.
fn sentence(remark: &str) -> String {
    let mut chars = remark.chars();
    let first = chars.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}
