//! The status page: what somebody needs to know at night, whole without a script, and kept live by one.
//!
//! Style and script are in the page, and the policy that is served with it names their hashes: nothing else runs or
//! is loaded. Whatever comes from the kernel or from users is escaped.

mod mend;
mod since;
mod tables;
mod verdict;

use std::fmt::{Arguments, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{SHA256, digest};

pub use self::since::Since;
pub use self::verdict::State;
use self::verdict::Verdict;
use super::drawing::{Drawing, svg};
use super::markup::Escaped;
use super::survey_text::{evidence, limiter};
use crate::discovery::survey::Survey;

const SCRIPT: &str = include_str!("page/page.js");
const LAYOUT: &str = include_str!("page/page.css");

/// What the page tells.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The last survey.
    pub survey: &'a Survey,
    /// Since when its mismatches are there.
    pub since: &'a Since,
    /// Tells one page from another.
    pub version: &'a str,
    /// How long ago the agent should have looked again, if it did not.
    pub overdue: Option<Duration>,
}

/// The `Content-Security-Policy` to serve the page with.
pub fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(&style()),
        hash(SCRIPT)
    )
}

/// The whole page.
pub fn render(view: &View<'_>) -> String {
    let View { survey, since, version, overdue } = *view;
    let look = &survey.look;
    let verdict = Verdict::of(survey).late_by(overdue);
    let value = survey.safe_dind_mtu().map_or_else(|| "unknown".to_owned(), |safe| safe.mtu.to_string());
    let mut html = Html::head(&look.host_name, &value, verdict.state, version);
    let cni = look.cni.as_ref().map(|cni| format!(", {} ({})", cni.name, cni.why)).unwrap_or_default();
    html.line(format_args!(
        "<header><h1>{}</h1><p>Linux {}{}</p></header>\n<main>",
        Escaped(&look.host_name),
        Escaped(&look.kernel_release),
        Escaped(&cni)
    ));
    state(&mut html, survey, &verdict, &value);
    html.part("chain", "The way out, link by link");
    html.out.push_str(&svg::inline(&Drawing::of(survey)));
    html.line(format_args!("</section>"));
    tables::mismatches(&mut html, survey, since);
    tables::paths(&mut html, survey);
    tables::nested_paths(&mut html, survey);
    tables::unseen(&mut html, survey);
    let at = survey.observed_at;
    html.line(format_args!(
        "</main>\n<footer><p id=\"updated\" data-part>Last survey <time datetime=\"{at}\">{}</time></p>",
        moment(at)
    ));
    html.tail()
}

/// The page before there is a survey.
pub fn waiting(host_name: &str) -> String {
    let mut html = Html::head(host_name, "unknown", State::Unknown, "");
    html.line(format_args!("<header><h1>{}</h1></header>\n<main>", Escaped(host_name)));
    html.line(format_args!(
        "<section id=\"state\" aria-label=\"State\"><p id=\"value\" data-part></p>\n<div id=\"words\" role=\"status\" \
         data-part><h2>Unknown</h2><p>No survey is done yet.</p></div>\n<div id=\"mend\" data-part></div></section>"
    ));
    for id in PARTS {
        html.empty(id);
    }
    html.line(format_args!("</main>\n<footer><p id=\"updated\" data-part></p>"));
    html.tail()
}

/// Parts that may be empty.
const PARTS: [&str; 5] = ["chain", "mismatches", "paths", "nested", "unseen"];

/// All that is styled.
fn style() -> String {
    format!("{LAYOUT}{}", svg::STYLE)
}

fn state(html: &mut Html, survey: &Survey, verdict: &Verdict, value: &str) {
    html.line(format_args!("<section id=\"state\" aria-label=\"State\">"));
    html.line(format_args!("<p id=\"value\" data-part>safe dind MTU <strong>{value}</strong></p>"));
    // It stays while its content is replaced, so that a screen reader says what is new.
    html.line(format_args!("<div id=\"words\" role=\"status\" data-part><h2>{}</h2>", verdict.state.words()));
    for sentence in &verdict.sentences {
        html.line(format_args!("<p>{}</p>", Escaped(sentence)));
    }
    html.line(format_args!("</div>\n<div id=\"mend\" data-part>"));
    if let Some(command) = &verdict.command {
        html.line(format_args!("<pre><code>{}</code></pre>", Escaped(command)));
    }
    if let Some(safe) = survey.safe_dind_mtu() {
        let how = format!("{} is {}, {}", safe.mtu, evidence(safe.evidence), limiter(survey, safe));
        html.line(format_args!("<p class=\"faint\">{}</p>", Escaped(&how)));
    }
    html.line(format_args!("</div></section>"));
}

/// To the second: what lasts so long that somebody reads of it needs no more.
fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// HTML that is being written.
struct Html {
    out: String,
}

impl Html {
    fn head(host_name: &str, value: &str, state: State, version: &str) -> Self {
        let mut html = Self { out: String::new() };
        let words = state.words().to_lowercase();
        html.line(format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{value}, {words}: {}</title>",
            Escaped(host_name)
        ));
        let colour = state.colour();
        html.line(format_args!(
            "<link id=\"icon\" data-part rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
             viewBox='0 0 2 2'%3E%3Ccircle cx='1' cy='1' r='1' fill='%23{colour}'/%3E%3C/svg%3E\">"
        ));
        html.line(format_args!(
            "<style>{}</style>\n</head>\n<body data-version=\"{version}\" data-state=\"{}\">",
            style(),
            state.name()
        ));
        html
    }

    /// The rest of the footer, and the script.
    fn tail(mut self) -> String {
        self.line(format_args!(
            "<p><a href=\"/v1/survey\">survey as JSON</a> · <a href=\"/metrics\">metrics</a> · \
             <span id=\"live\" role=\"status\"></span></p></footer>\n<script>{SCRIPT}</script>\n</body>\n</html>"
        ));
        self.out
    }

    fn line(&mut self, line: Arguments<'_>) {
        let _infallible = writeln!(self.out, "{line}");
    }

    /// Begins a part of the page.
    fn part(&mut self, id: &str, heading: &str) {
        self.line(format_args!(
            "<section id=\"{id}\" data-part aria-labelledby=\"{id}-heading\"><h2 id=\"{id}-heading\">{heading}</h2>"
        ));
    }

    /// A part that has nothing to tell now.
    fn empty(&mut self, id: &str) {
        self.line(format_args!("<section id=\"{id}\" data-part hidden></section>"));
    }
}

#[cfg(test)]
mod tests;
