use super::*;
use crate::domain::link::Ifindex;
use crate::domain::mtu::LinkMtu;
use crate::publish::tune::{NetnsId, RecordedClamp, RecordedLink};

fn link(name: &str) -> RecordedLink {
    let mtu = |bytes| LinkMtu::new(bytes).unwrap();
    RecordedLink {
        netns: NetnsId { device: 4, inode: 4_026_532_281 },
        cookie: Some(4097),
        called: "netns pod".into(),
        ifindex: Ifindex::new(7).unwrap(),
        name: name.into(),
        kind: "veth".into(),
        linked: Ifindex::new(6),
        was: mtu(1500),
        written: vec![mtu(1450)],
        is_whole_pair: false,
        is_live: false,
    }
}

fn ledger() -> (tempfile::TempDir, Ledger) {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = Ledger::new(directory.path());
    (directory, ledger)
}

#[test]
fn it_is_read_as_it_was_written_by_any_process_and_an_empty_one_leaves_no_file() -> Result<(), RecordError> {
    let (directory, ledger) = ledger();
    {
        let session = ledger.session()?;
        assert!(session.load()?.is_empty());
        session.update(|record| {
            record.add_link(link("veth1"));
            let RecordedLink { netns, cookie, called, .. } = link("");
            let clamp = RecordedClamp { netns, cookie, called, is_live: true };
            record.add_clamp(clamp.clone());
            record.add_clamp(clamp);
        })?;
    }
    let other = Ledger::new(directory.path());
    {
        let session = other.session()?;
        let record = session.load()?;
        assert_eq!((record.links.len(), record.clamps.len()), (1, 1));
        session.update(|record| record.add_link(link("veth2")))?;
    }
    let session = ledger.session()?;
    assert_eq!(session.load()?.links.len(), 2, "what it knew is not true any more");
    session.update(|record| *record = Record::new())?;
    assert!(!ledger.path().exists());
    session.update(|record| *record = Record::new())
}

#[test]
fn what_an_earlier_boot_recorded_is_about_other_links() -> Result<(), RecordError> {
    let (directory, ledger) = ledger();
    ledger.session()?.update(|record| {
        record.add_link(link("veth1"));
        record.boot = "another".into();
    })?;
    assert!(Ledger::new(directory.path()).session()?.load()?.is_empty());
    Ok(())
}

#[test]
fn a_record_that_is_none_or_not_ours_is_refused_and_stays() -> Result<(), RecordError> {
    let (_directory, ledger) = ledger();
    let session = ledger.session()?;
    let path = ledger.path();
    for (content, said) in [
        ("{", "is no record"),
        (r#"{"schema":"mtu-agent.dev/tune-record/v2","boot":"","links":[],"clamps":[]}"#, "another version"),
    ] {
        fs::write(&path, content).expect("it can be written");
        let error = session.load().expect_err("it is refused").to_string();
        assert!(error.contains(said), "{error}");
        assert!(session.update(|record| record.add_link(link("veth1"))).is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), content);
    }
    fs::remove_file(&path).expect("it is ours");
    session.update(|record| record.add_link(link("veth1")))?;
    fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("it is ours");
    assert!(matches!(session.load(), Err(RecordError::Untrusted { mode: 0o666, .. })));
    assert!(path.exists());
    Ok(())
}

#[test]
fn only_one_keeps_links_right_and_the_next_waits_for_its_end() -> Result<(), RecordError> {
    let (directory, ledger) = ledger();
    let other = Ledger::new(directory.path());
    let claim = ledger.claim()?;
    assert!(matches!(other.claim(), Err(RecordError::Claimed { .. })));
    other.session().map(drop)?;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.claim_when_free().map(drop));
        drop(claim);
        waiting.join().expect("it does not panic")
    })?;
    ledger.claim().map(drop)
}

#[test]
fn parts_of_one_process_write_together_and_another_process_waits_for_all_of_them() -> Result<(), RecordError>
{
    let (directory, ledger) = ledger();
    let first = ledger.session()?;
    let second = ledger.session()?;
    drop(first);
    let other = Ledger::new(directory.path());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.session().map(drop));
        drop(second);
        waiting.join().expect("it does not panic")
    })
}

#[test]
fn a_process_that_does_not_come_to_an_end_is_waited_for_once_and_nothing_waits_on() -> Result<(), RecordError>
{
    let (directory, ledger) = ledger();
    let session = ledger.session()?;
    let mut other = Ledger::new(directory.path());
    other.patience = Duration::from_millis(1);
    assert!(matches!(other.session(), Err(RecordError::Busy { .. })));
    other.patience = Duration::MAX;
    assert!(matches!(other.session(), Err(RecordError::Busy { .. })), "or it would wait for ever");
    let lock = directory.path().join(LOCK);
    let open = fs::read_dir("/proc/self/fd").expect("it can be read").flatten();
    let open = open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|of| of == lock)).count();
    assert_eq!(open, 1, "but the one that has it");
    drop(session);
    other.session().map(drop)
}

/// Whoever has one open can hold it, with no right to write it either.
#[test]
fn nobody_else_may_open_a_lock_that_is_new_or_was_there() -> Result<(), RecordError> {
    let (directory, ledger) = ledger();
    for _ in 0..2 {
        drop((ledger.claim()?, ledger.session()?));
        for name in [LOCK, CLAIM] {
            let lock = directory.path().join(name);
            let mode = fs::metadata(&lock).expect("it is there").mode() & 0o7777;
            assert_eq!(mode, 0o600, "{name}");
            // As an earlier version made it.
            fs::set_permissions(&lock, Permissions::from_mode(0o644)).expect("it is ours");
        }
    }
    Ok(())
}

#[test]
fn what_was_answered_meanwhile_is_kept_when_the_steps_are_not_carried_out() -> Result<(), RecordError> {
    let (_directory, ledger) = ledger();
    let plan = ledger.session()?;
    let known = plan.load()?;
    let answered = link("veth1");
    let other = RecordedLink { ifindex: Ifindex::new(8).unwrap(), ..link("veth2") };
    let steps = [answered.clone(), other].map(|link| Step::Link { to: link.written[0], link });
    plan.add(|record| steps.iter().for_each(|step| record.add(step)))?;
    // By the same write: the record is as it was.
    ledger.session()?.add_links([answered.clone()])?;
    plan.restore(&known, &steps)?;
    assert_eq!(plan.load()?.links, [answered]);
    Ok(())
}
