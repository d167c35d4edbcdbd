use std::collections::BTreeSet;

use super::*;
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::{Change, Mode, Plan};
use crate::domain::topology::sample::{Docker, Sample, machine, pod};

const POD_UID: &str = "0b6a3c9e-1f0d-4c53-9a80-6d2b6b1c7f11";

fn survey(sample: &Sample, identities: Vec<Identity>) -> Survey {
    let look = Look::sample(sample.topology().clone(), identities);
    let maximum = LinkMtu::new(65_535).unwrap();
    Survey::conclude(look, Vec::new(), maximum, "2026-01-02T03:04:05Z".parse().unwrap())
}

fn identity(id: &str, name: Option<&str>, container: Option<&str>, pod_uid: Option<&str>) -> Identity {
    Identity {
        id: id.into(),
        name: name.map(Into::into),
        container_id: container.map(|digit| digit.repeat(64)),
        pod_uid: pod_uid.map(Into::into),
        ..Identity::default()
    }
}

/// A Calico pod of 1450 with a dockerd, whose container has one too; the pod's cgroup is around all of them.
fn runner() -> (Survey, Docker, Docker) {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let level2 = Docker::start(&mut sample, pod, 1500);
    let level3 = Docker::start(&mut sample, level2.container, 1500);
    let identities = vec![
        identity("host", None, None, None),
        identity("nsid:0", Some("ci/runner-0"), Some("a"), Some(POD_UID)),
        identity("nsid:1", Some("ci/runner-0"), Some("b"), Some(POD_UID)),
        identity("nsid:2", Some("build"), Some("c"), Some(POD_UID)),
    ];
    (survey(&sample, identities), level2, level3)
}

/// Links that a plan for the selection writes.
fn links(survey: &Survey, selection: Selection) -> BTreeSet<LinkRef<NetnsIx>> {
    let chosen = choose(survey, &[selection]).expect("it is there");
    let opted_in: Vec<_> = chosen.into_iter().map(|chosen| chosen.opted_in).collect();
    let plan = Plan::new(&survey.look.topology, &opted_in, Mode::Links, &BTreeSet::new());
    let link = |change: &Change| match change {
        Change::LinkMtu { at, .. } => Some(*at),
        Change::Clamp { .. } => None,
    };
    plan.changes.iter().filter_map(link).collect()
}

fn refused(survey: &Survey, selection: Selection) -> ScopeError {
    choose(survey, &[selection]).expect_err("it allows nothing")
}

#[test]
fn a_pod_is_its_outermost_namespace_by_any_of_its_names() {
    let (survey, level2, level3) = runner();
    let nested: BTreeSet<_> = level2.links().into_iter().chain(level3.links()).collect();
    for who in ["ci/runner-0", "runner-0", POD_UID] {
        assert_eq!(links(&survey, Selection::Pod(who.into())), nested, "{who}");
    }
    let chosen = choose(&survey, &[Selection::Pod("runner-0".into())]).unwrap();
    assert_eq!(chosen[0].safe.map(|safe| safe.mtu.get()), Some(1450));
}

#[test]
fn the_end_of_the_cnis_veth_in_the_pod_is_not_written_by_whatever_name() {
    let (survey, ..) = runner();
    for selection in [Selection::Netns("nsid:0".into()), Selection::Container("a".repeat(64))] {
        let outside = [NetnsIx(1), HOST].map(|netns| {
            survey.look.topology.netns(netns).links.values().next().map(|link| (netns, link.ifindex))
        });
        let written = links(&survey, selection);
        assert_eq!(written.len(), 6);
        assert!(!written.iter().any(|at| outside.contains(&Some((at.netns, at.ifindex)))));
    }
}

#[test]
fn a_containers_own_end_of_dockers_veth_is_written_and_the_other_is_not() {
    let (survey, level2, level3) = runner();
    let dind: BTreeSet<_> = level3.links().into_iter().chain([level2.eth0]).collect();
    assert_eq!(links(&survey, Selection::Container("b".repeat(64))), dind);
    assert_eq!(links(&survey, Selection::Netns("build".into())), BTreeSet::from([level3.eth0]));
}

#[test]
fn a_container_is_no_pod_and_a_namespace_that_only_has_a_name_is_neither() {
    let (survey, ..) = runner();
    assert!(matches!(refused(&survey, Selection::Pod("build".into())), ScopeError::Who(_)));
    let mut sample = machine(1500);
    pod(&mut sample, 1450);
    let identities = vec![identity("host", None, None, None), identity("nsid:0", Some("blue"), None, None)];
    let survey = self::survey(&sample, identities);
    for selection in [Selection::Pod("blue".into()), Selection::Container("blue".into())] {
        assert!(matches!(refused(&survey, selection), ScopeError::Who(_)));
    }
}

#[test]
fn the_host_itself_and_what_no_link_connects_are_refused() {
    let mut sample = machine(1500);
    let alone = sample.nested_in(HOST);
    sample.disconnect(alone);
    let identities = vec![identity("host", None, None, None), identity("inode:9", Some("alone"), None, None)];
    let survey = survey(&sample, identities);
    assert!(matches!(refused(&survey, Selection::Netns("host".into())), ScopeError::Host { .. }));
    assert!(matches!(refused(&survey, Selection::Netns("alone".into())), ScopeError::Unconnected { .. }));
}

#[test]
fn all_docker_is_for_hosts_without_pods() {
    let (survey, ..) = runner();
    assert_eq!(
        refused(&survey, Selection::AllDocker),
        ScopeError::NotPlain { example: "ci/runner-0".into() }
    );
    let mut sample = machine(1460);
    let docker = Docker::start(&mut sample, HOST, 1500);
    let identities = || vec![identity("host", None, None, None), identity("nsid:0", None, Some("a"), None)];
    let plain = self::survey(&sample, identities());
    assert_eq!(links(&plain, Selection::AllDocker), BTreeSet::from(docker.links()));
    pod(&mut sample, 1450);
    let with_calico =
        self::survey(&sample, [identities(), vec![identity("nsid:1", None, None, None)]].concat());
    assert_eq!(refused(&with_calico, Selection::AllDocker), ScopeError::NotPlain { example: "cali1".into() });
}

#[test]
fn where_nothing_safe_can_be_told_no_link_is_written() {
    let mut sample = Sample::host();
    let (pod, [eth0, _]) = pod(&mut sample, 1450);
    Docker::start(&mut sample, pod, 1500);
    sample.routes(eth0.netns).defaults.clear();
    let identities = ["host", "nsid:0", "nsid:1"].map(|id| identity(id, None, None, None)).to_vec();
    let survey = survey(&sample, identities);
    let chosen = choose(&survey, &[Selection::Netns("nsid:0".into())]).unwrap();
    assert_eq!((chosen[0].safe, chosen[0].opted_in.links.len()), (None, 0));
}
