use super::*;
use crate::discovery::path::PathResult;
use crate::domain::search::{Outcome, Verdict};

fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).unwrap()
}

fn path(target: &str, address: &str, verdict: Verdict) -> Path {
    let outcome = Outcome {
        verdict,
        limited_by: None,
        probes_sent: 9,
        bytes_sent: 9000,
        flights: 2,
        rtt: None,
        loss: None,
        ptbs_ignored: 0,
        elapsed: std::time::Duration::ZERO,
    };
    Path::new(target.into(), Some(address.parse().unwrap()), PathResult::Searched(outcome))
}

fn exact(target: &str, address: &str) -> Path {
    path(target, address, Verdict::Exact { path_mtu: size(1450) })
}

fn chosen(paths: &[Path]) -> Vec<String> {
    targets(paths).into_iter().map(|it| format!("{} {}", it.target, it.address)).collect()
}

#[test]
fn of_each_family_the_first_target_that_answers_is_asked() {
    let paths = [
        path("silent", "192.0.2.9", Verdict::Unreachable),
        exact("a", "192.0.2.1"),
        exact("a", "2001:db8::1"),
        exact("b", "192.0.2.2"),
        exact("b", "2001:db8::2"),
    ];
    assert_eq!(chosen(&paths), ["a 192.0.2.1", "a 2001:db8::1"]);
    assert_eq!(targets(&paths)[0].path_mtu, size(1450));
}

#[test]
fn nobody_is_asked_who_is_another_from_inside_or_was_not_probed() {
    let learned = PathResult::NotProbed { learned: Some(size(1400)) };
    let unprobed = Path::new("c".into(), Some("192.0.2.1".parse().unwrap()), learned);
    let unresolved = PathResult::Failed { why: "no such name".into(), unresolved: true };
    let paths = [
        exact("self", "127.0.0.1"),
        exact("self", "::1"),
        exact("link", "169.254.1.1"),
        exact("link", "fe80::1"),
        exact("any", "0.0.0.0"),
        unprobed,
        Path::new("d".into(), None, unresolved),
    ];
    assert_eq!(chosen(&paths), [""; 0]);
}

#[test]
fn a_level_is_as_good_as_its_worst_namespace_and_unknown_without_any() {
    let path = |level, passes| {
        let probe = NestedProbe { to: None, mtu: None, passes };
        NestedPath { netns: NetnsIx(1), level, probe, observed_at: None }
    };
    let unknown = Passes::Unknown { why: "no answer".into() };
    let paths = [
        path(1, unknown.clone()),
        path(2, Passes::Full),
        path(2, unknown),
        path(3, Passes::Full),
        path(3, Passes::Narrower { path_mtu: size(1450) }),
        path(3, Passes::Full),
    ];
    assert_eq!(verified_by_level(&paths), BTreeMap::from([(2, true), (3, false)]));
}
