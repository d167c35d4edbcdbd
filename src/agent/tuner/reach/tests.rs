use super::*;
use crate::discovery::identity::Identity;
use crate::discovery::scope::opted_in_pods;
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::{Mode, Plan};
use crate::domain::scope::OptedIn;
use crate::domain::topology::HOST;
use crate::domain::topology::sample::{Docker, machine, mtu, pod};

const PODS: [NetnsIx; 2] = [NetnsIx(1), NetnsIx(3)];
const INSIDE: [NetnsIx; 2] = [NetnsIx(2), NetnsIx(4)];

/// Two pods, each with a dockerd and a container, of which these uids were told.
fn survey(told: [Option<&str>; 2]) -> Survey {
    let mut sample = machine(1500);
    for netns in PODS {
        let (pod, _) = pod(&mut sample, 1450);
        assert_eq!(pod, netns);
        Docker::start(&mut sample, pod, 1500);
    }
    let of = |uid: Option<&str>| Identity { pod_uid: uid.map(Into::into), ..Identity::default() };
    // What is nested in a pod is in its cgroup.
    let identities = vec![of(None), of(told[0]), of(told[0]), of(told[1]), of(told[1])];
    let look = Look::sample(sample.topology().clone(), identities);
    Survey::conclude(look, Vec::new(), LinkMtu::LARGEST_USEFUL, "2026-01-02T03:04:05Z".parse().unwrap())
}

fn out(told: [Option<&str>; 2], asked: &[(&str, Permission)], at_least: Permission) -> BTreeSet<NetnsIx> {
    out_of(told, asked, at_least, true)
}

fn out_of(
    told: [Option<&str>; 2],
    asked: &[(&str, Permission)],
    at_least: Permission,
    is_known: bool,
) -> BTreeSet<NetnsIx> {
    let survey = survey(told);
    let pods = asked.iter().map(|(uid, asked)| ((*uid).to_owned(), *asked)).collect();
    let opt_ins = OptIns { pods, is_known };
    let chosen = opted_in_pods(&survey, &opt_ins, LinkMtu::LARGEST_USEFUL);
    nobodys(&survey.look, &chosen, &opt_ins, at_least).collect()
}

#[test]
fn a_pod_that_is_known_not_to_ask_is_out_of_reach_with_all_that_is_in_it() {
    let told = [Some("a"), Some("b")];
    let links = [("a", Permission::Links), ("b", Permission::Clamp)];
    assert_eq!(out(told, &links, Permission::Links), [HOST, PODS[1], INSIDE[1]].into());
    assert_eq!(out(told, &links, Permission::Clamp), [HOST].into());
}

#[test]
fn a_pod_that_is_not_told_may_be_one_that_asks_and_was_not_found() {
    let asked = [("a", Permission::Links)];
    assert_eq!(out([None, Some("b")], &asked, Permission::Links), [HOST, PODS[1], INSIDE[1]].into());
    assert_eq!(out([None, None], &asked, Permission::Clamp), [HOST].into());
}

#[test]
fn where_all_who_ask_were_found_what_is_not_told_is_none_of_them() {
    let others = BTreeSet::from([HOST, PODS[1], INSIDE[1]]);
    assert_eq!(out([Some("a"), None], &[("a", Permission::Links)], Permission::Links), others);
    let asks_less = [("a", Permission::Links), ("b", Permission::Clamp)];
    assert_eq!(out([Some("a"), None], &asks_less, Permission::Links), others);
    assert_eq!(out([None, None], &[], Permission::Clamp).len(), 5, "as on a plain docker host");
}

#[test]
fn while_not_all_who_ask_are_known_a_pod_is_out_of_reach_by_its_own_word_alone() {
    let (links, clamp) = (("a", Permission::Links), ("b", Permission::Clamp));
    for (told, asked, expected) in [
        ([Some("a"), Some("b")], &[clamp][..], &[PODS[1], INSIDE[1]][..]),
        ([Some("a"), Some("b")], &[clamp, links], &[PODS[1], INSIDE[1]]),
        ([Some("a"), None], &[clamp], &[]),
        ([None, None], &[], &[]),
    ] {
        let out = out_of(told, asked, Permission::Links, false);
        assert_eq!(out, expected.iter().copied().collect(), "{told:?} {asked:?}");
    }
}

/// A pod of 1450 with a dockerd in a container of a dockerd, all of 1500.
fn nested() -> (Topology, [Docker; 2]) {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let outer = Docker::start(&mut sample, pod, 1500);
    let inner = Docker::start(&mut sample, outer.container, 1500);
    (sample.topology().clone(), [outer, inner])
}

#[test]
fn what_cannot_be_entered_is_left_with_the_links_that_lead_there_and_nothing_else_is() {
    let (topology, [outer, inner]) = nested();
    let opted_in = OptedIn::nested_in(&topology, NetnsIx(1), None, None);
    let plan = Plan::new(&topology, &[opted_in], Mode::Both, &BTreeSet::new());
    let links = |changes: &[Change]| -> Vec<_> {
        let at = |change: &Change| match change {
            Change::LinkMtu { at, .. } => Some(*at),
            Change::Clamp { .. } => None,
        };
        changes.iter().filter_map(at).collect()
    };
    assert_eq!(within_reach(&topology, &plan.changes, &BTreeSet::new()), (plan.changes.clone(), vec![]));

    let (possible, left) = within_reach(&topology, &plan.changes, &[outer.container].into());
    let expected = BTreeSet::from([inner.eth0, outer.bridge]);
    assert_eq!(links(&possible).into_iter().collect::<BTreeSet<_>>(), expected, "inner ones may be smaller");
    assert!(possible.contains(&Change::Clamp { netns: NetnsIx(1) }));
    assert!(links(&left).contains(&outer.outer) && possible.len() + left.len() == plan.changes.len());
    let order = |change: &Change| plan.changes.iter().position(|it| it == change);
    assert!(possible.is_sorted_by_key(order));

    let (possible, left) = within_reach(&topology, &plan.changes, &[NetnsIx(1)].into());
    assert!(!possible.is_empty() && left.iter().all(|change| change.netns() == NetnsIx(1)), "{left:?}");
}

#[test]
fn guards_leave_alone_what_leads_to_larger_links_out_of_reach() {
    let (topology, [outer, _]) = nested();
    let apart = |bytes, without_door: &[NetnsIx]| {
        apart(&topology, NetnsIx(1), mtu(bytes), &without_door.iter().copied().collect())
    };
    assert_eq!(apart(1450, &[outer.container]), [outer.outer.ifindex].into());
    assert_eq!(apart(1500, &[outer.container]), [].into(), "it is not larger");
    assert_eq!(apart(1450, &[HOST, NetnsIx(1), NetnsIx(3)]), [].into());
}
