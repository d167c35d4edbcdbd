use proptest::prelude::*;

use super::*;

const RAISE_AFTER: Duration = Duration::from_mins(10);

fn mtu(value: u32) -> LinkMtu {
    LinkMtu::new(value).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

fn minutes(count: u64) -> Duration {
    Duration::from_mins(count)
}

/// A few nodes over time.
struct Cluster {
    start: Instant,
    now: Instant,
    fleet: Fleet,
    nodes: BTreeMap<String, String>,
    reports: BTreeMap<String, Report>,
}

impl Cluster {
    fn new() -> Self {
        let now = origin();
        let fleet = Fleet::new(RAISE_AFTER);
        Self { start: now, now, fleet, nodes: BTreeMap::new(), reports: BTreeMap::new() }
    }

    fn node(&mut self, node: &str, pool: &str) {
        self.nodes.insert(node.into(), pool.into());
    }

    fn report(&mut self, node: &str, bytes: u32) {
        self.report_known(node, bytes, 1, 0);
    }

    fn report_known(&mut self, node: &str, bytes: u32, methods: usize, searches: usize) {
        let old_from = self.now + Duration::from_hours(3);
        self.reports.insert(node.into(), Report { dind_mtu: useful(bytes), methods, searches, old_from });
    }

    fn at(&mut self, minute: u64) -> &mut Self {
        self.now = self.start + minutes(minute);
        self
    }

    fn fold(&mut self) -> BTreeMap<String, Pool> {
        self.fleet.fold(self.now, &self.nodes, |node| self.reports.get(node))
    }

    fn pool(&mut self, pool: &str) -> Pool {
        self.fold()[pool].clone()
    }

    fn value(&mut self, pool: &str) -> Option<u32> {
        self.pool(pool).mtu.map(LinkMtu::get)
    }
}

fn values() -> Values {
    let named = |pools: &[&str]| pools.iter().map(|pool| (*pool).to_owned()).collect();
    Values {
        nodes: [("node-1".to_owned(), mtu(1400))].into(),
        pools: [("cloud".to_owned(), mtu(1450)), ("metal".to_owned(), mtu(1400))].into(),
        namespaces: [("ci".to_owned(), named(&["cloud"])), ("odd".to_owned(), named(&["gone"]))].into(),
    }
}

#[test]
fn a_namespace_has_the_smallest_of_the_pools_that_it_names_or_of_all() {
    assert_eq!(values().of_namespace("ci"), Some(mtu(1450)));
    assert_eq!(values().of_namespace("other"), Some(mtu(1400)));
    assert_eq!(values().of_namespace("odd"), None, "a pool that is not there has no value");
}

#[test]
fn a_node_has_its_own() {
    assert_eq!(values().of_node("node-1"), Some(mtu(1400)));
    assert_eq!(values().of_node("node-2"), None);
}

#[test]
fn what_docker_cannot_use_is_no_value() {
    for (bytes, expected) in [(0, false), (575, false), (576, true), (65_535, true), (65_536, false)] {
        assert_eq!(useful(bytes), expected.then(|| mtu(bytes)), "{bytes}");
    }
}

#[test]
fn an_annotation_names_pools_with_commas() {
    let named = |pools: &[&str]| Some(pools.iter().map(|pool| (*pool).to_owned()).collect::<BTreeSet<_>>());
    assert_eq!(named_pools("metal, cloud,"), named(&["cloud", "metal"]));
    assert_eq!(named_pools("default"), named(&["default"]));
    assert_eq!(named_pools(" , "), None, "it names none: the namespace has all");
}

#[test]
fn a_pool_has_the_smallest_of_its_nodes() {
    let mut cluster = Cluster::new();
    for (node, pool, bytes) in [("a", "cloud", 1500), ("b", "cloud", 1450), ("c", "metal", 1400)] {
        cluster.node(node, pool);
        cluster.report(node, bytes);
    }
    assert_eq!((cluster.value("cloud"), cluster.value("metal")), (Some(1450), Some(1400)));
}

#[test]
fn a_pool_tells_the_largest_value_of_its_nodes_as_well() {
    let mut cluster = Cluster::new();
    for (node, bytes) in [("node-1", 1450), ("node-2", 1500), ("node-3", 1400)] {
        cluster.node(node, "metal");
        cluster.report(node, bytes);
    }
    cluster.node("node-4", "empty");
    assert_eq!(cluster.pool("metal").largest, Some(mtu(1500)));
    assert_eq!(cluster.pool("empty").largest, None);
    cluster.reports.remove("node-2");
    assert_eq!(cluster.pool("metal").largest, Some(mtu(1450)), "it is not held");
}

#[test]
fn down_is_at_once_and_up_takes_its_time() {
    let mut cluster = Cluster::new();
    cluster.node("a", "cloud");
    cluster.report("a", 1450);
    assert_eq!(cluster.value("cloud"), Some(1450));
    cluster.report("a", 1400);
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.report("a", 1500);
    assert_eq!(cluster.value("cloud"), Some(1400));
    let due = cluster.fleet.poll_timeout().unwrap();
    assert_eq!(due, cluster.start + RAISE_AFTER, "before the report is old");
    assert_eq!(cluster.at(9).value("cloud"), Some(1400));
    assert_eq!(cluster.at(10).value("cloud"), Some(1500));
}

#[test]
fn up_takes_a_quorum_all_the_while() {
    let mut cluster = Cluster::new();
    for node in ["a", "b", "c"] {
        cluster.node(node, "cloud");
        cluster.report(node, 1400);
    }
    cluster.node("d", "cloud");
    assert_eq!(cluster.value("cloud"), Some(1400));
    for node in ["a", "b", "c"] {
        cluster.report(node, 1500);
    }
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.reports.remove("c");
    assert_eq!(cluster.at(5).value("cloud"), Some(1400), "half of the nodes are not more than half");
    cluster.report("c", 1500);
    assert_eq!(cluster.at(14).value("cloud"), Some(1400), "the quorum was lost at 5");
    assert_eq!(cluster.at(24).value("cloud"), Some(1500));
}

#[test]
fn down_takes_no_quorum() {
    let mut cluster = Cluster::new();
    for node in ["a", "b", "c", "d"] {
        cluster.node(node, "cloud");
    }
    cluster.report("a", 1500);
    assert_eq!(cluster.value("cloud"), Some(1500), "better than nothing");
    cluster.report("b", 1400);
    assert_eq!(cluster.value("cloud"), Some(1400));
}

#[test]
fn one_outlier_under_1280_takes_two_methods_and_two_searches_to_drag_its_pool() {
    let mut cluster = Cluster::new();
    for node in ["a", "b"] {
        cluster.node(node, "cloud");
        cluster.report(node, 1500);
    }
    for (methods, searches) in [(1, 5), (2, 1), (5, 0)] {
        cluster.report_known("b", 576, methods, searches);
        assert_eq!(cluster.value("cloud"), Some(1280), "{methods} methods, {searches} searches");
    }
    cluster.report_known("b", 576, 2, 2);
    assert_eq!(cluster.value("cloud"), Some(576));
}

#[test]
fn what_is_no_value_counts_nowhere() {
    let mut cluster = Cluster::new();
    for (node, bytes) in [("a", 1500), ("b", 0), ("c", 575), ("d", 70_000)] {
        cluster.node(node, "cloud");
        cluster.report_known(node, bytes, 2, 2);
    }
    let pool = cluster.pool("cloud");
    assert_eq!((pool.mtu, pool.nodes, pool.reporting), (Some(mtu(1500)), 4, 1));
}

#[test]
fn an_old_report_counts_and_is_told() {
    let mut cluster = Cluster::new();
    for node in ["a", "b"] {
        cluster.node(node, "cloud");
        cluster.report(node, 1400);
    }
    assert_eq!(cluster.pool("cloud").age(), Age::Fresh);
    assert_eq!(cluster.fleet.poll_timeout(), Some(cluster.start + Duration::from_hours(3)));
    cluster.at(60).report("b", 1500);
    assert_eq!(cluster.at(179).pool("cloud").age(), Age::Fresh);
    let pool = cluster.at(180).pool("cloud");
    assert_eq!((pool.mtu, pool.old, pool.age()), (Some(mtu(1400)), 1, Age::OldReports));
    assert_eq!(cluster.fleet.poll_timeout(), Some(cluster.start + Duration::from_hours(4)));
}

#[test]
fn a_value_stays_when_agents_nodes_or_the_whole_pool_go_away() {
    let mut cluster = Cluster::new();
    cluster.node("a", "cloud");
    cluster.report("a", 1400);
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.reports.clear();
    let pool = cluster.at(60).pool("cloud");
    assert_eq!((pool.mtu, pool.nodes, pool.age()), (Some(mtu(1400)), 1, Age::NoReports));
    cluster.nodes.clear();
    let pool = cluster.at(600).pool("cloud");
    assert_eq!((pool.mtu, pool.nodes, pool.age()), (Some(mtu(1400)), 0, Age::NoReports));
}

#[test]
fn a_node_that_is_gone_counts_no_more_though_its_report_is_there_a_moment_longer() {
    let mut cluster = Cluster::new();
    for (node, bytes) in [("a", 1500), ("b", 1400)] {
        cluster.node(node, "cloud");
        cluster.report(node, bytes);
    }
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.nodes.remove("b");
    assert_eq!(cluster.at(1).value("cloud"), Some(1400));
    assert_eq!(cluster.at(11).value("cloud"), Some(1500), "as any larger value");
}

#[test]
fn a_node_whose_report_is_deleted_counts_with_its_last_one_until_there_is_another() {
    let mut cluster = Cluster::new();
    for (node, bytes) in [("a", 1400), ("b", 1450), ("c", 1450)] {
        cluster.node(node, "cloud");
        cluster.report(node, bytes);
    }
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.reports.remove("a");
    for minute in [1, 60, 600] {
        let pool = cluster.at(minute).pool("cloud");
        assert_eq!((pool.mtu, pool.reporting, pool.age()), (Some(mtu(1400)), 2, Age::OldReports), "{minute}");
        let last: Vec<_> = cluster.fleet.last_of(cluster.nodes.keys()).collect();
        assert_eq!(last[0], ("a".to_owned(), mtu(1400)));
    }
    cluster.report_known("a", 0, 1, 0);
    assert_eq!(cluster.at(620).value("cloud"), Some(1400), "it was made anew, without a value as yet");
    cluster.report("a", 1500);
    assert_eq!(cluster.at(630).value("cloud"), Some(1400));
    assert_eq!(cluster.at(640).value("cloud"), Some(1450));
}

#[test]
fn a_node_that_comes_back_without_its_report_counts_with_its_last_one() {
    let mut cluster = Cluster::new();
    for (node, bytes) in [("a", 1400), ("b", 1450), ("c", 1450)] {
        cluster.node(node, "cloud");
        cluster.report(node, bytes);
    }
    assert_eq!(cluster.value("cloud"), Some(1400));
    cluster.nodes.remove("a");
    cluster.reports.remove("a");
    assert_eq!(cluster.at(5).value("cloud"), Some(1400));
    cluster.node("a", "cloud");
    assert_eq!(cluster.at(30).value("cloud"), Some(1400));
    cluster.nodes.remove("a");
    cluster.at(180).fold();
    cluster.node("a", "cloud");
    assert_eq!(cluster.pool("cloud").nodes, 3);
    assert_eq!(cluster.fleet.last_of(["a".to_owned()].iter()).count(), 0, "it was away for too long");
}

#[test]
fn a_node_that_moves_lowers_its_new_pool_at_once() {
    let mut cluster = Cluster::new();
    for (node, pool, bytes) in [("a", "cloud", 1500), ("b", "metal", 1400), ("c", "metal", 1450)] {
        cluster.node(node, pool);
        cluster.report(node, bytes);
    }
    assert_eq!(cluster.value("cloud"), Some(1500));
    cluster.node("b", "cloud");
    assert_eq!((cluster.value("cloud"), cluster.value("metal")), (Some(1400), Some(1400)));
    assert_eq!(cluster.at(10).value("metal"), Some(1450));
}

#[test]
fn a_restart_neither_raises_at_once_nor_forgets() {
    let mut cluster = Cluster::new();
    let published = [("cloud", 1450), ("cloud", 1400), ("cloud", 1430), ("gone", 1300)];
    cluster.fleet.resume(cluster.start, published.map(|(pool, bytes)| (pool.to_owned(), mtu(bytes))));
    cluster.node("a", "cloud");
    cluster.report("a", 1500);
    assert_eq!(cluster.value("cloud"), Some(1400), "the smallest that was published");
    assert_eq!(cluster.value("gone"), Some(1300));
    assert_eq!(cluster.at(10).value("cloud"), Some(1500));
    assert_eq!(cluster.pool("gone").age(), Age::NoReports);
}

#[test]
fn a_pool_that_nobody_ever_told_of_has_no_value() {
    let mut cluster = Cluster::new();
    cluster.node("a", "cloud");
    let pool = cluster.pool("cloud");
    assert_eq!((pool.mtu, pool.nodes), (None, 1));
    assert_eq!(cluster.fleet.poll_timeout(), None);
}

/// Something that happens to one of a few nodes in one of two pools.
#[derive(Clone, Debug)]
enum Step {
    Node(u8, bool),
    Gone(u8),
    Report { node: u8, bytes: u32, methods: usize, searches: usize },
    Silent(u8),
    Minutes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![Just(0), 500..1600_u32, Just(1280), Just(65_535), any::<u32>()];
    let report = (0..5_u8, bytes, 0..4_usize, 0..4_usize);
    let step = prop_oneof![
        2 => (0..5_u8, any::<bool>()).prop_map(|(node, pool)| Step::Node(node, pool)),
        1 => (0..5_u8).prop_map(Step::Gone),
        4 => report.prop_map(|(node, bytes, methods, searches)| Step::Report { node, bytes, methods, searches }),
        1 => (0..5_u8).prop_map(Step::Silent),
        3 => (0..20_u64).prop_map(Step::Minutes),
    ];
    proptest::collection::vec(step, 0..60)
}

fn take(cluster: &mut Cluster, step: &Step) {
    let name = |node: u8| format!("node-{node}");
    match *step {
        Step::Node(node, pool) => cluster.node(&name(node), if pool { "cloud" } else { "metal" }),
        Step::Gone(node) => drop(cluster.nodes.remove(&name(node))),
        Step::Report { node, bytes, methods, searches } => {
            cluster.report_known(&name(node), bytes, methods, searches);
        }
        Step::Silent(node) => drop(cluster.reports.remove(&name(node))),
        Step::Minutes(count) => cluster.now += minutes(count),
    }
}

/// What the nodes of a pool carry: each under 1280 in doubt, as 1280.
fn carried(cluster: &Cluster, pool: &str) -> Vec<u32> {
    let nodes = cluster.nodes.iter().filter(|(_, of)| *of == pool).map(|(node, _)| node);
    let reports = nodes.filter_map(|node| cluster.reports.get(node));
    let believed = reports.filter_map(|report| Some((report, report.dind_mtu?.get())));
    believed
        .map(
            |(report, bytes)| {
                if report.methods >= 2 && report.searches >= 2 { bytes } else { bytes.max(1280) }
            },
        )
        .collect()
}

proptest! {
    #[test]
    fn a_pool_never_exceeds_what_a_node_of_it_carries_and_never_loses_its_value(steps in steps()) {
        let mut cluster = Cluster::new();
        let mut before: BTreeMap<String, Pool> = BTreeMap::new();
        for step in &steps {
            take(&mut cluster, step);
            let pools = cluster.fold();
            for (name, pool) in &pools {
                let carried = carried(&cluster, name);
                prop_assert_eq!(pool.reporting, carried.len());
                if let Some(mtu) = pool.mtu {
                    prop_assert!((576..=65_535).contains(&mtu.get()));
                    prop_assert!(carried.iter().all(|bytes| mtu.get() <= *bytes), "{} of {:?}", mtu, carried);
                } else {
                    prop_assert!(carried.is_empty());
                }
            }
            for (name, pool) in before.iter().filter(|(_, pool)| pool.mtu.is_some()) {
                prop_assert!(pools[name].mtu.is_some(), "{} had {:?}", name, pool.mtu);
            }
            before = pools;
        }
    }

    #[test]
    fn a_pool_rises_only_to_what_all_its_nodes_carried_all_the_while(steps in steps()) {
        let mut cluster = Cluster::new();
        let mut history = Vec::new();
        let mut before: BTreeMap<String, Pool> = BTreeMap::new();
        for step in &steps {
            take(&mut cluster, step);
            let pools = cluster.fold();
            let seen = pools.iter().map(|(name, pool)| {
                let has_quorum = pool.reporting * 2 > pool.nodes;
                (name.clone(), (carried(&cluster, name).into_iter().min(), has_quorum))
            });
            history.push((cluster.now, seen.collect::<BTreeMap<_, _>>()));
            for (name, pool) in &pools {
                let was = before.get(name).and_then(|pool| pool.mtu);
                let Some((is, was)) = pool.mtu.zip(was).filter(|(is, was)| is > was) else { continue };
                let since = cluster.now.checked_sub(RAISE_AFTER).filter(|since| *since >= cluster.start);
                prop_assert!(since.is_some(), "from {} to {} before {:?} are over", was, is, RAISE_AFTER);
                for (_, seen) in history.iter().filter(|(at, _)| *at > since.unwrap()) {
                    let (least, has_quorum) = seen[name];
                    prop_assert!(has_quorum && least.is_some_and(|least| least >= is.get()));
                }
            }
            before = pools;
        }
    }

    #[test]
    fn a_restart_publishes_nothing_larger_than_before(steps in steps(), rest in 0..60_usize) {
        let mut cluster = Cluster::new();
        for step in &steps[..rest.min(steps.len())] {
            take(&mut cluster, step);
            cluster.fold();
        }
        let before = cluster.fold();
        let mut fleet = Fleet::new(RAISE_AFTER);
        let published = before.iter().filter_map(|(name, pool)| Some((name.clone(), pool.mtu?)));
        fleet.resume(cluster.now, published);
        let after = fleet.fold(cluster.now, &cluster.nodes, |node| cluster.reports.get(node));
        let values = |pools: &BTreeMap<String, Pool>| {
            pools.iter().filter_map(|(name, pool)| Some((name.clone(), pool.mtu?))).collect::<Vec<_>>()
        };
        prop_assert_eq!(values(&before), values(&after));
    }

    #[test]
    fn the_order_of_names_does_not_matter(bytes in proptest::collection::vec(500..1600_u32, 1..8)) {
        let value = |bytes: &[u32]| {
            let mut cluster = Cluster::new();
            for (at, bytes) in bytes.iter().enumerate() {
                cluster.node(&at.to_string(), "cloud");
                cluster.report(&at.to_string(), *bytes);
            }
            cluster.value("cloud")
        };
        let turned: Vec<_> = bytes.iter().rev().copied().collect();
        prop_assert_eq!(value(&bytes), value(&turned));
    }
}
