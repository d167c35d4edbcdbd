use super::*;

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

fn link(was: u32, written: u32) -> RecordedLink {
    RecordedLink {
        netns: NetnsId { device: 4, inode: 4_026_532_281 },
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
fn an_mtu_of_0_is_no_record() {
    let json = serde_json::to_string(&with(&[link(1500, 1450)])).expect("it is JSON");
    assert!(serde_json::from_str::<Record>(&json).is_ok());
    assert!(serde_json::from_str::<Record>(&json.replace("1500", "0")).is_err());
}
