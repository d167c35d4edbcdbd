use std::collections::BTreeSet;
use std::io;

use super::*;
use crate::discovery::scope::{Selection, choose};
use crate::domain::mtu::LinkMtu;
use crate::domain::plan::{Mode, Withheld};
use crate::publish::sample::seed_problem;
use crate::publish::tune::{RevertError, StepError};
use crate::publish::tune_json;

fn with_plan<T>(mode: Mode, shown: impl FnOnce(&Planned<'_>) -> T) -> T {
    let survey = seed_problem(Vec::new());
    let chosen = choose(&survey, &[Selection::Pod("ci/runner-0".into())]).expect("it is there");
    let opted_in: Vec<_> = chosen.iter().map(|chosen| chosen.opted_in.clone()).collect();
    let plan = Plan::new(&survey.look.topology, &opted_in, mode, &BTreeSet::new());
    shown(&Planned { survey: &survey, chosen: &chosen, plan: &plan, notes: &[], applied: false })
}

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).unwrap()
}

fn outcomes() -> Vec<Reverted> {
    let refused = io::Error::from(io::ErrorKind::PermissionDenied);
    let refused = StepError::Netns(crate::kernel::netns::NetnsError::Thread(refused));
    let outcomes: [Result<Done, RevertError>; 6] = [
        Ok(Done::Written),
        Ok(Done::WasSo),
        Ok(Done::Gone),
        Ok(Done::ChangedSince { now: mtu(1400) }),
        Err(refused.into()),
        Err(RevertError::NoDoor),
    ];
    let link = |(position, outcome)| Reverted {
        called: "container build".into(),
        link: Some((format!("veth{position}"), mtu(1500))),
        outcome,
    };
    let mut reverted: Vec<_> = outcomes.into_iter().enumerate().map(link).collect();
    reverted.push(Reverted { called: "pod ci/runner-0".into(), link: None, outcome: Ok(Done::Written) });
    reverted
}

#[test]
fn the_plan_is_a_table_and_a_diff() {
    insta::assert_snapshot!(with_plan(Mode::Both, |planned| plan(planned, Paint::PLAIN)));
}

#[test]
fn the_plan_as_json() {
    insta::assert_snapshot!(with_plan(Mode::Both, tune_json::plan).expect("it is JSON"));
}

#[test]
fn what_was_taken_back_says_what_was_not_and_why() {
    insta::assert_snapshot!(reverted(&outcomes(), Paint::PLAIN));
}

#[test]
fn what_was_taken_back_as_json() {
    insta::assert_snapshot!(tune_json::reverted(&outcomes()).expect("it is JSON"));
}

#[test]
fn nothing_to_change_is_one_line_and_links_that_are_withheld_are_told() {
    let text = with_plan(Mode::Links, |planned| {
        let Some(Change::LinkMtu { at, from, .. }) = planned.plan.changes.first() else { panic!("a link") };
        let withheld = vec![Withheld { at: *at, mtu: *from, should_be: mtu(1200) }];
        let plan = Plan { changes: Vec::new(), withheld };
        super::plan(&Planned { plan: &plan, ..*planned }, Paint::PLAIN)
    });
    assert!(text.contains("nothing to change\n"), "{text}");
    assert!(text.contains("stays at 1500: it should be 1200, but under 1280"), "{text}");
    assert!(!text.contains("--apply"), "{text}");
}

#[test]
fn an_applied_plan_says_how_to_take_it_back() {
    let text = with_plan(Mode::Clamp, |planned| {
        plan(&Planned { applied: true, notes: &["noted".to_owned()], ..*planned }, Paint::PLAIN)
    });
    assert!(text.contains("changed 1 thing, in this order"), "{text}");
    assert!(text.contains("noted\ndone, and read back; `mtu-agent tune --revert` takes it back"), "{text}");
}
