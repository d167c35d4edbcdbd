//! The lists of the page, each short enough to read: what is alike is one row.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Html, Since};
use crate::discovery::advice::{Finding, called};
use crate::discovery::nested::{NestedPath, NestedProbe, Passes};
use crate::discovery::path::{Path, PathResult};
use crate::discovery::survey::Survey;
use crate::domain::mtu::LinkMtu;
use crate::publish::markup::Escaped;
use crate::publish::survey_text::{evidence, limited_by};

/// Rows of a table, and links or namespaces that a row names.
const MOST_ROWS: usize = 50;
const MOST_NAMED: usize = 6;

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

/// Whether what was tuned carries full-size packets; namespaces of which the same is known are one row.
pub(super) fn nested_paths(html: &mut Html, survey: &Survey) {
    if survey.nested_paths.is_empty() {
        return html.empty("nested");
    }
    let look = &survey.look;
    let mut rows: BTreeMap<(bool, [String; 4]), Vec<&NestedPath>> = BTreeMap::new();
    for path in &survey.nested_paths {
        let NestedProbe { to, mtu, passes } = &path.probe;
        let target = to.as_ref().map_or_else(none, |(target, address)| addressed(target, Some(*address)));
        let verified = match passes {
            Passes::Full => "yes".to_owned(),
            Passes::Narrower { path_mtu } => format!("no: {path_mtu} pass"),
            Passes::Unknown { why } => format!("not known: {why}"),
        };
        let sent = mtu.map_or_else(none, |mtu| mtu.to_string());
        // What is wrong comes first.
        let key = (passes.is_verified() != Some(false), [path.level.to_string(), target, sent, verified]);
        rows.entry(key).or_default().push(path);
    }
    html.part("nested", "Full-size packets from inside");
    let columns = ["from", "level", "to", "size sent", "get through", "probed at"];
    table(html, columns, rows.iter().take(MOST_ROWS), |((_, [level, target, sent, verified]), alike)| {
        let names = alike.iter().map(|path| called(&look.topology, &look.identities, path.netns));
        let at = alike.iter().filter_map(|path| path.observed_at).min();
        let at = at.map_or_else(none, super::moment);
        [first_few(names), level.clone(), target.clone(), sent.clone(), verified.clone(), at]
    });
    more(html, rows.len());
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
    first_few(alike.iter().map(name))
}

fn first_few(mut names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(MOST_NAMED);
    let few = names.by_ref().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{few}, and {more} more") } else { few }
}

fn none() -> String {
    "–".to_owned()
}

/// `example.org (203.0.113.1)`
fn addressed(target: &str, address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_string()) {
        Some(address) if address != target => format!("{target} ({address})"),
        Some(_) | None => target.to_owned(),
    }
}

fn path(path: &Path) -> [String; 6] {
    let known = path.path_mtu();
    let target = addressed(&path.target, path.address);
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
