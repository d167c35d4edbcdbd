//! The survey as a tree for people: what is wrong stands out, and its fix is one line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::paint::Paint;
use crate::discovery::advice::{Finding, called};
use crate::discovery::path::{Path, PathResult};
use crate::discovery::role::role;
use crate::discovery::survey::Survey;
use crate::domain::evidence::Evidence;
use crate::domain::link::{Link, LinkKind, LinkRef};
use crate::domain::mtu::IpFamily;
use crate::domain::safe::{Limiter, SafeMtu};
use crate::domain::search::LimitedBy;
use crate::domain::topology::{HOST, NetnsIx, Place};
use crate::domain::walk::Hop;

/// Said when no target was given.
const GIVE_A_TARGET: &str =
    "give --target HOST to measure: without it every number is only what is configured";

/// The whole survey.
pub fn render(survey: &Survey, paint: Paint) -> String {
    let text = Text { survey, paint, out: String::new() };
    text.head().tree().paths().findings().unseen().out
}

/// How a number is known, in a word.
pub(super) fn evidence(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Configured => "configured",
        Evidence::Learned => "learned",
        Evidence::Measured => "measured",
    }
}

/// What limits a safe MTU.
pub(super) fn limiter(survey: &Survey, safe: SafeMtu) -> String {
    let called = |netns| called(&survey.look.topology, &survey.look.identities, netns);
    match safe.limited_by {
        Limiter::Hop(Hop::Link(at)) => {
            let name = survey.look.topology.link(at).map_or("?", |link| link.name.as_str());
            format!("limited by {name} of {}", called(at.netns))
        }
        Limiter::Hop(Hop::Route { netns, .. }) => format!("limited by a route of {}", called(netns)),
        Limiter::Path(position) => {
            format!("limited by the path to {}", survey.paths[survey.measured[position].0].target)
        }
        Limiter::Expected => format!("the next pod gets it by {}", survey.expected_from()),
        Limiter::Maximum => "the largest that is allowed".to_owned(),
    }
}

struct Text<'a> {
    survey: &'a Survey,
    paint: Paint,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, line: &str) {
        let _infallible = writeln!(self.out, "{line}");
    }

    fn fitted(&mut self, line: &str) {
        let line = self.paint.fit(line);
        self.line(&line);
    }

    fn head(mut self) -> Self {
        let (survey, paint) = (self.survey, self.paint);
        let look = &survey.look;
        let cni = look.cni.as_ref().map(|cni| format!(", {} ({})", cni.name, cni.why)).unwrap_or_default();
        self.line(
            &paint.head(&paint.fit(&format!("{}: Linux {}{cni}", look.host_name, look.kernel_release))),
        );
        match survey.safe_dind_mtu() {
            Some(safe) => {
                let value = paint.good(&safe.mtu.to_string());
                let how = format!("({}, {})", evidence(safe.evidence), limiter(survey, safe));
                self.line(&format!("safe dind MTU {value} {how}"));
            }
            None => self.line(&paint.bad("safe dind MTU unknown")),
        }
        if let Some(remark) = survey.remark() {
            self.line(&remark);
        }
        self
    }

    fn tree(mut self) -> Self {
        self.line("");
        self.netns(HOST, "", "");
        let others = |place| {
            let namespaces = self.survey.look.topology.iter();
            namespaces.filter(move |(_, netns)| netns.place == place).map(|(ix, _)| ix).collect::<Vec<_>>()
        };
        let apart = [
            ("behind the uplink", others(Place::Outside)),
            ("connected by no link", others(Place::Unconnected)),
        ];
        for (heading, namespaces) in apart.into_iter().filter(|(_, namespaces)| !namespaces.is_empty()) {
            self.line("");
            self.line(&self.paint.faint(&format!("{heading}:")));
            let look = &self.survey.look;
            let names: Vec<_> =
                namespaces.iter().map(|ix| called(&look.topology, &look.identities, *ix)).collect();
            self.fitted(&format!("  {}", names.join(", ")));
        }
        self
    }

    /// One namespace: its own line, its links, then those nested in it. `branch` leads to its line, `trunk` past it.
    fn netns(&mut self, ix: NetnsIx, branch: &str, trunk: &str) {
        let survey = self.survey;
        let (topology, identities) = (&survey.look.topology, &survey.look.identities);
        let name = called(topology, identities, ix);
        let level = topology.netns(ix).place.level().unwrap_or_default();
        let effective =
            survey.effective_mtu(ix).map_or_else(|| "no way out".to_owned(), |mtu| format!("gets {mtu} out"));
        let id = &identities[ix.0].id;
        let id = if *id == name { String::new() } else { format!(" {id}") };
        let title = format!("{branch}{name}");
        let fitted = self.paint.fit(&format!("{title}{id} · level {level} · {effective}"));
        let (title, details) = fitted.split_at_checked(title.len()).unwrap_or((&fitted, ""));
        self.line(&format!("{}{}", self.paint.head(title), self.paint.faint(details)));

        let children: Vec<_> = topology
            .iter()
            .filter(|(_, netns)| netns.place.parent() == Some(ix))
            .map(|(child, _)| child)
            .collect();
        let stem = if children.is_empty() { format!("{trunk}   ") } else { format!("{trunk}│  ") };
        for link in topology.netns(ix).links.values().filter(|link| link.kind != LinkKind::Loopback) {
            self.link(ix, link, &stem);
        }
        for (position, child) in children.iter().enumerate() {
            let last = position + 1 == children.len();
            let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.netns(*child, &format!("{trunk}{branch}"), &format!("{trunk}{below}"));
        }
    }

    fn link(&mut self, netns: NetnsIx, link: &Link<NetnsIx>, stem: &str) {
        let survey = self.survey;
        let topology = &survey.look.topology;
        let at = LinkRef { netns, ifindex: link.ifindex };
        let finding = survey.findings.iter().find(|finding| finding.mismatch.at == at);
        let mut notes = vec![role(topology, at).name().to_owned()];
        let is_way_out =
            |family| topology.way_out(netns, family).is_some_and(|out| out.ifindex == link.ifindex);
        if IpFamily::ALL.into_iter().any(is_way_out) {
            notes.push("default route".to_owned());
        }
        if let Some(far) = link.linked.filter(|far| topology.is_deeper(far.netns, netns)) {
            notes.push(format!("to {}", called(topology, &survey.look.identities, far.netns)));
        }
        if topology.is_idle(at) {
            notes.push("idle".to_owned());
        }
        let row = format!("{stem}{:<15} {:>5}  {}", link.name, link.mtu.to_string(), notes.join(", "));
        match finding {
            Some(finding) => {
                let verdict = format!("  ✗ should be {}", finding.mismatch.limit.mtu);
                let room = self.paint.width.map(|width| width.saturating_sub(verdict.chars().count()));
                let row = Paint { width: room, ..self.paint }.fit(&row);
                let painted = row.strip_prefix(stem).unwrap_or(&row);
                self.line(&format!("{stem}{}", self.paint.bad(&format!("{painted}{verdict}"))));
            }
            None => self.fitted(&row),
        }
    }

    fn paths(mut self) -> Self {
        let survey = self.survey;
        self.line("");
        if survey.paths.is_empty() {
            self.line(GIVE_A_TARGET);
        }
        for path in &survey.paths {
            let line = format!("path to {}", path_line(path));
            let line = if path.is_black_hole() { self.paint.bad(&line) } else { line };
            self.line(&line);
        }
        self
    }

    fn findings(mut self) -> Self {
        let survey = self.survey;
        let findings = &survey.findings;
        if findings.is_empty() {
            if survey.safe_dind_mtu().is_some() {
                self.line(&self.paint.good("no mismatch"));
            }
            return self;
        }
        self.line("");
        let noun = if findings.len() == 1 { "link lets" } else { "links let" };
        self.line(&self.paint.bad(&format!("{} {noun} in packets that cannot get out:", findings.len())));
        let mut told = BTreeSet::new();
        for finding in findings.iter().filter(|finding| told.insert(&finding.fix)) {
            let alike: Vec<_> = findings.iter().filter(|other| other.fix == finding.fix).collect();
            let line = format!("  ✗ {}", self.links_of(&alike));
            self.fitted(&line);
            self.fitted(&format!("    {}", finding.why));
            self.line(&format!("    {} {}", self.paint.head("fix:"), finding.fix));
        }
        self
    }

    fn links_of(&self, findings: &[&Finding]) -> String {
        let look = &self.survey.look;
        let name = |finding: &&Finding| {
            let at = finding.mismatch.at;
            let link = look.topology.link(at).map_or("?", |link| link.name.as_str());
            format!("{link} of {}", called(&look.topology, &look.identities, at.netns))
        };
        findings.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn unseen(mut self) -> Self {
        let unseen = &self.survey.look.unseen;
        if !unseen.is_empty() {
            self.line("");
            self.line("not seen:");
        }
        for it in unseen {
            let needs = it.needs.as_ref().map(|needs| format!(" (needs {needs})")).unwrap_or_default();
            self.line(&format!("  {}: {}{needs}", it.what, it.why));
        }
        self
    }
}

/// `example.org (203.0.113.1): black hole, 1450 measured, limited by 10.0.0.1 (hop 2)`
pub(super) fn path_line(path: &Path) -> String {
    let address = path.address.map(|address| address.to_string()).filter(|address| *address != path.target);
    let mut line = path.target.clone();
    if let Some(address) = address {
        let _infallible = write!(line, " ({address})");
    }
    match (&path.result, path.path_mtu()) {
        (PathResult::Failed { why, .. }, _) => line + ": not probed: " + why,
        (PathResult::NotProbed { .. }, None) => line + ": not probed",
        (_, known) => {
            let verdict = path.verdict().unwrap_or("not probed").replace('_', " ");
            let _infallible = write!(line, ": {verdict}");
            if let Some((path_mtu, how)) = known {
                let _infallible = write!(line, ", {path_mtu} {}", evidence(how));
            }
            if let Some(limit) = path.limited_by() {
                let _infallible = write!(line, ", limited by {}", limited_by(limit));
            }
            line
        }
    }
}

/// `10.0.0.1 (hop 2)`
pub(super) fn limited_by(LimitedBy { address, hop }: LimitedBy) -> String {
    let address = address.map_or("an unnamed hop".to_owned(), |address| address.to_string());
    address + &hop.map(|hop| format!(" (hop {hop})")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
