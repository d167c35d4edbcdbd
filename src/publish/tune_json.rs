//! A plan, and what came of it, as JSON: schema `mtu-agent.dev/tune/v1`, described in `docs/tune.md`. Changes only add.

use serde::Serialize;

use super::tune::{Done, Reverted};
use super::tune_text::Planned;
use crate::discovery::advice::called;
use crate::discovery::role::{Role, role};
use crate::domain::error::with_sources;
use crate::domain::link::{Ifindex, LinkRef};
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::Change;
use crate::domain::topology::NetnsIx;

/// Name and version of the schema.
pub const SCHEMA: &str = "mtu-agent.dev/tune/v1";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    action: &'static str,
    scope: Vec<Scope<'a>>,
    changes: Vec<ChangeEntry<'a>>,
    withheld: Vec<WithheldEntry<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Scope<'a> {
    namespace: &'a str,
    called: String,
    safe_mtu: Option<LinkMtu>,
}

#[derive(Serialize)]
struct ChangeEntry<'a> {
    namespace: &'a str,
    inode: Option<u64>,
    called: String,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum What<'a> {
    LinkMtu { ifindex: Ifindex, link: &'a str, role: Role, from: LinkMtu, to: LinkMtu },
    Clamp { from: bool, to: bool },
}

#[derive(Serialize)]
struct WithheldEntry<'a> {
    namespace: &'a str,
    ifindex: Ifindex,
    link: &'a str,
    mtu: LinkMtu,
    should_be: LinkMtu,
}

#[derive(Serialize)]
struct RevertDocument<'a> {
    schema: &'static str,
    action: &'static str,
    reverted: Vec<RevertedEntry<'a>>,
}

#[derive(Serialize)]
struct RevertedEntry<'a> {
    called: &'a str,
    kind: &'static str,
    link: Option<&'a str>,
    mtu: Option<LinkMtu>,
    outcome: &'static str,
    now: Option<LinkMtu>,
    error: Option<String>,
}

/// The plan as one document, indented.
pub fn plan(planned: &Planned<'_>) -> serde_json::Result<String> {
    let look = &planned.survey.look;
    let id = |netns: NetnsIx| look.identities[netns.0].id.as_str();
    let called = |netns| called(&look.topology, &look.identities, netns);
    let name = |at: LinkRef<NetnsIx>| look.topology.link(at).map_or("?", |link| &link.name);
    let what = |change: &Change| match *change {
        Change::LinkMtu { at, from, to } => {
            let role = role(&look.topology, at);
            What::LinkMtu { ifindex: at.ifindex, link: name(at), role, from, to }
        }
        Change::Clamp { .. } => What::Clamp { from: false, to: true },
    };
    let change = |change: &Change| {
        let netns = change.netns();
        let inode = look.identities[netns.0].inode;
        ChangeEntry { namespace: id(netns), inode, called: called(netns), what: what(change) }
    };
    let scope = planned.chosen.iter().map(|chosen| {
        let netns = chosen.opted_in.netns;
        Scope { namespace: id(netns), called: called(netns), safe_mtu: chosen.safe.map(|safe| safe.mtu) }
    });
    let withheld = planned.plan.withheld.iter().map(|it| WithheldEntry {
        namespace: id(it.at.netns),
        ifindex: it.at.ifindex,
        link: name(it.at),
        mtu: it.mtu,
        should_be: it.should_be,
    });
    serde_json::to_string_pretty(&Document {
        schema: SCHEMA,
        action: if planned.applied { "apply" } else { "plan" },
        scope: scope.collect(),
        changes: planned.plan.changes.iter().map(change).collect(),
        withheld: withheld.collect(),
        notes: planned.notes,
    })
}

/// What came of taking everything back.
pub fn reverted(reverted: &[Reverted]) -> serde_json::Result<String> {
    let entry = |it: &'_ Reverted| -> (&'static str, Option<LinkMtu>) {
        match &it.outcome {
            Ok(Done::Written) => ("restored", None),
            Ok(Done::WasSo) => ("was_so", None),
            Ok(Done::Gone) => ("gone", None),
            Ok(Done::ChangedSince { now }) => ("changed_since", Some(*now)),
            Err(_) => ("failed", None),
        }
    };
    let entries = reverted.iter().map(|it| {
        let (outcome, now) = entry(it);
        RevertedEntry {
            called: &it.called,
            kind: if it.link.is_some() { "link_mtu" } else { "clamp" },
            link: it.link.as_ref().map(|(name, _)| name.as_str()),
            mtu: it.link.as_ref().map(|(_, was)| *was),
            outcome,
            now,
            error: it.outcome.as_ref().err().map(|error| with_sources(error)),
        }
    });
    serde_json::to_string_pretty(&RevertDocument {
        schema: SCHEMA,
        action: "revert",
        reverted: entries.collect(),
    })
}
