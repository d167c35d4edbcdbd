use serde_json::json;

use super::*;

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

fn wall() -> Timestamp {
    "2026-01-02T12:00:00Z".parse().unwrap()
}

fn report(now: Instant, status: &Value) -> NodeReport {
    let object = json!({"apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu", "metadata": {"name": "node-1"}, "status": status});
    let seen: SeenNodeMtu = serde_json::from_value(object).unwrap();
    seen.report(now, wall())
}

#[test]
fn what_an_agent_reports_is_taken() {
    let now = origin();
    let pods = json!([{"namespace": "ci", "name": "runner", "uid": "1", "annotation": "1500", "mismatchedLinks": 2}]);
    let seen = report(
        now,
        &json!({"dindMtu": 1450, "methods": ["link", "icmp-echo"], "searches": 3, "pods": pods,
            "reportTime": "2026-01-02T11:00:00Z", "paths": [{"target": "a"}], "agentVersion": "9"}),
    );
    let expected =
        Report { dind_mtu: useful(1450), methods: 2, searches: 3, old_from: now + Duration::from_hours(2) };
    assert_eq!((seen.report, seen.is_refused, seen.pods.len()), (expected, false, 1));
    assert_eq!((seen.pods[0].annotation.as_deref(), seen.pods[0].mismatched_links), (Some("1500"), 2));
}

#[test]
fn a_number_that_cannot_be_is_refused_and_none_is_not() {
    for (dind_mtu, is_refused) in [
        (json!(575), true),
        (json!(65_536), true),
        (json!(0), true),
        (json!(-1), true),
        (json!(1e30), true),
        (json!(1450.5), true),
        (json!("1450"), true),
        (json!(null), false),
    ] {
        let seen = report(origin(), &json!({"dindMtu": dind_mtu}));
        assert_eq!((seen.report.dind_mtu, seen.is_refused), (None, is_refused), "{dind_mtu}");
    }
    assert!(!report(origin(), &json!(null)).is_refused);
    assert!(!report(origin(), &json!({})).is_refused);
}

#[test]
fn whatever_else_is_odd_counts_as_nothing() {
    let odd = json!({"dindMtu": 1400, "methods": "link", "searches": -5, "reportTime": 7, "pods": {"a": 1}});
    let now = origin();
    let seen = report(now, &odd);
    let expected = Report { dind_mtu: useful(1400), methods: 0, searches: 0, old_from: now };
    assert_eq!((seen.report, seen.pods), (expected, Vec::new()));
    let seen = report(now, &json!({"methods": ["link", "link", 3], "pods": [{"name": "a"}, 5]}));
    assert_eq!((seen.report.methods, seen.pods.len()), (1, 0), "each way counts once");
}

#[test]
fn a_report_is_old_three_hours_after_it_was_told() {
    let now = origin();
    let old_in = |time: &str| report(now, &json!({"reportTime": time})).report.old_from - now;
    assert_eq!(old_in("2026-01-02T12:00:00Z"), Duration::from_hours(3));
    assert_eq!(old_in("2026-01-02T09:00:01Z"), Duration::from_secs(1));
    assert_eq!(old_in("2020-01-02T09:00:00Z"), Duration::ZERO);
    assert_eq!(
        old_in("2026-01-02T12:10:00Z"),
        Duration::from_hours(3),
        "a clock of another machine is ahead"
    );
    assert_eq!(old_in("yesterday"), Duration::ZERO);
}

#[test]
fn no_node_has_us_keep_more_pods_than_its_agent_would_tell() {
    let pod = json!({"namespace": "ci", "name": "runner", "uid": "1"});
    assert_eq!(report(origin(), &json!({"pods": vec![pod; 10_000]})).pods.len(), MOST_PODS);
}

fn partial<K>(metadata: Value) -> PartialObjectMeta<K> {
    let metadata: ObjectMeta = serde_json::from_value(metadata).unwrap();
    PartialObjectMeta { types: None, metadata, _phantom: std::marker::PhantomData }
}

#[test]
fn the_pool_of_a_node_is_its_label() {
    let node = |labels: Value| partial::<Node>(json!({"name": "node-1", "labels": labels}));
    let label = "mtu-agent.dev/pool";
    assert_eq!(pool(&node(json!({label: "metal", "other": "x"})), label), "metal");
    assert_eq!(pool(&node(json!({label: "metal", "other": "x"})), "other"), "x");
    for none in [json!({}), json!({label: ""})] {
        assert_eq!(pool(&node(none), label), "default");
    }
}

#[test]
fn a_namespace_says_whether_it_wants_a_config_map_and_of_which_pools() {
    let seen = |metadata: Value| SeenNamespace::of(&partial(metadata), "own");
    assert_eq!(seen(json!({"name": "ci"})), None);
    assert_eq!(seen(json!({"name": "ci", "labels": {CONFIG_MAP_LABEL: "no"}})), None);
    let labelled = seen(json!({"name": "ci", "labels": {CONFIG_MAP_LABEL: "enabled"}})).unwrap();
    assert_eq!((labelled.wants_config_map, labelled.is_ending, labelled.pools), (true, false, None));
    let named = seen(json!({"name": "ci", "annotations": {POOLS: "metal, cloud"}})).unwrap();
    assert_eq!((named.wants_config_map, named.pools.unwrap().len()), (false, 2));
    let time = "2026-01-01T00:00:00Z";
    let ending = seen(json!({"labels": {CONFIG_MAP_LABEL: "enabled"}, "deletionTimestamp": time}));
    assert!(ending.unwrap().is_ending);
    let own = seen(json!({"name": "own", "annotations": {POOLS: "metal"}})).unwrap();
    assert_eq!((own.wants_config_map, own.pools), (true, None), "it keeps those of all");
}

#[test]
fn of_a_config_map_of_ours_what_it_publishes_is_kept() {
    let data = [
        ("DIND_MTU", "1400"),
        ("DIND_MTU.cloud", "1450"),
        ("DIND_MTU.metal", "1400"),
        ("DIND_MTU.odd", "9999999"),
        ("DIND_MTU.", "1300"),
        ("DIND_MTU.none", ""),
        ("other", "x"),
    ];
    let config_map = |manager: &str| ConfigMap {
        metadata: ObjectMeta {
            labels: Some([(MANAGED_BY.to_owned(), manager.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: Some(data.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ConfigMap::default()
    };
    let ours = SeenConfigMap::of(config_map(CONTROLLER_MANAGER));
    assert!(ours.is_ours && !ours.data.contains_key("other"));
    let published: Vec<_> = ours.published().map(|(pool, mtu)| (pool, mtu.get())).collect();
    assert_eq!(published, [("cloud".to_owned(), 1450), ("metal".to_owned(), 1400)]);
    let foreign = SeenConfigMap::of(config_map("helm"));
    assert!(!foreign.is_ours && foreign.data.is_empty(), "of others nothing is kept");
}
