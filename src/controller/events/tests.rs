use super::*;
use crate::domain::fleet::{Report, useful};

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

fn pod(name: &str, annotation: Option<&str>, mismatched_links: u32) -> ReportedPod {
    ReportedPod {
        namespace: "ci".into(),
        name: name.into(),
        uid: format!("uid-of-{name}"),
        annotation: annotation.map(str::to_owned),
        mismatched_links,
    }
}

fn reports(pods: Vec<ReportedPod>) -> BTreeMap<String, NodeReport> {
    let report = Report { dind_mtu: useful(1400), methods: 1, searches: 0, old_from: origin() };
    [("node-1".to_owned(), NodeReport { report, is_refused: false, pods })].into()
}

/// All that is told when nothing fails, and how often it had to be waited for.
fn tell_all(findings: &mut Findings, reports: &BTreeMap<String, NodeReport>) -> (Vec<Told>, u32) {
    let (mut now, mut all, mut waits) = (origin(), Vec::new(), 0);
    findings.list(reports);
    loop {
        while let Some((key, told)) = findings.due(now, reports) {
            all.push(told);
            findings.told(key);
        }
        let Some(next) = findings.poll_timeout() else { return (all, waits) };
        assert!(next > now);
        (now, waits) = (next, waits + 1);
    }
}

#[test]
fn a_pod_is_told_once_for_each_finding() {
    let reports =
        reports(vec![pod("a", Some("1500"), 3), pod("b", None, 1), pod("c", Some(""), 0), pod("d", None, 0)]);
    let mut findings = Findings::new();
    let (all, _) = tell_all(&mut findings, &reports);
    let brief: Vec<_> = all.iter().map(|told| (told.pod.as_str(), told.reason)).collect();
    let expected =
        [("a", "DindMtuMismatch"), ("a", "DindMtuStale"), ("b", "DindMtuMismatch"), ("c", "DindMtuStale")];
    assert_eq!(brief, expected);
    assert_eq!(tell_all(&mut findings, &reports).0, [], "they are told");
}

#[test]
fn a_note_says_what_is_wrong_with_numbers_and_what_to_do() {
    let (all, _) = tell_all(&mut Findings::new(), &reports(vec![pod("a", Some("1500"), 3)]));
    let [mismatch, stale] = &all[..] else { panic!("{all:?}") };
    assert_eq!(
        mismatch.note,
        "On node node-1, networks nested in a pod may use an MTU of 1400; 3 links in this pod are larger, so large \
         downloads in its containers may hang. Give its dockerd --mtu=1400, and networks that it makes \
         com.docker.network.driver.mtu=1400, then start the pod anew."
    );
    assert_eq!(
        stale.note,
        "The annotation mtu-agent.dev/dind-mtu of this pod says \"1500\", but its node node-1 carries 1400 now. A \
         dockerd that runs keeps the MTU that it was started with: start the pod anew."
    );
}

#[test]
fn a_note_fits_whatever_an_annotation_says() {
    let long = "\u{0}\"\n😀".repeat(10_000);
    let (all, _) = tell_all(&mut Findings::new(), &reports(vec![pod("a", Some(&long), 0)]));
    assert!(all[0].note.len() <= 1024, "{}", all[0].note.len());
    assert!(!all[0].note.contains(char::is_control), "{}", all[0].note);
}

#[test]
fn it_looks_as_the_api_server_wants_it() {
    let (mut all, _) = tell_all(&mut Findings::new(), &reports(vec![pod("a", None, 1)]));
    let at = Timestamp::from_second(1_700_000_000).unwrap();
    let event = all.remove(0).event(at, "replica-1");
    let json = serde_json::to_value(&event).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": event.metadata.name.clone().unwrap(), "namespace": "ci"},
            "eventTime": "2023-11-14T22:13:20.000000Z",
            "reportingController": "mtu-agent.dev/controller",
            "reportingInstance": "replica-1",
            "action": "Compare",
            "reason": "DindMtuMismatch",
            "type": "Warning",
            "note": event.note.unwrap(),
            "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "a", "namespace": "ci", "uid": "uid-of-a"},
        })
    );
}

#[test]
fn a_name_is_the_same_for_the_same_finding_and_fits() {
    let key = |uid: &str, finding| (uid.to_owned(), finding);
    let name = event_name("runner-x", &key("1", Finding::Stale));
    assert_eq!(name, event_name("runner-x", &key("1", Finding::Stale)));
    assert_ne!(name, event_name("runner-x", &key("2", Finding::Stale)));
    assert_ne!(name, event_name("runner-x", &key("1", Finding::Mismatch)));
    assert!(name.starts_with("runner-x."), "{name}");
    let long = event_name(&format!("{}-{}", "a".repeat(235), "b".repeat(17)), &key("1", Finding::Stale));
    assert!(long.len() <= LONGEST_NAME && !long.contains("-."), "{long}");
}

#[test]
fn thousands_are_told_ten_in_a_second() {
    let pods = (0..100).map(|number| pod(&format!("pod-{number}"), None, 1)).collect();
    let reports = reports(pods);
    let (mut findings, start) = (Findings::new(), origin());
    findings.list(&reports);
    let mut told = 0;
    for millisecond in 0..1000 {
        if let Some((key, _)) = findings.due(start + Duration::from_millis(millisecond), &reports) {
            findings.told(key);
            told += 1;
        }
    }
    assert_eq!(told, 10);
}

#[test]
fn however_many_there_are_few_wait_and_all_are_told_once() {
    let pods = (0..=MOST_PENDING * 2).map(|number| pod(&format!("pod-{number}"), None, 1)).collect();
    let reports = reports(pods);
    let (mut findings, mut now) = (Findings::new(), origin());
    findings.list(&reports);
    let mut all = BTreeSet::new();
    while let Some((key, _)) = findings.due(now, &reports) {
        assert!(findings.pending.len() < MOST_PENDING);
        assert!(all.insert(key.clone()), "{key:?} is told twice");
        findings.told(key);
        now = findings.poll_timeout().unwrap_or(now);
    }
    assert_eq!((all.len(), findings.poll_timeout()), (MOST_PENDING * 2 + 1, None));
}

#[test]
fn only_another_value_or_other_pods_make_it_look_again() {
    let known = reports(vec![pod("a", None, 1)]);
    let same = known["node-1"].clone();
    let newer = Report { old_from: origin() + BREATHER, ..same.report.clone() };
    let newer = NodeReport { report: newer, ..same.clone() };
    let other_value = Report { dind_mtu: useful(1300), ..same.report.clone() };
    let other_value = NodeReport { report: other_value, ..same.clone() };
    let other_pods = NodeReport { pods: vec![pod("a", None, 2)], ..same };
    let may_change = |node: &str, report| may_change(&known, &Change::Set(node.into(), report));
    assert!(!may_change("node-1", Some(newer)));
    assert!(may_change("node-1", Some(other_value)));
    assert!(may_change("node-1", Some(other_pods.clone())));
    assert!(may_change("node-1", None));
    assert!(may_change("node-2", Some(other_pods)));
    assert!(!may_change("node-2", None));
}

#[test]
fn one_that_failed_is_tried_again_after_a_pause() {
    let (reports, start) = (reports(vec![pod("a", None, 1)]), origin());
    let mut findings = Findings::new();
    findings.list(&reports);
    let (_, first) = findings.due(start, &reports).unwrap();
    assert_eq!(findings.due(start + BREATHER, &reports), None, "it is under way");
    findings.failed(start, &reports);
    assert_eq!(findings.due(start + INTERVAL, &reports), None);
    assert_eq!(findings.poll_timeout(), Some(start + BREATHER));
    let (_, again) = findings.due(start + BREATHER, &reports).unwrap();
    assert_eq!(first, again);
}

#[test]
fn what_is_listed_while_one_is_under_way_is_not_told_twice() {
    let (reports, start) = (reports(vec![pod("a", None, 1)]), origin());
    let mut findings = Findings::new();
    findings.list(&reports);
    let (key, _) = findings.due(start, &reports).unwrap();
    findings.list(&reports);
    findings.told(key);
    assert_eq!(findings.due(start + BREATHER, &reports), None);
}

#[test]
fn no_more_is_remembered_than_is_listed() {
    let mut findings = Findings::new();
    let before = reports(vec![pod("a", None, 1), pod("b", None, 1)]);
    tell_all(&mut findings, &before);
    assert_eq!(findings.told.len(), 2);
    findings.list(&reports(vec![pod("b", None, 2)]));
    assert_eq!((findings.told.len(), findings.pending.len()), (1, 0), "more links are no other finding");
}

#[test]
fn what_no_pod_could_be_called_is_not_told() {
    let with = |change: fn(&mut ReportedPod)| {
        let mut pod = pod("a", None, 1);
        change(&mut pod);
        tell_all(&mut Findings::new(), &reports(vec![pod])).0.len()
    };
    assert_eq!(with(|_| {}), 1);
    assert_eq!(with(|pod| pod.namespace = "../secrets".into()), 0);
    assert_eq!(with(|pod| pod.name = "A".into()), 0);
    assert_eq!(with(|pod| pod.name = "a".repeat(254)), 0);
    assert_eq!(with(|pod| pod.uid = String::new()), 0);
}
