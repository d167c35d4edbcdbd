use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "any instant will do: only differences count")]
fn origin() -> Instant {
    Instant::now()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A cluster with the pools `cloud` and `metal`.
struct World {
    values: Values,
    pools: BTreeMap<String, Pool>,
    namespaces: BTreeMap<String, SeenNamespace>,
    found: BTreeMap<String, SeenConfigMap>,
}

impl World {
    fn new(cloud: u32, metal: u32) -> Self {
        let pool = |bytes| Pool { mtu: Some(mtu(bytes)), nodes: 2, reporting: 2, ..Pool::default() };
        let pools = [("cloud", pool(cloud)), ("metal", pool(metal))];
        let mut world = Self {
            values: Values::default(),
            pools: pools.map(|(name, pool)| (name.to_owned(), pool)).into(),
            namespaces: BTreeMap::new(),
            found: BTreeMap::new(),
        };
        world.update();
        world
    }

    fn update(&mut self) {
        let pools = self.pools.iter().filter_map(|(name, pool)| Some((name.clone(), pool.mtu?)));
        self.values.pools = pools.collect();
    }

    fn label(&mut self, namespace: &str) {
        let seen = SeenNamespace { wants_config_map: true, ..SeenNamespace::default() };
        self.namespaces.insert(namespace.into(), seen);
    }

    fn state(&self) -> State<'_> {
        let Self { values, pools, namespaces, found } = self;
        State { values, pools, namespaces, found }
    }

    fn writes(&self) -> Vec<(String, Write)> {
        let state = self.state();
        let names: BTreeSet<_> = state.names().collect();
        names.into_iter().filter_map(|name| Some((name.clone(), state.write(name)?))).collect()
    }

    fn content(&self, namespace: &str) -> Content {
        render(namespace, &self.values, &self.pools).unwrap()
    }

    /// As if it had been written.
    fn apply(&mut self, namespace: &str) {
        let found = SeenConfigMap::of(self.content(namespace).applied_to(namespace));
        self.found.insert(namespace.into(), found);
    }
}

#[test]
fn it_says_the_value_of_the_namespace_those_of_all_pools_and_a_daemon_json() {
    let mut world = World::new(1450, 1400);
    world.values.namespaces.insert("ci".into(), ["cloud".to_owned()].into());
    let lines = |namespace: &str| {
        let Content { data, old_values } = world.content(namespace);
        assert_eq!(old_values, None);
        data.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    let daemon_json = "daemon.json={\"mtu\":1450,\"default-network-opts\":{\"bridge\":{\"com.docker.network.driver.mtu\":\"1450\"}}}\n";
    assert_eq!(lines("ci"), ["DIND_MTU=1450", "DIND_MTU.cloud=1450", "DIND_MTU.metal=1400", daemon_json]);
    assert_eq!(lines("other")[0], "DIND_MTU=1400", "the smallest over all");
}

#[test]
fn without_a_value_there_is_nothing_to_say() {
    let mut world = World::new(1450, 1400);
    world.values.namespaces.insert("odd".into(), ["gone".to_owned()].into());
    assert_eq!(render("odd", &world.values, &world.pools), None);
    assert_eq!(render("odd", &Values::default(), &BTreeMap::new()), None);
}

#[test]
fn it_says_which_values_are_old_and_why() {
    let mut world = World::new(1450, 1400);
    world.pools.get_mut("cloud").unwrap().old = 1;
    world.pools.get_mut("metal").unwrap().reporting = 0;
    world.pools.insert("new".into(), Pool { nodes: 3, ..Pool::default() });
    world.update();
    let old = "cloud: reports count that are older than 3 hours or gone; metal: no node reports";
    assert_eq!(world.content("ci").old_values.as_deref(), Some(old));
    let applied = world.content("ci").applied_to("ci");
    assert_eq!(applied.metadata.annotations, Some([(OLD_VALUES.to_owned(), old.to_owned())].into()));
}

#[test]
fn a_labelled_namespace_gets_what_it_lacks_and_nothing_twice() {
    let mut world = World::new(1450, 1400);
    world.label("ci");
    assert_eq!(world.writes(), [("ci".into(), Write::Apply(world.content("ci")))]);
    world.apply("ci");
    assert_eq!(world.writes(), []);
    world.pools.get_mut("metal").unwrap().mtu = Some(mtu(1500));
    world.update();
    assert_eq!(world.writes(), [("ci".into(), Write::Apply(world.content("ci")))]);
}

#[test]
fn what_somebody_edits_is_put_right_and_what_they_add_stays() {
    let mut world = World::new(1450, 1400);
    world.label("ci");
    world.apply("ci");
    let right = world.content("ci");
    world.found.get_mut("ci").unwrap().data.insert("DIND_MTU.mine".into(), "1300".into());
    assert_eq!(world.writes(), []);
    world.found.get_mut("ci").unwrap().data.insert("DIND_MTU".into(), "9000".into());
    assert_eq!(world.writes(), [("ci".into(), Write::Apply(right.clone()))]);
    world.apply("ci");
    world.found.get_mut("ci").unwrap().data.remove("daemon.json");
    assert_eq!(world.writes(), [("ci".into(), Write::Apply(right))]);
}

#[test]
fn what_is_ours_goes_with_the_label_and_only_that_very_one() {
    let mut world = World::new(1450, 1400);
    world.apply("ci");
    let found = world.found.get_mut("ci").unwrap();
    (found.uid, found.resource_version) = (Some("uid".into()), Some("7".into()));
    let delete = Write::Delete { uid: Some("uid".into()), resource_version: Some("7".into()) };
    assert_eq!(world.writes(), [("ci".into(), delete)]);
}

#[test]
fn what_is_somebody_elses_is_left_alone_and_counted() {
    let mut world = World::new(1450, 1400);
    world.found.insert("ci".into(), SeenConfigMap::default());
    assert_eq!((world.writes(), world.state().foreign().len()), (Vec::new(), 0));
    world.label("ci");
    assert_eq!((world.writes(), world.state().foreign()), (Vec::new(), ["ci".to_owned()].into()));
}

#[test]
fn nothing_is_written_where_nothing_can_be_or_no_pool_has_a_value() {
    let mut world = World::new(1450, 1400);
    world.label("ending");
    world.namespaces.get_mut("ending").unwrap().is_ending = true;
    world.label("odd");
    world.values.namespaces.insert("odd".into(), ["gone".to_owned()].into());
    assert_eq!(world.writes(), []);
    let found = SeenConfigMap { is_ours: true, ..SeenConfigMap::default() };
    world.found = [("odd".to_owned(), found.clone()), ("ending".to_owned(), found)].into();
    assert_eq!(world.writes(), [], "what is there stays");
}

#[test]
fn a_run_goes_on_from_what_the_one_before_kept_and_not_from_what_others_may_write() {
    let found = |said: &[(&str, &str)]| {
        let data = said.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        SeenConfigMap { is_ours: true, data: data.collect(), ..SeenConfigMap::default() }
    };
    let nodes = [("node-1".to_owned(), "cloud".to_owned())].into();
    let tenants = [("DIND_MTU.cloud", "1400"), ("DIND_MTU.zz", "576")];
    let mut all = BTreeMap::from([("ci".to_owned(), found(&tenants))]);
    let published = |all: &BTreeMap<_, _>| published("own", all, &nodes);
    assert_eq!(published(&all), [("cloud".to_owned(), mtu(1400))], "none is kept yet");
    let foreign = SeenConfigMap { is_ours: false, ..found(&[("DIND_MTU.cloud", "9000")]) };
    all.insert("own".into(), foreign);
    assert_eq!(published(&all), [("cloud".to_owned(), mtu(1400))]);
    all.insert("own".into(), found(&[("DIND_MTU.cloud", "1450"), ("DIND_MTU.empty", "1300")]));
    let kept = [("cloud".to_owned(), mtu(1450)), ("empty".to_owned(), mtu(1300))];
    assert_eq!(published(&all), kept);
}

/// One that was told that all may have to say something else.
fn debounce(world: &World) -> Debounce {
    let mut debounce = Debounce::new(WINDOW);
    debounce.changed(&world.state());
    debounce
}

#[test]
fn each_is_written_at_once_and_then_once_a_window() {
    let (mut world, start) = (World::new(1450, 1400), origin());
    world.label("ci");
    let mut debounce = debounce(&world);
    let rests = Due { writes: Vec::new(), next: Some(start + WINDOW) };
    let first = debounce.due(start, &world.state());
    assert_eq!((first.writes.len(), first.next), (1, rests.next));
    assert_eq!(debounce.due(start + seconds(1), &world.state()), rests, "it is under way");
    debounce.done("ci");
    world.apply("ci");
    assert_eq!(debounce.due(start + seconds(2), &world.state()), rests, "it says what it should");
    for (second, cloud) in [(3, 1440), (5, 1430), (9, 1420)] {
        world.pools.get_mut("cloud").unwrap().mtu = Some(mtu(cloud));
        world.update();
        debounce.changed(&world.state());
        assert_eq!(debounce.due(start + seconds(second), &world.state()), rests);
    }
    let second = debounce.due(start + WINDOW, &world.state());
    assert_eq!(second.writes, [("ci".into(), Write::Apply(world.content("ci")))], "the last state, once");
    debounce.done("ci");
    world.apply("ci");
    assert_eq!(debounce.due(start + WINDOW * 2, &world.state()), Due::default(), "nothing is to come");
}

#[test]
fn one_namespace_does_not_wait_for_another() {
    let (mut world, start) = (World::new(1450, 1400), origin());
    world.label("a");
    let mut debounce = debounce(&world);
    assert_eq!(debounce.due(start, &world.state()).writes.len(), 1);
    world.label("b");
    debounce.changed(&world.state());
    let due = debounce.due(start + seconds(1), &world.state());
    assert_eq!(due.writes.iter().map(|(namespace, _)| namespace.as_str()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_few_are_under_way_at_once_and_the_others_follow_each_looked_at_once() {
    let (mut world, start) = (World::new(1450, 1400), origin());
    for namespace in 0..10 {
        world.label(&namespace.to_string());
    }
    let mut debounce = debounce(&world);
    let mut written = Vec::new();
    while written.len() < 10 {
        let due = debounce.due(start, &world.state());
        assert!((1..=MOST_AT_ONCE).contains(&due.writes.len()));
        assert_eq!(debounce.open.len(), 10 - written.len() - due.writes.len(), "no more than can be written");
        for (namespace, _) in due.writes {
            debounce.done(&namespace);
            world.apply(&namespace);
            written.push(namespace);
        }
    }
    assert_eq!(debounce.due(start, &world.state()).writes, []);
    debounce.due(start + WINDOW, &world.state());
    assert!(debounce.open.is_empty(), "all say what they should");
}

#[test]
fn one_that_is_under_way_for_longer_than_a_window_is_looked_at_when_it_ends() {
    let (mut world, start) = (World::new(1450, 1400), origin());
    world.label("ci");
    let mut debounce = debounce(&world);
    assert_eq!(debounce.due(start, &world.state()).writes.len(), 1);
    assert_eq!(debounce.due(start + WINDOW, &world.state()), Due::default());
    debounce.done("ci");
    assert_eq!(debounce.due(start + WINDOW, &world.state()).writes.len(), 1);
}

#[test]
fn one_that_failed_is_tried_again_in_the_next_window() {
    let (mut world, start) = (World::new(1450, 1400), origin());
    world.label("ci");
    let mut debounce = debounce(&world);
    assert_eq!(debounce.due(start, &world.state()).writes.len(), 1);
    debounce.done("ci");
    assert_eq!(debounce.due(start + seconds(1), &world.state()).next, Some(start + WINDOW));
    assert_eq!(debounce.due(start + WINDOW, &world.state()).writes.len(), 1);
}
