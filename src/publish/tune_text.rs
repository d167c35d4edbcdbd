//! What is to be written, as a table and a diff, and what came of it.

use std::fmt::Write as _;

use super::paint::Paint;
use super::survey_text::limiter;
use super::tune::{Done, Reverted};
use crate::discovery::advice::called;
use crate::discovery::role::role;
use crate::discovery::scope::Chosen;
use crate::discovery::survey::Survey;
use crate::domain::error::with_sources;
use crate::domain::link::LinkRef;
use crate::domain::plan::{Change, Plan};
use crate::domain::topology::NetnsIx;
use crate::kernel::clamp::TABLE;

/// What a clamp does, as nft says it.
const RULE: &str = "hook forward priority mangle: tcp flags syn / syn,rst tcp option maxseg size set rt mtu";

/// A plan with what it was made of.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    /// Of the host.
    pub survey: &'a Survey,
    /// What was opted in.
    pub chosen: &'a [Chosen],
    /// What is to be written.
    pub plan: &'a Plan,
    /// What the user should know besides.
    pub notes: &'a [String],
    /// Whether it was carried out.
    pub applied: bool,
}

/// The plan for people.
pub fn plan(planned: &Planned<'_>, paint: Paint) -> String {
    let text = Text { planned, paint, out: String::new() };
    text.scope().table().diff().withheld().notes().out
}

/// What came of taking everything back.
pub fn reverted(reverted: &[Reverted], paint: Paint) -> String {
    let mut out = String::new();
    for Reverted { called, link, outcome } in reverted {
        let what = match link {
            Some((name, was)) => format!("{name} of {called}: {was}"),
            None => format!("nftables table inet {TABLE} of {called}"),
        };
        let line = match (outcome, link) {
            (Ok(Done::Written), Some(_)) => paint.good(&format!("{what} again")),
            (Ok(Done::Written), None) => paint.good(&format!("{what} is removed")),
            (Ok(Done::WasSo), Some(_)) => format!("{what} already"),
            (Ok(Done::WasSo), None) => format!("{what} is not there any more"),
            (Ok(Done::Gone), _) => paint.faint(&format!("{what} is gone")),
            (Ok(Done::ChangedSince { now }), _) => {
                format!("{what} before; somebody gave it {now} since, and that stays")
            }
            (Err(error), _) => {
                paint.bad(&format!("{what}: not taken back, and still recorded: {}", with_sources(error)))
            }
        };
        out.push_str(&line);
        out.push('\n');
    }
    if reverted.is_empty() {
        out.push_str("nothing is recorded as changed\n");
    }
    out
}

struct Text<'a> {
    planned: &'a Planned<'a>,
    paint: Paint,
    out: String,
}

impl Text<'_> {
    fn scope(mut self) -> Self {
        for Chosen { opted_in, safe } in self.planned.chosen {
            let place = self.called(opted_in.netns);
            let said = match safe {
                Some(safe) => format!(
                    "{place}: nothing nested may exceed {} ({})",
                    safe.mtu,
                    limiter(self.planned.survey, *safe)
                ),
                None => format!("{place}: no safe MTU could be told, so no link is changed"),
            };
            self.line(&said);
        }
        self
    }

    fn table(mut self) -> Self {
        let changes = &self.planned.plan.changes;
        if changes.is_empty() {
            self.line("nothing to change");
            return self;
        }
        let done = if self.planned.applied { "changed" } else { "would change" };
        let count =
            if changes.len() == 1 { "1 thing".to_owned() } else { format!("{} things", changes.len()) };
        self.out.push('\n');
        let heading = self.paint.head(&format!("{done} {count}, in this order:"));
        self.out.push_str(&heading);
        self.out.push('\n');
        let rows: Vec<_> = changes.iter().map(|change| self.row(*change)).collect();
        let head = ["namespace", "link", "kind", "now", "then"].map(str::to_owned);
        let widths: [usize; 5] = std::array::from_fn(|column| {
            let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        });
        for row in [&head].into_iter().chain(&rows) {
            let padded = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                0..3 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            self.line(&format!("  {}", padded.collect::<Vec<_>>().join("  ")));
        }
        self
    }

    fn row(&self, change: Change) -> [String; 5] {
        let place = self.called(change.netns());
        match change {
            Change::LinkMtu { at, from, to } => {
                let kind = role(&self.planned.survey.look.topology, at).name();
                [place, self.name(at), kind.into(), from.to_string(), to.to_string()]
            }
            Change::Clamp { .. } => [place, "-".into(), "TCP clamp".into(), "no".into(), "yes".into()],
        }
    }

    /// By namespace, in the order in which they are first written.
    fn diff(mut self) -> Self {
        let changes = &self.planned.plan.changes;
        let mut namespaces: Vec<NetnsIx> = Vec::new();
        for change in changes {
            if !namespaces.contains(&change.netns()) {
                namespaces.push(change.netns());
            }
        }
        for netns in namespaces {
            let inode = self.planned.survey.look.identities[netns.0].inode;
            let inode = inode.map(|inode| format!(" net:[{inode}]")).unwrap_or_default();
            let heading = self.paint.head(&format!("--- {}{inode}", self.called(netns)));
            let _never_fails = writeln!(self.out, "\n{heading}");
            for change in changes.iter().filter(|change| change.netns() == netns) {
                let (old, new) = match change {
                    Change::LinkMtu { at, from, to } => {
                        let name = self.name(*at);
                        (Some(format!("-{name} mtu {from}")), Some(format!("+{name} mtu {to}")))
                    }
                    Change::Clamp { .. } => (None, Some(format!("+table inet {TABLE}, {RULE}"))),
                };
                let old = old.map(|line| self.paint.bad(&line));
                let new = new.map(|line| self.paint.good(&line));
                for line in old.into_iter().chain(new) {
                    self.out.push_str(&line);
                    self.out.push('\n');
                }
            }
        }
        self
    }

    fn withheld(mut self) -> Self {
        for withheld in &self.planned.plan.withheld {
            let (name, place) = (self.name(withheld.at), self.called(withheld.at.netns));
            let line = format!(
                "{name} of {place} stays at {}: it should be {}, but under 1280 the kernel drops its IPv6 addresses",
                withheld.mtu, withheld.should_be
            );
            self.line(&line);
        }
        self
    }

    fn notes(mut self) -> Self {
        let planned = self.planned;
        if !planned.plan.changes.is_empty() || !planned.notes.is_empty() {
            self.out.push('\n');
        }
        for note in planned.notes {
            self.line(note);
        }
        if !planned.plan.changes.is_empty() {
            self.line(if planned.applied {
                "done, and read back; `mtu-agent tune --revert` takes it back"
            } else {
                "nothing was written: --apply does it"
            });
        }
        self
    }

    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn called(&self, netns: NetnsIx) -> String {
        called(&self.planned.survey.look.topology, &self.planned.survey.look.identities, netns)
    }

    fn name(&self, at: LinkRef<NetnsIx>) -> String {
        self.planned.survey.look.topology.link(at).map_or("?", |link| &link.name).to_owned()
    }
}

#[cfg(test)]
mod tests;
