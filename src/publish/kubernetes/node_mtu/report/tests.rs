use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::discovery::expected::ExpectedMtu;
use crate::discovery::identity::Identity;
use crate::discovery::survey::Look;
use crate::domain::search::Verdict;
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
use crate::publish::sample::{identity, paths, searched, seed_problem, survey};

const UID: &str = "0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11";

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn steady(value: u32) -> SteadyMtu {
    let mut steady = SteadyMtu::new(Duration::from_hours(1));
    steady.observe(Instant::now(), Some(mtu(value)));
    steady
}

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn lost(value: u32) -> SteadyMtu {
    SteadyMtu::resume(Duration::from_hours(1), mtu(value), Instant::now())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn status(report: &NodeReport, pods: &Pods) -> NodeMtuStatus {
    report.status(pods, None, at(100))
}

fn path(target: &str, address: &str, bytes: u16) -> Path {
    let exact = Verdict::Exact { path_mtu: PathMtu::new(bytes).unwrap() };
    Path::new(target.into(), Some(address.parse().unwrap()), searched(exact, None))
}

/// A pod at 1450 on a host at 1500, and nothing wrong.
fn quiet(paths: Vec<Path>) -> Survey {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    survey(&sample, vec![identity("host"), identity("nsid:0")], Vec::new(), paths)
}

/// Two pods, the second with docker three levels deep in it: of 1450 and 1500.
fn two_pods(second: Identity) -> Survey {
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    let (busy, _) = pod(&mut sample, 1450);
    let docker = Docker::start(&mut sample, busy, 1500);
    Docker::start(&mut sample, docker.container, 1500);
    let identities = ["host", "nsid:0", "nsid:1", "nsid:2", "nsid:3"].map(identity);
    let mut identities = Vec::from(identities);
    identities[busy.0] = second;
    survey(&sample, identities, Vec::new(), Vec::new())
}

fn pods(all: impl IntoIterator<Item = (&'static str, Pod)>) -> Pods {
    all.into_iter().map(|(uid, pod)| (uid.to_owned(), pod)).collect()
}

fn runner(name: &str, address: &str) -> Pod {
    let addresses = vec![address.parse().unwrap()];
    Pod { namespace: "ci".into(), name: name.into(), addresses, ..Pod::default() }
}

#[test]
fn the_seed_problem_is_told_in_full() {
    let report = NodeReport::new(&seed_problem(paths()), &steady(1400));
    let mut told = status(&report, &pods([(UID, runner("runner-0", "10.0.0.9"))]));
    told.agent_version = "of the agent".to_owned();
    insta::assert_snapshot!(serde_json::to_string_pretty(&told).unwrap());
}

#[test]
fn a_value_that_links_tell_has_one_method_and_no_search() {
    let told = status(&NodeReport::new(&quiet(Vec::new()), &steady(1450)), &Pods::new());
    assert_eq!((told.methods, told.searches), (vec![Method::Link], 0));
    assert_eq!(told.evidence, Some(ReportedEvidence::Configured));
}

#[test]
fn what_the_next_pod_gets_is_configured_as_links_are() {
    let look = Arc::into_inner(quiet(Vec::new()).look).unwrap();
    let expected = ExpectedMtu { mtu: mtu(1400), from: "/var/lib/calico/mtu".into() };
    let look = Look { expected: Some(expected), ..look };
    let survey = Survey::conclude(look, Vec::new(), LinkMtu::DOCKER_DEFAULT, at(0));
    let told = status(&NodeReport::new(&survey, &steady(1400)), &Pods::new());
    assert_eq!((told.evidence, told.methods), (Some(ReportedEvidence::Configured), vec![Method::Link]));
}

#[test]
fn searches_are_counted_by_target_and_family_if_they_found_as_little() {
    let found = vec![
        path("a", "192.0.2.1", 1400),
        path("a", "192.0.2.2", 1400),
        path("a", "2001:db8::1", 1400),
        path("b", "192.0.2.3", 1280),
        path("c", "192.0.2.4", 1450),
    ];
    let told = status(&NodeReport::new(&quiet(found.clone()), &steady(1400)), &Pods::new());
    assert_eq!((told.methods, told.searches), (vec![Method::IcmpEcho], 3));
    let told = status(&NodeReport::new(&quiet(found), &steady(1450)), &Pods::new());
    assert_eq!((told.methods, told.searches), (vec![Method::Link, Method::IcmpEcho], 4));
}

#[test]
fn what_an_earlier_search_measured_counts_until_another_one_tells() {
    let silent =
        Path::new("a".into(), Some("192.0.2.1".parse().unwrap()), searched(Verdict::Unreachable, None));
    let kept = silent.keeping(&path("a", "192.0.2.1", 1400));
    let told = status(&NodeReport::new(&quiet(vec![kept]), &steady(1400)), &Pods::new());
    assert_eq!(
        (told.searches, told.paths[0].verdict.as_str(), told.paths[0].path_mtu),
        (1, "unreachable", None)
    );
}

#[test]
fn a_value_that_is_held_has_no_evidence_of_now() {
    let told = status(&NodeReport::new(&quiet(Vec::new()), &steady(1300)), &Pods::new());
    assert_eq!((told.dind_mtu, told.evidence, told.methods), (Some(1300), None, Vec::new()));
}

#[test]
fn a_lost_value_stays_and_says_since_when_it_is_old() {
    let mut sample = machine(1500);
    sample.routes(crate::domain::topology::HOST).defaults.clear();
    let nothing = survey(&sample, vec![identity("host")], Vec::new(), Vec::new());
    let report = NodeReport::new(&nothing, &lost(1450));
    let first = report.status(&Pods::new(), None, at(100));
    assert_eq!((first.dind_mtu, first.lost_since.clone()), (Some(1450), Some(Time(at(100)))));
    let later = report.status(&Pods::new(), Some(&first), at(200));
    assert_eq!(later, first);
    let found =
        NodeReport::new(&quiet(Vec::new()), &steady(1450)).status(&Pods::new(), Some(&later), at(300));
    assert_eq!((found.lost_since, found.observed_change_time), (None, Some(Time(at(300)))));
}

#[test]
fn nothing_known_is_absent() {
    let mut sample = machine(1500);
    sample.routes(crate::domain::topology::HOST).defaults.clear();
    let nothing = survey(&sample, vec![identity("host")], Vec::new(), Vec::new());
    let report = NodeReport::new(&nothing, &SteadyMtu::new(Duration::ZERO));
    let annotated = Pod { annotation: Some("1450".into()), ..runner("a", "10.0.0.1") };
    let told = serde_json::to_value(status(&report, &pods([("1", annotated)]))).unwrap();
    assert_eq!((told.get("dindMtu"), told.get("evidence"), told.get("lostSince")), (None, None, None));
    assert_eq!(told["podsTotal"], 0, "there is nothing to disagree with");
}

#[test]
fn the_time_of_the_change_is_that_of_the_last_that_was_one() {
    let report = NodeReport::new(&quiet(Vec::new()), &steady(1450));
    let first = report.status(&Pods::new(), None, at(100));
    let sent = NodeMtuStatus { report_time: Some(Time(at(101))), ..first.clone() };
    assert_eq!(report.status(&Pods::new(), Some(&sent), at(200)), first);
    let annotated = Pod { annotation: Some("1400".into()), ..runner("a", "10.0.0.1") };
    let changed = report.status(&pods([("1", annotated)]), Some(&sent), at(300));
    assert_eq!(changed.observed_change_time, Some(Time(at(300))));
}

#[test]
fn a_pod_whose_annotation_differs_is_told_unless_it_has_ended_or_has_none() {
    let annotated = |said: &str, pod| Pod { annotation: Some(said.into()), ..pod };
    let ended = Pod { ended: true, ..annotated("1500", runner("ended", "10.0.0.4")) };
    let pods = pods([
        ("1", annotated("1450", runner("right", "10.0.0.1"))),
        ("2", annotated("1500", runner("stale", "10.0.0.2"))),
        ("3", runner("bare", "10.0.0.3")),
        ("4", ended),
        ("5", annotated("nonsense", runner("nonsense", "10.0.0.5"))),
    ]);
    let told = status(&NodeReport::new(&quiet(Vec::new()), &steady(1450)), &pods);
    let said: Vec<_> = told.pods.iter().map(|pod| (pod.name.as_str(), pod.annotation.as_deref())).collect();
    assert_eq!(said, [("nonsense", Some("nonsense")), ("stale", Some("1500"))]);
    assert_eq!(told.pods_total, 2);
}

#[test]
fn links_at_any_depth_are_those_of_the_pod_at_level_1_by_its_uid() {
    let survey = two_pods(Identity { pod_uid: Some(UID.into()), ..identity("nsid:1") });
    let pods = pods([(UID, runner("busy", "10.0.0.2")), ("other", runner("quiet", "10.0.0.1"))]);
    let told = status(&NodeReport::new(&survey, &steady(1450)), &pods);
    let [pod] = &told.pods[..] else { panic!("{:?}", told.pods) };
    assert_eq!((pod.name.as_str(), pod.annotation.as_ref()), ("busy", None));
    assert_eq!(pod.mismatched_links, told.mismatches);
    assert_eq!(pod.mismatched_links, 6, "docker0, both ends of its veth, and the same one level deeper");
}

#[test]
fn wrong_links_come_before_annotations_that_differ() {
    let survey = two_pods(Identity { pod_uid: Some(UID.into()), ..identity("nsid:1") });
    let stale = Pod { annotation: Some("1400".into()), ..runner("a", "10.0.0.3") };
    let mut pods: Pods = (0..MOST_PODS).map(|n| (n.to_string(), stale.clone())).collect();
    pods.insert(UID.into(), runner("z", "10.0.0.2"));
    let told = status(&NodeReport::new(&survey, &steady(1450)), &pods);
    assert_eq!((told.pods[0].name.as_str(), told.pods[1].name.as_str()), ("z", "a"));
    assert_eq!((told.pods.len(), told.pods_total), (MOST_PODS, 51));
}

#[test]
fn without_processes_a_pod_is_known_by_one_of_its_addresses() {
    let addresses = vec!["2001:db8::2".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let survey = two_pods(Identity { addresses, ..identity("nsid:1") });
    let report = NodeReport::new(&survey, &steady(1450));
    let first = Pod { ended: true, ..runner("ended", "10.0.0.2") };
    let host = Pod { host_network: true, ..runner("host", "10.0.0.2") };
    let all = pods([
        ("1", first),
        ("2", host),
        ("3", runner("busy", "10.0.0.2")),
        ("4", runner("not", "10.0.0.3")),
    ]);
    let told = status(&report, &all);
    let names: Vec<_> = told.pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["busy"], "an ended pod's address is another's by now");
    assert_eq!(status(&report, &Pods::new()).mismatches, 6, "nobody's links are counted all the same");
}

#[test]
fn a_status_is_bounded_whatever_is_on_the_node() {
    let many: Vec<_> = (0..20).map(|n| path(&"t".repeat(300 + n), "192.0.2.1", 1400)).collect();
    let huge = Pod { annotation: Some("9".repeat(100_000)), ..runner("p", "10.0.0.1") };
    let pods: Pods = (0..80).map(|n| (n.to_string(), huge.clone())).collect();
    let told = status(&NodeReport::new(&quiet(many), &steady(1400)), &pods);
    assert_eq!((told.paths.len(), told.pods.len(), told.pods_total), (MOST_PATHS, MOST_PODS, 80));
    assert_eq!(told.paths[0].target.len(), MOST_CHARACTERS);
    let said = told.pods[0].annotation.as_ref().unwrap();
    assert_eq!(said.len(), MOST_CHARACTERS);
    assert!(serde_json::to_string(&told).unwrap().len() < 32 * 1024);
    const { assert!(links::MOST_GROUPS <= MOST_LINKS, "no link is left out") };
}

#[test]
fn a_report_of_the_same_is_the_same() {
    let sample: Sample = machine(1500);
    let one = || survey(&sample, vec![identity("host")], Vec::new(), Vec::new());
    assert_eq!(NodeReport::new(&one(), &steady(1500)), NodeReport::new(&one(), &steady(1500)));
}
