use super::*;

const DIND: &str = "4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c";
const BUILD: &str = "4f3caa1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c4f3c2f1e8a7d6b5c";
const POD_UID: &str = "0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11";

const POD: NetnsIx = NetnsIx(1);
const CONTAINER: NetnsIx = NetnsIx(2);
const OTHER_CONTAINER: NetnsIx = NetnsIx(3);
const PINNED: NetnsIx = NetnsIx(4);

/// The host, a pod, two containers and a namespace that a file pins.
fn identities() -> Vec<Identity> {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    vec![
        Identity { id: "host".into(), inode: Some(4_026_531_840), pids: vec![1, 700], ..Identity::default() },
        Identity {
            id: "nsid:0".into(),
            inode: Some(4_026_532_281),
            name: Some("ci/runner-0".into()),
            pids: vec![4711],
            container_id: Some("f".repeat(64)),
            pod_uid: Some(POD_UID.into()),
            ..Identity::default()
        },
        Identity {
            id: "nsid:1".into(),
            name: Some("dind".into()),
            pids: vec![4800, 4801],
            container_id: Some(DIND.into()),
            pinned: strings(&["5e2a"]),
            ..Identity::default()
        },
        Identity {
            id: "nsid:2".into(),
            name: Some("build".into()),
            container_id: Some(BUILD.into()),
            ..Identity::default()
        },
        Identity {
            id: "inode:4026532999".into(),
            inode: Some(4_026_532_999),
            name: Some("blue".into()),
            pinned: strings(&["blue", "alias"]),
            ..Identity::default()
        },
    ]
}

fn found(who: &str) -> Result<NetnsIx, WhoError> {
    find(&identities(), who)
}

#[test]
fn a_number_is_a_pid() {
    assert_eq!(found("1"), Ok(NetnsIx(0)));
    assert_eq!(found("4801"), Ok(CONTAINER));
    assert_eq!(found("99999"), Err(WhoError::UnknownPid { pid: 99_999 }));
}

#[test]
fn an_id_of_the_survey_is_itself() {
    assert_eq!(found("host"), Ok(NetnsIx(0)));
    assert_eq!(found("nsid:2"), Ok(OTHER_CONTAINER));
    assert_eq!(found("inode:4026532999"), Ok(PINNED));
}

#[test]
fn an_inode_is_a_namespace_that_has_another_id_too() {
    assert_eq!(found("inode:4026532281"), Ok(POD));
    assert_eq!(found("net:[4026532281]"), Ok(POD));
}

#[test]
fn a_pinned_namespace_goes_by_each_of_its_files_and_by_their_paths() {
    for who in ["blue", "alias", "/run/netns/blue", "/var/run/netns/alias"] {
        assert_eq!(found(who), Ok(PINNED), "{who}");
    }
    assert_eq!(found("/run/docker/netns/5e2a"), Ok(CONTAINER));
}

#[test]
fn a_container_goes_by_its_name_its_id_and_the_beginning_of_its_id() {
    for who in ["dind", DIND, &DIND[..12], &DIND[..5]] {
        assert_eq!(found(who), Ok(CONTAINER), "{who}");
    }
}

#[test]
fn three_digits_are_too_few_for_a_container() {
    assert_eq!(found(&DIND[..3]), Err(WhoError::Unknown { who: "4f3".into() }));
}

#[test]
fn a_pod_goes_by_its_name_with_and_without_its_namespace_and_by_its_uid() {
    for who in ["ci/runner-0", "runner-0", POD_UID] {
        assert_eq!(found(who), Ok(POD), "{who}");
    }
}

#[test]
fn only_a_pods_name_may_be_shortened() {
    let mut identities = identities();
    identities[2].name = Some("compose/dind".into());
    assert_eq!(find(&identities, "dind"), Err(WhoError::Unknown { who: "dind".into() }));
}

#[test]
fn what_may_be_two_is_told_with_the_ids_of_both() {
    let error = found("4f3c").unwrap_err();
    assert_eq!(
        error,
        WhoError::Ambiguous { who: "4f3c".into(), ids: vec!["nsid:1".into(), "nsid:2".into()] }
    );
    assert_eq!(error.to_string(), r#""4f3c" may be nsid:1 or nsid:2: give one of these ids"#);
}

#[test]
fn an_exact_name_wins_over_the_beginning_of_an_id() {
    let mut identities = identities();
    identities[4].name = Some("4f3c".into());
    assert_eq!(find(&identities, "4f3c"), Ok(PINNED));
}

#[test]
fn nobody_is_an_error_that_says_what_to_give() {
    let error = found("nobody").unwrap_err();
    assert!(error.to_string().starts_with(r#"nobody here is called "nobody": give a pid"#), "{error}");
}
