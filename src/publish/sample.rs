//! Surveys for tests, without a kernel.

use std::net::IpAddr;
use std::time::Duration;

use crate::discovery::cni::Cni;
use crate::discovery::identity::Identity;
use crate::discovery::nested::{NestedPath, NestedProbe, Passes};
use crate::discovery::path::{Path, PathResult};
use crate::discovery::survey::{Look, Survey};
use crate::discovery::unseen::Unseen;
use crate::domain::link::{LinkKind, LinkRef};
use crate::domain::mtu::{IpFamily, LinkMtu, PathMtu};
use crate::domain::search::{LimitedBy, Outcome, Verdict};
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
use crate::domain::topology::{HOST, LearnedPathMtu, NetnsIx};
use crate::kernel::capability::Capability;

/// What is outside of the topology comes from here; nothing was probed.
pub(super) fn survey(
    sample: &Sample,
    identities: Vec<Identity>,
    unseen: Vec<Unseen>,
    paths: Vec<Path>,
) -> Survey {
    let look = Look {
        host_name: "node-1".into(),
        kernel_release: "6.18.0".into(),
        privileges: vec![Capability::CapNetAdmin, Capability::CapNetRaw],
        cni: Some(Cni { name: "Calico".into(), why: "link cali1 on the host".into() }),
        unseen,
        ..Look::sample(sample.topology().clone(), identities)
    };
    let observed_at = "2026-01-02T03:04:05Z".parse().unwrap();
    Survey::conclude(look, paths, LinkMtu::DOCKER_DEFAULT, observed_at)
}

pub(super) fn identity(id: &str) -> Identity {
    Identity { id: id.into(), ..Identity::default() }
}

fn container(id: &str, name: &str, digit: &str) -> Identity {
    Identity { name: Some(name.into()), container_id: Some(digit.repeat(64)), ..identity(id) }
}

/// The seed problem: a Calico pod at 1450 under two dockerds at 1500, with an idle network beside.
pub(super) fn seed_problem(paths: Vec<Path>) -> Survey {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    sample.link(pod, "br-0123456789ab", LinkKind::Bridge, 1500);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    sample.hide(level3.container);
    let alone = sample.nested_in(HOST);
    sample.disconnect(alone);
    let learned = LearnedPathMtu { destination: "198.51.100.7".parse().unwrap(), mtu: mtu(1400) };
    sample.routes(HOST).learned.push(learned);
    let runner = Identity {
        inode: Some(4_026_532_281),
        name: Some("ci/runner-0".into()),
        pids: vec![4711, 4712],
        pod_uid: Some("0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11".into()),
        ..container("nsid:0", "", "a")
    };
    let host = Identity { inode: Some(4_026_531_840), pids: (1..=20).collect(), ..identity("host") };
    let blue = Identity { name: Some("blue".into()), ..identity("inode:4026532999") };
    let identities =
        vec![host, runner, container("nsid:1", "dind", "b"), container("nsid:2", "build", "c"), blue];
    let unseen = vec![
        Unseen::needing("routes of 1 namespace", "an MTU on a route there is not seen", "CAP_SYS_ADMIN"),
        Unseen::opaque("inside of 1 sandbox", "links in there are not the host kernel's"),
    ];
    survey(&sample, identities, unseen, paths)
}

/// A host with one pod, and all is well.
pub(super) fn healthy() -> Survey {
    let mut sample = machine(1500);
    let (_, [eth0, _]) = pod(&mut sample, 1500);
    sample.default_route(eth0, IpFamily::V6, Some(1480));
    let uplink =
        LinkRef { netns: HOST, ifindex: *sample.topology().netns(HOST).links.keys().next().unwrap() };
    sample.default_route(uplink, IpFamily::V6, None);
    survey(&sample, vec![identity("host"), identity("nsid:0")], Vec::new(), Vec::new())
}

/// A path with each kind of result.
pub(super) fn paths() -> Vec<Path> {
    let path = |target: &str, address: Option<&str>, result| {
        Path::new(target.into(), address.map(|address| address.parse().unwrap()), result)
    };
    let size = |bytes| PathMtu::new(bytes).unwrap();
    let limit = |address: Option<&str>, hop| LimitedBy {
        address: address.map(|address| address.parse::<IpAddr>().unwrap()),
        hop,
    };
    let hole = Verdict::BlackHole { path_mtu: size(1400) };
    let bound = Verdict::LowerBound { path_mtu: size(1280) };
    vec![
        path("example.org", Some("203.0.113.1"), searched(hole, Some(limit(Some("10.0.0.1"), Some(2))))),
        path("2001:db8::1", Some("2001:db8::1"), searched(bound, Some(limit(None, None)))),
        path("203.0.113.9", Some("203.0.113.9"), searched(Verdict::Unreachable, None)),
        path("mirror", Some("198.51.100.7"), PathResult::NotProbed { learned: Some(size(1400)) }),
        path("quiet", Some("198.51.100.8"), PathResult::NotProbed { learned: None }),
        path(
            "nowhere",
            None,
            PathResult::Failed { why: "resolve nowhere: no address".into(), unresolved: true },
        ),
    ]
}

/// Probes from inside of the container of level 2 and the one in it, with each kind of result.
pub(super) fn nested_paths() -> Vec<NestedPath> {
    let size = |bytes| PathMtu::new(bytes).unwrap();
    let path = |netns: usize, level, address: &str, mtu, passes| {
        let to = Some(("example.org".to_owned(), address.parse().unwrap()));
        let probe = NestedProbe { to, mtu: Some(size(mtu)), passes };
        NestedPath {
            netns: NetnsIx(netns),
            level,
            probe,
            observed_at: Some("2026-01-02T03:04:00Z".parse().unwrap()),
        }
    };
    let unasked = NestedPath {
        probe: NestedProbe::unknown("no target answers the host"),
        observed_at: None,
        ..path(1, 1, "203.0.113.1", 1450, Passes::Full)
    };
    vec![
        unasked,
        path(2, 2, "203.0.113.1", 1450, Passes::Full),
        path(2, 2, "2001:db8::1", 1450, Passes::Unknown { why: "nothing was answered".into() }),
        path(3, 3, "203.0.113.1", 1500, Passes::Narrower { path_mtu: size(1450) }),
    ]
}

pub(super) fn searched(verdict: Verdict, limited_by: Option<LimitedBy>) -> PathResult {
    PathResult::Searched(Outcome {
        verdict,
        limited_by,
        probes_sent: 12,
        bytes_sent: 9000,
        flights: 3,
        rtt: Some(Duration::from_millis(10)),
        loss: Some(0.0),
        ptbs_ignored: 0,
        elapsed: Duration::from_millis(90),
    })
}

/// The container of level 2.
pub(super) const DIND: NetnsIx = NetnsIx(2);
