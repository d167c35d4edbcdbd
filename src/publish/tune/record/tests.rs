use std::os::unix::fs::PermissionsExt as _;

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
fn it_is_read_as_it_was_written_and_an_empty_one_leaves_no_file() -> Result<(), RecordError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = RecordFile::lock(directory.path())?;
    assert!(file.load()?.is_empty());
    let mut record = with(&[link(1500, 1450)]);
    record.add_clamp(RecordedClamp { netns: record.links[0].netns, called: "netns pod".into() });
    record.add_clamp(record.clamps[0].clone());
    file.store(&record)?;
    assert_eq!(file.load()?, record);
    assert_eq!(record.clamps.len(), 1);
    file.store(&Record::new())?;
    assert!(!file.path().exists());
    file.store(&Record::new())
}

#[test]
fn what_an_earlier_boot_recorded_is_about_other_links() -> Result<(), RecordError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = RecordFile::lock(directory.path())?;
    file.store(&Record { boot: "another".into(), ..with(&[link(1500, 1450)]) })?;
    assert!(file.load()?.is_empty());
    Ok(())
}

#[test]
fn a_record_that_is_none_or_not_ours_is_refused_and_stays() -> Result<(), RecordError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = RecordFile::lock(directory.path())?;
    let path = file.path();
    for (content, said) in [
        ("{", "is no record"),
        (r#"{"schema":"mtu-agent.dev/tune-record/v2","boot":"","links":[],"clamps":[]}"#, "another version"),
    ] {
        fs::write(&path, content).expect("it can be written");
        let error = file.load().expect_err("it is refused").to_string();
        assert!(error.contains(said), "{error}");
    }
    file.store(&with(&[link(1500, 1450)]))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    assert!(matches!(file.load(), Err(RecordError::Untrusted { mode: 0o666, .. })));
    assert!(path.exists());
    Ok(())
}

#[test]
fn an_mtu_of_0_is_no_record() {
    let json = serde_json::to_string(&with(&[link(1500, 1450)])).expect("it is JSON");
    assert!(serde_json::from_str::<Record>(&json).is_ok());
    assert!(serde_json::from_str::<Record>(&json.replace("1500", "0")).is_err());
}

#[test]
fn only_one_writes_links_at_a_time() -> Result<(), RecordError> {
    let directory = tempfile::tempdir().expect("a directory");
    let first = RecordFile::lock(directory.path())?;
    assert!(matches!(RecordFile::lock(directory.path()), Err(RecordError::Busy { .. })));
    drop(first);
    RecordFile::lock(directory.path()).map(drop)
}
