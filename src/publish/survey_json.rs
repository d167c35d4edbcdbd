//! The survey as JSON: schema `mtu-agent.dev/survey/v1`, described in `docs/survey-json.md`. Changes only add.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::discovery::advice::Finding;
use crate::discovery::cni::Cni;
use crate::discovery::nested::{NestedPath, NestedProbe, Passes};
use crate::discovery::path::{Path, PathResult};
use crate::discovery::role::{Role, role};
use crate::discovery::survey::Survey;
use crate::discovery::unseen::Unseen;
use crate::domain::evidence::Evidence;
use crate::domain::link::{Ifindex, Link, LinkRef};
use crate::domain::mtu::{IpFamily, LinkMtu, PathMtu};
use crate::domain::safe::Limiter;
use crate::domain::search::{LimitedBy, Verdict};
use crate::domain::topology::{HOST, LearnedPathMtu, NetnsIx, Place};
use crate::domain::walk::Hop;
use crate::kernel::capability::Capability;

/// Name and version of the schema.
pub const SCHEMA: &str = "mtu-agent.dev/survey/v1";
/// Of a namespace's processes only the oldest are listed: a host has thousands.
const PIDS: usize = 16;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    observed_at: String,
    host: Host<'a>,
    safe_dind_mtu: SafeDindMtu<'a>,
    namespaces: Vec<Namespace<'a>>,
    paths: Vec<PathEntry<'a>>,
    nested_paths: Vec<NestedPathEntry<'a>>,
    mismatches: Vec<MismatchEntry<'a>>,
    unseen: &'a [Unseen],
}

#[derive(Serialize)]
struct Host<'a> {
    name: &'a str,
    kernel: &'a str,
    cni: Option<&'a Cni>,
    privileges: &'a [Capability],
}

#[derive(Serialize)]
struct SafeDindMtu<'a> {
    value: Option<LinkMtu>,
    ipv4: Option<LinkMtu>,
    ipv6: Option<LinkMtu>,
    evidence: Option<Evidence>,
    limited_by: Option<LimiterEntry<'a>>,
    remark: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum LimiterEntry<'a> {
    Link { id: &'a str, ifindex: Ifindex, name: &'a str },
    Route { id: &'a str, mtu: LinkMtu },
    Path { target: &'a str, address: Option<IpAddr> },
    Expected { mtu: LinkMtu, from: String },
    Maximum { mtu: LinkMtu },
}

#[derive(Serialize)]
struct Namespace<'a> {
    id: &'a str,
    inode: Option<u64>,
    level: Option<u8>,
    place: &'static str,
    parent: Option<&'a str>,
    name: Option<&'a str>,
    pids: &'a [u32],
    container_id: Option<&'a str>,
    pod_uid: Option<&'a str>,
    effective_mtu: Option<LinkMtu>,
    default_route: Option<DefaultRoute>,
    learned_path_mtus: Vec<Learned>,
    links: Vec<LinkEntry<'a>>,
}

#[derive(Serialize)]
struct DefaultRoute {
    ifindex: Ifindex,
    mtu: Option<LinkMtu>,
    evidence: &'static str,
}

#[derive(Serialize)]
struct Learned {
    destination: IpAddr,
    mtu: LinkMtu,
}

#[derive(Serialize)]
struct LinkEntry<'a> {
    ifindex: Ifindex,
    name: &'a str,
    kind: Role,
    mtu: LinkMtu,
    master: Option<Ifindex>,
    idle: bool,
    peer: Option<FarEnd<'a>>,
    lower: Option<FarEnd<'a>>,
}

#[derive(Serialize)]
struct FarEnd<'a> {
    id: &'a str,
    ifindex: Ifindex,
}

#[derive(Serialize)]
struct PathEntry<'a> {
    target: &'a str,
    address: Option<IpAddr>,
    family: Option<IpFamily>,
    from: &'a str,
    verdict: Option<&'static str>,
    path_mtu: Option<PathMtu>,
    evidence: Option<Evidence>,
    method: Option<&'static str>,
    direction: Option<&'static str>,
    limited_by: Option<LimitedBy>,
    error: Option<&'a str>,
    kept_path_mtu: Option<PathMtu>,
}

#[derive(Serialize)]
struct NestedPathEntry<'a> {
    namespace: &'a str,
    level: u8,
    target: Option<&'a str>,
    address: Option<IpAddr>,
    family: Option<IpFamily>,
    mtu: Option<PathMtu>,
    verified: Option<bool>,
    path_mtu: Option<PathMtu>,
    error: Option<&'a str>,
    /// Named as the survey's own: a date alone is no reason to write a file.
    observed_at: Option<String>,
}

#[derive(Serialize)]
struct MismatchEntry<'a> {
    id: &'a str,
    level: Option<u8>,
    daemon_level: Option<u8>,
    namespace: &'a str,
    ifindex: Ifindex,
    link: &'a str,
    mtu: LinkMtu,
    should_be: LinkMtu,
    why: &'a str,
    fix: &'a str,
}

/// The survey as one JSON document, indented.
pub fn render(survey: &Survey) -> serde_json::Result<String> {
    let look = &survey.look;
    serde_json::to_string_pretty(&Document {
        schema: SCHEMA,
        observed_at: survey.observed_at.to_string(),
        host: Host {
            name: &look.host_name,
            kernel: &look.kernel_release,
            cni: look.cni.as_ref(),
            privileges: &look.privileges,
        },
        safe_dind_mtu: safe_dind_mtu(survey),
        namespaces: look.topology.iter().map(|(ix, _)| namespace(survey, ix)).collect(),
        paths: survey.paths.iter().map(|path| path_entry(survey, path)).collect(),
        nested_paths: survey.nested_paths.iter().map(|path| nested_path_entry(survey, path)).collect(),
        mismatches: survey.findings.iter().map(|finding| mismatch(survey, finding)).collect(),
        unseen: &look.unseen,
    })
}

/// What of a document is read back.
#[derive(Deserialize)]
struct Earlier {
    paths: Vec<EarlierPath>,
}

#[derive(Deserialize)]
struct EarlierPath {
    target: String,
    address: Option<IpAddr>,
    verdict: Option<String>,
    path_mtu: Option<u16>,
    kept_path_mtu: Option<u16>,
}

/// Paths of a document that was rendered earlier, each with what was measured then, or kept: what may lower a value.
pub fn measured(document: &[u8]) -> serde_json::Result<Vec<Path>> {
    let measured = |path: EarlierPath| {
        let may_lower = path.verdict.is_some_and(|verdict| Verdict::CAPS.contains(&verdict.as_str()));
        let kept = path.kept_path_mtu.or(path.path_mtu.filter(|_| may_lower))?;
        let earlier = Path::new(path.target, path.address, PathResult::NotProbed { learned: None });
        Some(Path { kept: Some(PathMtu::new(kept).ok()?), ..earlier })
    };
    let Earlier { paths } = serde_json::from_slice(document)?;
    Ok(paths.into_iter().filter_map(measured).collect())
}

fn safe_dind_mtu(survey: &Survey) -> SafeDindMtu<'_> {
    let safe = survey.safe_dind_mtu();
    let of = |family| survey.safe.get(&family).map(|safe| safe.mtu);
    SafeDindMtu {
        value: safe.map(|safe| safe.mtu),
        ipv4: of(IpFamily::V4),
        ipv6: of(IpFamily::V6),
        evidence: safe.map(|safe| safe.evidence),
        limited_by: safe.map(|safe| match safe.limited_by {
            Limiter::Hop(Hop::Link(at)) => LimiterEntry::Link {
                id: id(survey, at.netns),
                ifindex: at.ifindex,
                name: link_name(survey, at),
            },
            Limiter::Hop(Hop::Route { netns, mtu }) => LimiterEntry::Route { id: id(survey, netns), mtu },
            Limiter::Path(position) => {
                let path = &survey.paths[survey.measured[position].0];
                LimiterEntry::Path { target: &path.target, address: path.address }
            }
            Limiter::Expected => LimiterEntry::Expected { mtu: safe.mtu, from: survey.expected_from() },
            Limiter::Maximum => LimiterEntry::Maximum { mtu: safe.mtu },
        }),
        remark: survey.remark(),
    }
}

fn namespace(survey: &Survey, ix: NetnsIx) -> Namespace<'_> {
    let topology = &survey.look.topology;
    let (netns, identity) = (topology.netns(ix), &survey.look.identities[ix.0]);
    let way_out = IpFamily::ALL.into_iter().find_map(|family| topology.way_out(ix, family));
    let learned = netns.routes.iter().flat_map(|routes| &routes.learned);
    Namespace {
        id: &identity.id,
        inode: identity.inode,
        level: netns.place.level(),
        place: match netns.place {
            Place::Host => "host",
            Place::Nested { .. } => "nested",
            Place::Outside => "outside",
            Place::Unconnected => "unconnected",
        },
        parent: netns.place.parent().map(|parent| id(survey, parent)),
        name: identity.name.as_deref(),
        pids: &identity.pids[..identity.pids.len().min(PIDS)],
        container_id: identity.container_id.as_deref(),
        pod_uid: identity.pod_uid.as_deref(),
        effective_mtu: survey.effective_mtu(ix),
        default_route: way_out.map(|way_out| DefaultRoute {
            ifindex: way_out.ifindex,
            mtu: way_out.route_mtu,
            evidence: if way_out.inferred { "inferred" } else { "configured" },
        }),
        learned_path_mtus: learned
            .map(|LearnedPathMtu { destination, mtu }| Learned { destination: *destination, mtu: *mtu })
            .collect(),
        links: netns.links.values().map(|link| link_entry(survey, ix, link)).collect(),
    }
}

fn link_entry<'a>(survey: &'a Survey, netns: NetnsIx, link: &'a Link<NetnsIx>) -> LinkEntry<'a> {
    let topology = &survey.look.topology;
    let at = LinkRef { netns, ifindex: link.ifindex };
    let far = link.linked.map(|far| FarEnd { id: id(survey, far.netns), ifindex: far.ifindex });
    let (peer, lower) = if link.kind.is_pair() { (far, None) } else { (None, far) };
    LinkEntry {
        ifindex: link.ifindex,
        name: &link.name,
        kind: role(topology, at),
        mtu: link.mtu,
        master: link.master,
        idle: topology.is_idle(at),
        peer,
        lower,
    }
}

fn path_entry<'a>(survey: &'a Survey, path: &'a Path) -> PathEntry<'a> {
    let searched = matches!(path.result, PathResult::Searched(_));
    let path_mtu = path.path_mtu();
    PathEntry {
        target: &path.target,
        address: path.address,
        family: path.family(),
        from: id(survey, HOST),
        verdict: path.verdict(),
        path_mtu: path_mtu.map(|(path_mtu, _)| path_mtu),
        evidence: path_mtu.map(|(_, evidence)| evidence),
        // An echo of the probed size comes back: the smaller of both directions is what was measured.
        method: searched.then_some("icmp_echo"),
        direction: searched.then_some("both"),
        limited_by: path.limited_by(),
        kept_path_mtu: path.kept,
        error: match &path.result {
            PathResult::Failed { why, .. } => Some(why),
            PathResult::Searched(_) | PathResult::NotProbed { .. } => None,
        },
    }
}

fn nested_path_entry<'a>(survey: &'a Survey, path: &'a NestedPath) -> NestedPathEntry<'a> {
    let NestedProbe { to, mtu, passes } = &path.probe;
    let (target, address) = (to.as_ref().map(|(target, _)| target), to.as_ref().map(|(_, address)| *address));
    let (path_mtu, error) = match passes {
        Passes::Full => (*mtu, None),
        Passes::Narrower { path_mtu } => (Some(*path_mtu), None),
        Passes::Unknown { why } => (None, Some(why.as_str())),
    };
    NestedPathEntry {
        namespace: id(survey, path.netns),
        level: path.level,
        target: target.map(String::as_str),
        address,
        family: address.map(IpFamily::of),
        mtu: *mtu,
        verified: passes.is_verified(),
        path_mtu,
        error,
        observed_at: path.observed_at.map(|at| at.to_string()),
    }
}

fn mismatch<'a>(survey: &'a Survey, finding: &'a Finding) -> MismatchEntry<'a> {
    let at = finding.mismatch.at;
    MismatchEntry {
        id: &finding.id,
        level: survey.look.topology.netns(at.netns).place.level(),
        daemon_level: finding.daemon_level,
        namespace: id(survey, at.netns),
        ifindex: at.ifindex,
        link: link_name(survey, at),
        mtu: finding.mismatch.mtu,
        should_be: finding.mismatch.limit.mtu,
        why: &finding.why,
        fix: &finding.fix,
    }
}

fn id(survey: &Survey, netns: NetnsIx) -> &str {
    &survey.look.identities[netns.0].id
}

fn link_name(survey: &Survey, at: LinkRef<NetnsIx>) -> &str {
    survey.look.topology.link(at).map_or("", |link| &link.name)
}

#[cfg(test)]
mod tests;
