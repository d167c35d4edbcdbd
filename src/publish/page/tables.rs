//! The lists of the page, each short enough to read: what is alike is one row.

use std::collections::BTreeMap;

use super::{Html, Since};
use crate::discovery::advice::{Finding, called};
use crate::discovery::path::{Path, PathResult};
use crate::discovery::survey::Survey;
use crate::domain::mtu::LinkMtu;
use crate::publish::markup::Escaped;
use crate::publish::survey_text::{evidence, limited_by};

/// Rows of a table, and links that a row names.
const MOST_ROWS: usize = 50;
const MOST_LINKS: usize = 6;

/// Mismatches; those with the same sizes and the same fix are one row.
pub(super) fn mismatches(html: &mut Html, survey: &Survey, since: &Since) {
    if survey.findings.is_empty() {
        return html.empty("mismatches");
    }
    let mut rows: Vec<Vec<&Finding>> = Vec::new();
    let mut places: BTreeMap<(&str, LinkMtu, LinkMtu), usize> = BTreeMap::new();
    for finding in &survey.findings {
        let key = (finding.fix.as_str(), finding.mismatch.mtu, finding.mismatch.limit.mtu);
        let place = *places.entry(key).or_insert_with(|| {
            rows.push(Vec::new());
            rows.len() - 1
        });
        rows[place].push(finding);
    }
    let heading = format!("Links with a wrong MTU: {}", survey.findings.len());
    html.part("mismatches", &heading);
    table(html, ["link", "has", "should have", "since", "for good"], rows.iter().take(MOST_ROWS), |alike| {
        let first = alike[0];
        let since = alike.iter().filter_map(|finding| since.get(survey, finding)).min();
        [
            links(survey, alike),
            first.mismatch.mtu.to_string(),
            first.mismatch.limit.mtu.to_string(),
            since.map_or_else(|| "unknown".to_owned(), super::since::Seen::told),
            first.fix.clone(),
        ]
    });
    more(html, rows.len());
    html.line(format_args!("</section>"));
}

/// Paths to targets.
pub(super) fn paths(html: &mut Html, survey: &Survey) {
    html.part("paths", "Last probes");
    if survey.paths.is_empty() {
        html.line(format_args!(
            "<p>Nothing is measured: give the agent <code>--target HOST</code>. Until then every number is only what \
             is configured.</p>"
        ));
    } else {
        let columns = ["target", "path MTU", "verdict", "direction", "evidence", "limited by"];
        table(html, columns, survey.paths.iter().take(MOST_ROWS), path);
        more(html, survey.paths.len());
    }
    html.line(format_args!("</section>"));
}

/// What the survey could not see.
pub(super) fn unseen(html: &mut Html, survey: &Survey) {
    let unseen = &survey.look.unseen;
    if unseen.is_empty() {
        return html.empty("unseen");
    }
    html.part("unseen", "Not seen");
    html.line(format_args!("<ul>"));
    for it in unseen {
        let needs = it.needs.as_ref().map(|needs| format!(" (needs {needs})")).unwrap_or_default();
        let line = format!("{}: {}{needs}", it.what, it.why);
        html.line(format_args!("<li>{}</li>", Escaped(&line)));
    }
    html.line(format_args!("</ul></section>"));
}

fn links(survey: &Survey, alike: &[&Finding]) -> String {
    let look = &survey.look;
    let name = |finding: &&Finding| {
        let at = finding.mismatch.at;
        let link = look.topology.link(at).map_or("?", |link| link.name.as_str());
        format!("{link} of {}", called(&look.topology, &look.identities, at.netns))
    };
    let named = alike.iter().take(MOST_LINKS).map(name).collect::<Vec<_>>().join(", ");
    match alike.len().saturating_sub(MOST_LINKS) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

fn path(path: &Path) -> [String; 6] {
    let none = || "–".to_owned();
    let known = path.path_mtu();
    let address = path.address.map(|address| address.to_string()).filter(|address| *address != path.target);
    let target =
        address.map_or_else(|| path.target.clone(), |address| format!("{} ({address})", path.target));
    let (verdict, direction) = match &path.result {
        PathResult::Searched(outcome) => (outcome.verdict.name().replace('_', " "), "both (echo)".to_owned()),
        PathResult::NotProbed { .. } => ("not probed".to_owned(), none()),
        PathResult::Failed { why, .. } => (format!("not probed: {why}"), none()),
    };
    let size = match (known, path.kept) {
        (Some((size, _)), _) => size.to_string(),
        (None, Some(kept)) => format!("{kept} (earlier)"),
        (None, None) => none(),
    };
    [
        target,
        size,
        verdict,
        direction,
        known.map_or_else(none, |(_, how)| evidence(how).to_owned()),
        path.limited_by().map_or_else(none, limited_by),
    ]
}

/// With roles that are said, since on a phone it is laid out as no table is, and browsers forget then what it was.
fn table<T, const N: usize>(
    html: &mut Html,
    columns: [&str; N],
    rows: impl Iterator<Item = T>,
    cells: impl Fn(T) -> [String; N],
) {
    html.line(format_args!("<table role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">"));
    for column in columns {
        html.line(format_args!("<th role=\"columnheader\" scope=\"col\">{column}</th>"));
    }
    html.line(format_args!("</tr></thead><tbody role=\"rowgroup\">"));
    for row in rows {
        html.line(format_args!("<tr role=\"row\">"));
        for (column, cell) in columns.into_iter().zip(cells(row)) {
            html.line(format_args!("<td role=\"cell\" data-label=\"{column}\">{}</td>", Escaped(&cell)));
        }
        html.line(format_args!("</tr>"));
    }
    html.line(format_args!("</tbody></table>"));
}

fn more(html: &mut Html, rows: usize) {
    if rows > MOST_ROWS {
        let more = rows - MOST_ROWS;
        html.line(format_args!(
            "<p class=\"faint\">and {more} more, all in <code>mtu-agent survey</code></p>"
        ));
    }
}
