//! One walk outward, link by link: each MTU with where it was learned, and the limiting one marked.

use std::fmt::Write as _;

use super::paint::Paint;
use crate::discovery::advice::called;
use crate::discovery::role::role;
use crate::discovery::survey::Survey;
use crate::domain::link::LinkRef;
use crate::domain::mtu::IpFamily;
use crate::domain::topology::{NetnsIx, Topology};
use crate::domain::walk::{Hop, Limit};

/// The walk of each family from the namespace; families that go the same way share one.
pub fn render(survey: &Survey, from: NetnsIx, paint: Paint) -> String {
    let (topology, identities) = (&survey.look.topology, &survey.look.identities);
    let mut out =
        format!("{}\n", paint.head(&format!("from {} outward", called(topology, identities, from))));
    let has_route = |family: &IpFamily| topology.has_default_route(from, *family);
    let walks: Vec<_> =
        IpFamily::ALL.into_iter().filter(has_route).map(|it| (it, topology.walk(from, it))).collect();
    match walks.as_slice() {
        [] => out.push_str("no default route: no packet leaves it\n"),
        [(_, one), (_, other)] if one == other => walk(&mut out, survey, from, None, one, paint),
        several => {
            for (family, hops) in several {
                walk(&mut out, survey, from, Some(*family), hops, paint);
            }
        }
    }
    out
}

fn walk(
    out: &mut String,
    survey: &Survey,
    from: NetnsIx,
    family: Option<IpFamily>,
    hops: &[Limit],
    paint: Paint,
) {
    let narrowest = Topology::narrowest(hops);
    if let Some(family) = family {
        let _infallible = writeln!(out, "{family}:");
    }
    for limit in hops {
        let mark = if Some(*limit) == narrowest { "  ← limits" } else { "" };
        let line = format!("  {:>5}  {}{mark}", limit.mtu.to_string(), hop(survey, from, limit.hop));
        let exceeds = survey.findings.iter().any(|finding| Hop::Link(finding.mismatch.at) == limit.hop);
        let line = paint.fit(&line);
        let line = match (mark.is_empty(), exceeds) {
            (false, _) => paint.good(&line),
            (true, true) => paint.bad(&line),
            (true, false) => line,
        };
        let _infallible = writeln!(out, "{line}");
    }
    let measured =
        survey.measured.iter().filter(|(_, path)| family.is_none_or(|family| path.family == family));
    let mut carried = narrowest.map(|limit| limit.mtu);
    for (position, path) in measured {
        let target = &survey.paths[*position].target;
        let _infallible =
            writeln!(out, "  {:>5}  path to {target} (measured from the host)", path.path_mtu.to_string());
        carried = carried.min(Some(path.path_mtu.as_link_mtu()));
    }
    let is_connected = survey.look.topology.netns(from).place.level().is_some();
    if let Some(mtu) = carried.filter(|_| is_connected) {
        let _infallible = writeln!(out, "gets {mtu} out");
    }
}

fn hop(survey: &Survey, from: NetnsIx, hop: Hop) -> String {
    let (topology, identities) = (&survey.look.topology, &survey.look.identities);
    match hop {
        Hop::Route { netns, .. } => {
            format!("default route of {} (route)", called(topology, identities, netns))
        }
        Hop::Link(at) => {
            let name = topology.link(at).map_or("?", |link| link.name.as_str());
            format!(
                "{name} of {}, {} ({})",
                called(topology, identities, at.netns),
                role(topology, at).name(),
                learned(survey, from, at)
            )
        }
    }
}

/// Where the MTU was read, and whether the way there is known or inferred.
fn learned(survey: &Survey, from: NetnsIx, at: LinkRef<NetnsIx>) -> &'static str {
    let topology = &survey.look.topology;
    let mut ways = IpFamily::ALL.into_iter().filter_map(|family| topology.way_out(at.netns, family));
    match ways.find(|way| way.ifindex == at.ifindex) {
        Some(way) if way.inferred => "link; the routes could not be read",
        Some(_) => "link of the default route",
        None if at.netns == from => "link",
        None => "link on the way",
    }
}

#[cfg(test)]
mod tests;
