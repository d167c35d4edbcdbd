//! The command that mends what is wrong: `mtu-agent tune` for the namespaces in which it would change a link.

use std::collections::BTreeSet;

use crate::discovery::scope::{Chosen, Selection, choose};
use crate::discovery::survey::Survey;
use crate::domain::plan::{Mode, Plan};
use crate::domain::topology::{NetnsIx, Place};

/// On one command line.
const MOST_NAMED: usize = 5;

/// A command, and what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mend {
    pub(super) command: String,
    /// How many links.
    pub(super) what: String,
}

/// `None` if no link that may be written is to be lowered.
pub(super) fn mend(survey: &Survey) -> Option<Mend> {
    let scopes = match choose(survey, &[Selection::AllDocker]) {
        Ok(chosen) => chosen.into_iter().map(|chosen| (Selection::AllDocker, chosen)).collect(),
        Err(_runs_pods) => first_level(survey),
    };
    let mut changes = 0;
    let mut worth = Vec::new();
    for (selection, chosen) in scopes {
        let plan = Plan::new(&survey.look.topology, &[chosen.opted_in], Mode::Links, &BTreeSet::new());
        if !plan.changes.is_empty() {
            changes += plan.changes.len();
            worth.push(selection);
        }
    }
    if worth.is_empty() {
        return None;
    }
    let mut command = "mtu-agent tune".to_owned();
    for selection in worth.iter().take(MOST_NAMED) {
        let (option, who) = option(selection);
        command.push_str(option);
        command.push_str(&who.map(quoted).unwrap_or_default());
    }
    // What was measured lowers it further, and the command is to measure the same.
    for path in survey.paths.iter().filter(|path| path.is_black_hole()) {
        command.push_str(" --target ");
        command.push_str(&quoted(&path.target));
    }
    command.push_str(" --apply");
    let links = if changes == 1 { "1 link".to_owned() } else { format!("{changes} links") };
    let what = match worth.len().saturating_sub(MOST_NAMED) {
        0 => links,
        more => format!("a part of {links} ({more} more to be named like these)"),
    };
    Some(Mend { command, what })
}

/// What is nested in the host directly, by names that only it has.
fn first_level(survey: &Survey) -> Vec<(Selection, Chosen)> {
    let look = &survey.look;
    let of = |ix: NetnsIx| {
        let identity = &look.identities[ix.0];
        let by_name = identity.name.clone().map(|name| {
            if identity.pod_uid.is_some() {
                Selection::Pod(name)
            } else if identity.container_id.is_some() {
                Selection::Container(name)
            } else {
                Selection::Netns(name)
            }
        });
        let by_id = Selection::Netns(identity.id.clone());
        by_name.into_iter().chain([by_id]).find_map(|selection| {
            let chosen = choose(survey, std::slice::from_ref(&selection)).ok()?.pop()?;
            Some((selection, chosen))
        })
    };
    let first =
        look.topology.iter().filter(|(_, netns)| matches!(netns.place, Place::Nested { level: 1, .. }));
    first.filter_map(|(ix, _)| of(ix)).collect()
}

fn option(selection: &Selection) -> (&'static str, Option<&str>) {
    match selection {
        Selection::Pod(who) => (" --pod ", Some(who)),
        Selection::Container(who) => (" --container ", Some(who)),
        Selection::Netns(who) => (" --netns ", Some(who)),
        Selection::AllDocker => (" --all-docker", None),
    }
}

/// A word as a shell takes it, whatever is in it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "_-./:@%+=,".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
