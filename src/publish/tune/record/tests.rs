use proptest::prelude::*;

use super::*;

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

fn link(was: u32, written: u32) -> RecordedLink {
    RecordedLink {
        netns: NetnsId { device: 4, inode: 4_026_532_281 },
        cookie: Some(4097),
        called: "netns pod".into(),
        ifindex: Ifindex::new(7).unwrap(),
        name: "veth1".into(),
        kind: "veth".into(),
        linked: Ifindex::new(6),
        was: mtu(was),
        written: vec![mtu(written)],
        is_whole_pair: false,
        is_live: false,
    }
}

fn with(links: &[RecordedLink]) -> Record {
    let mut record = Record::new();
    for link in links {
        record.add_link(link.clone());
    }
    record
}

#[test]
fn of_a_link_that_is_written_again_the_first_value_stays_and_both_written_are_known() {
    let record = with(&[link(1500, 1450), link(1450, 1400)]);
    assert_eq!(record.links.len(), 1);
    assert_eq!((record.links[0].was, &record.links[0].written), (mtu(1500), &vec![mtu(1400), mtu(1450)]));
}

#[test]
fn another_link_that_got_the_same_index_or_the_same_inode_is_not_taken_for_it() {
    let first = link(1500, 1450);
    let others = [
        RecordedLink { name: "veth2".into(), ..first.clone() },
        RecordedLink { kind: "bridge".into(), ..first.clone() },
        RecordedLink { linked: Ifindex::new(8), ..first.clone() },
        RecordedLink { ifindex: Ifindex::new(9).unwrap(), ..first.clone() },
        RecordedLink { netns: NetnsId { device: 4, inode: 1 }, ..first.clone() },
        RecordedLink { netns: NetnsId { device: 5, ..first.netns }, ..first.clone() },
    ];
    let record = with(&[&[first][..], &others].concat());
    assert_eq!(record.links.len(), 7);
}

#[test]
fn of_a_link_that_somebody_set_since_it_was_written_that_value_is_given_back() {
    let record = with(&[link(1500, 1450), link(1400, 1300)]);
    assert_eq!(record.links, [link(1400, 1300)], "and 1450 is not ours any more");
}

#[test]
fn of_a_link_that_was_raised_by_what_was_written_that_is_corrected() {
    let corrected = RecordedLink { was: mtu(1300), ..link(1450, 1450) };
    let record = with(&[link(1500, 1450), corrected.clone()]);
    assert_eq!(record.links, std::slice::from_ref(&corrected));
    assert!(corrected.is_ours(mtu(1450)) && !corrected.is_ours(mtu(1300)));
    let ours = RecordedLink { written: vec![mtu(1300), mtu(1450)], ..link(1500, 1450) };
    assert_eq!(with(&[ours.clone(), corrected]).links, [ours], "a plan had lowered it, nobody else");
}

#[test]
fn what_an_ended_namespace_left_is_not_merged_with_what_another_of_its_inode_has() {
    let ended = link(1500, 1450);
    let next = RecordedLink { cookie: Some(4098), is_live: true, ..link(1450, 1400) };
    assert_eq!(with(&[ended.clone(), next.clone()]).links, [next]);
    // Whoever recorded it, or its kernel, did not know cookies: it is taken for the same.
    let unknown = RecordedLink { cookie: None, ..ended.clone() };
    let record = with(&[unknown, link(1450, 1400)]);
    assert_eq!((record.links[0].was, record.links[0].cookie), (mtu(1500), ended.cookie));

    let clamp =
        |cookie, is_live| RecordedClamp { netns: ended.netns, cookie, called: ended.called.clone(), is_live };
    let (by_hand, live) = (clamp(Some(4097), false), clamp(Some(4098), true));
    let mut record = Record::new();
    record.add_clamp(by_hand);
    record.add_clamp(live.clone());
    assert_eq!(record.clamps, std::slice::from_ref(&live));
    record.add_clamp(RecordedClamp { is_live: false, ..live.clone() });
    assert!(!record.clamps[0].is_live, "somebody wants it by hand, too");
}

#[test]
fn what_steps_are_about_is_as_it_was_known_and_where_it_was() {
    let named = |name: &str, was| RecordedLink { name: name.into(), ..link(was, 1400) };
    let known = with(&[named("a", 1500), named("b", 1500), named("c", 1500)]);
    let step = |link| Step::Link { link, to: mtu(1300) };
    let steps = [step(named("b", 1480)), step(named("new", 1500)), step(named("a", 1400))];
    let mut record = known.clone();
    for step in &steps {
        record.add(step);
    }
    assert_ne!(record, known);
    record.restore(&known, &steps.each_ref());
    assert_eq!(record, known);
}

#[test]
fn what_was_seen_from_two_pid_namespaces_is_seen_from_the_first_of_all_alone() {
    let mut record = Record { pid_namespace: Some(7), ..Record::new() };
    record.seen_from(Some(7));
    assert_eq!(record.pid_namespace, Some(7));
    record.seen_from(Some(8));
    assert_eq!(record.pid_namespace, Some(INITIAL_PID_NAMESPACE));
}

#[test]
fn an_mtu_of_0_is_no_record() {
    let json = serde_json::to_string(&with(&[link(1500, 1450)])).expect("it is JSON");
    assert!(serde_json::from_str::<Record>(&json).is_ok());
    assert!(serde_json::from_str::<Record>(&json.replace("1500", "0")).is_err());
}

proptest! {
    #[test]
    fn what_is_given_back_is_what_others_gave_last(
        others in any::<u8>(),
        turns in proptest::collection::vec((any::<bool>(), any::<u8>()), 0..20),
    ) {
        // So that it can be told whose they are.
        let (theirs, ours) = (|it: u8| mtu(1000 + 2 * u32::from(it)), |it: u8| mtu(1001 + 2 * u32::from(it)));
        let mut record = Record::new();
        let (mut now, mut wanted) = (theirs(others), theirs(others));
        for (is_ours, it) in turns {
            if !is_ours {
                (now, wanted) = (theirs(it), theirs(it));
            } else if now > ours(it) {
                record.add_link(RecordedLink { was: now, ..link(1500, ours(it).get()) });
                now = ours(it);
            }
        }
        let given_back = record.links.first().filter(|it| it.is_ours(now)).map_or(now, |it| it.was);
        prop_assert_eq!(given_back, wanted);
        prop_assert!(record.links.len() <= 1);
    }
}
