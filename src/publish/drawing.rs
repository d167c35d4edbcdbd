//! The survey as nested boxes: what lies outside, the host, and in it whatever is nested, each with its links.
//!
//! A [`Drawing`] is what there is to draw, without a place or a colour: [`svg`] lays it out, [`dot`] hands it to
//! graphviz. Siblings that look the same are drawn once with how many there are, so that hundreds stay readable.
//!
//! ```text
//! ┌ outside ──────────────┐
//! │ ● example.org    1450 │   what was measured
//! └─│─────────────────────┘
//! ┌ │host ────────────────┐
//! │ ● eth0           1500 │   the way out comes first; what hangs at a bridge is indented under it
//! │ └─● cali1        1450 │   the outer end of a veth, and the box that it leads into
//! │ ┌─│pod ─────────────┐ │
//! │ │ ● eth0       1450 │ │
//! ```

pub mod dot;
mod fold;
mod layout;
mod room;
pub mod svg;

use self::room::rooms;
use super::survey_text::{evidence, limiter, path_line};
use crate::discovery::advice::called;
use crate::discovery::survey::Survey;
use crate::domain::link::LinkRef;
use crate::domain::mtu::LinkMtu;
use crate::domain::safe::Limiter;
use crate::domain::topology::{NetnsIx, Place};

/// More boxes than anybody reads; those with something wrong are drawn first.
const MOST_ROOMS: usize = 60;
/// Of what is only listed, such as namespaces that no link connects.
const MOST_LISTED: usize = 8;

/// What there is to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawing {
    /// Whose host.
    title: String,
    /// All of it in a few sentences, for whoever cannot see it.
    summary: String,
    /// What was measured beyond the host; empty if nothing was.
    outside: Vec<Line>,
    /// The host, and in it all that links connect to it.
    host: Room,
    /// Headed lists of namespaces that are not nested in the host.
    apart: Vec<(&'static str, Vec<Line>)>,
    /// Namespaces that stand for others that look the same are drawn, these others are not.
    folded: usize,
    /// Namespaces that were too many.
    left_out: usize,
}

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Room {
    name: String,
    /// Where the name does not tell it.
    id: Option<String>,
    detail: String,
    level: u8,
    entries: Vec<Entry>,
    /// Names of those that look the same and are not drawn.
    alike: Vec<String>,
}

/// A link, what hangs at it if it is a bridge, and the namespaces that it leads into.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// `None` where nothing is seen of what connects the rooms.
    line: Option<Line>,
    ports: Vec<Entry>,
    rooms: Vec<Room>,
}

/// Something with an MTU.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// Of a link; other things have none.
    at: Option<LinkRef<NetnsIx>>,
    name: String,
    mtu: Option<LinkMtu>,
    kind: &'static str,
    /// What must be known of it, the most important first.
    notes: Vec<String>,
    mark: Mark,
    /// Names of those that look the same and are not drawn.
    alike: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Plain,
    /// Carries nothing.
    Idle,
    /// The safe MTU is no larger because of this.
    Limits,
    /// Lets in packets that cannot get out, or lets them vanish.
    Wrong,
}

impl Drawing {
    /// What there is to draw of a survey.
    pub fn of(survey: &Survey) -> Self {
        let look = &survey.look;
        let (host, folded, left_out) = rooms(survey);
        let apart =
            [("behind the uplink", Place::Outside), ("connected by no link", Place::Unconnected)].into_iter();
        let apart = apart.filter_map(|(heading, place)| {
            let those = look.topology.iter().filter(|(_, netns)| netns.place == place);
            let names: Vec<_> = those.map(|(ix, _)| called(&look.topology, &look.identities, ix)).collect();
            (!names.is_empty()).then(|| (heading, listed(names)))
        });
        let mut drawing = Self {
            title: format!("MTUs on {}", look.host_name),
            summary: String::new(),
            outside: outside(survey),
            host,
            apart: apart.collect(),
            folded,
            left_out,
        };
        drawing.summary = summary(survey, &drawing);
        drawing
    }

    /// What is not drawn, if anything.
    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        match self.folded {
            0 => {}
            1 => remarks.push("1 namespace looks like one that is drawn".to_owned()),
            folded => remarks.push(format!("{folded} namespaces look like one that is drawn")),
        }
        match self.left_out {
            0 => {}
            1 => remarks.push("1 more namespace is not drawn".to_owned()),
            left_out => remarks.push(format!("{left_out} more namespaces are not drawn")),
        }
        remarks
    }
}

impl Line {
    fn new(name: String, kind: &'static str, mtu: Option<LinkMtu>) -> Self {
        Self { at: None, name, mtu, kind, notes: Vec::new(), mark: Mark::Plain, alike: Vec::new() }
    }
}

/// The paths that were probed, as far as anything is known of them.
fn outside(survey: &Survey) -> Vec<Line> {
    let limiting = survey.safe_dind_mtu().and_then(|safe| match safe.limited_by {
        Limiter::Path(position) => Some(survey.measured[position].0),
        Limiter::Hop(_) | Limiter::Expected | Limiter::Maximum => None,
    });
    let lines = survey.paths.iter().enumerate().map(|(position, path)| {
        let mtu = path.path_mtu().map(|(path_mtu, _)| path_mtu.as_link_mtu());
        let mut line = Line::new(path.target.clone(), "path", mtu);
        let told = path_line(path);
        line.notes.push(told.split_once(": ").map_or(told.as_str(), |(_, verdict)| verdict).to_owned());
        line.mark = match (path.is_black_hole(), limiting == Some(position)) {
            (true, _) => Mark::Wrong,
            (false, true) => Mark::Limits,
            (false, false) => Mark::Plain,
        };
        line
    });
    let mut lines: Vec<_> = lines.collect();
    // The sort is stable: what is wrong or limits comes first where not all are drawn.
    if lines.len() > MOST_LISTED {
        lines.sort_by_key(|line| std::cmp::Reverse(line.mark));
        let more = lines.split_off(MOST_LISTED);
        lines.push(Line::new(format!("and {} more paths", more.len()), "", None));
    }
    lines
}

/// The first few as lines.
fn listed(names: Vec<String>) -> Vec<Line> {
    let more = names.len().saturating_sub(MOST_LISTED);
    let mut lines: Vec<_> =
        names.into_iter().take(MOST_LISTED).map(|name| Line::new(name, "", None)).collect();
    if more > 0 {
        lines.push(Line::new(format!("and {more} more"), "", None));
    }
    lines
}

fn summary(survey: &Survey, drawing: &Drawing) -> String {
    let value = match survey.safe_dind_mtu() {
        Some(safe) => {
            format!("Safe dind MTU {}, {}, {}.", safe.mtu, evidence(safe.evidence), limiter(survey, safe))
        }
        None => "No safe dind MTU is known.".to_owned(),
    };
    let topology = &survey.look.topology;
    let nested = topology.iter().filter(|(_, netns)| netns.place.parent().is_some()).count();
    let wrong = match survey.findings.len() {
        0 => "No link lets in packets that cannot get out.".to_owned(),
        1 => "1 link lets in packets that cannot get out.".to_owned(),
        several => format!("{several} links let in packets that cannot get out."),
    };
    let nested = match nested {
        1 => "1 network namespace is nested in the host.".to_owned(),
        several => format!("{several} network namespaces are nested in the host."),
    };
    let mut sentences = vec![value, wrong, nested];
    sentences.extend(drawing.remarks().into_iter().map(|remark| remark + "."));
    sentences.join(" ")
}

#[cfg(test)]
mod tests;
