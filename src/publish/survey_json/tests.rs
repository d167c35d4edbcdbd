use serde_json::{Value, json};

use super::*;
use crate::publish::sample::{healthy, nested_paths, paths, seed_problem};

fn parsed(survey: &Survey) -> Value {
    serde_json::from_str(&render(survey).unwrap()).unwrap()
}

#[test]
fn the_seed_problem_as_json() {
    insta::assert_snapshot!(render(&seed_problem(Vec::new())).unwrap());
}

#[test]
fn each_path_tells_what_is_known_of_it() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&parsed(&seed_problem(paths()))["paths"]).unwrap());
}

#[test]
fn what_was_found_from_inside_is_told_of_each_namespace_and_unknown_is_null() {
    let survey = seed_problem(Vec::new()).with_nested_paths(nested_paths());
    insta::assert_snapshot!(serde_json::to_string_pretty(&parsed(&survey)["nested_paths"]).unwrap());
}

#[test]
fn a_measured_path_limits_the_value() {
    let safe = parsed(&seed_problem(paths()))["safe_dind_mtu"].take();
    assert_eq!((&safe["value"], &safe["evidence"]), (&json!(1400), &json!("measured")));
    let limiter = json!({"kind": "path", "target": "example.org", "address": "203.0.113.1"});
    assert_eq!(safe["limited_by"], limiter);
}

#[test]
fn a_route_that_limits_is_named_by_its_namespace() {
    let safe = parsed(&healthy())["safe_dind_mtu"].take();
    assert_eq!(safe["limited_by"], json!({"kind": "route", "id": "nsid:0", "mtu": 1480}));
    assert_eq!((&safe["ipv4"], &safe["ipv6"]), (&json!(1500), &json!(1480)));
}

#[test]
fn unknown_is_null_and_never_zero() {
    fn zeros(value: &Value) -> usize {
        match value {
            Value::Number(number) => usize::from(number.as_f64() == Some(0.0)),
            Value::Array(values) => values.iter().map(zeros).sum(),
            Value::Object(fields) => {
                fields.iter().filter(|(name, _)| *name != "level").map(|(_, it)| zeros(it)).sum()
            }
            Value::Null | Value::Bool(_) | Value::String(_) => 0,
        }
    }
    assert_eq!(zeros(&parsed(&seed_problem(paths()))), 0);
}

#[test]
fn of_many_processes_the_oldest_are_listed() {
    let survey = parsed(&seed_problem(Vec::new()));
    assert_eq!(survey["namespaces"][0]["pids"], json!((1..=16).collect::<Vec<_>>()));
}

#[test]
fn what_was_measured_or_kept_is_read_back_and_nothing_else_is() {
    let [hole, _, silent, ..] = &paths()[..] else { panic!("there are more") };
    let kept = silent.clone().keeping(hole);
    let survey = seed_problem(paths().into_iter().chain([kept]).collect());
    let earlier = measured(render(&survey).unwrap().as_bytes()).unwrap();
    let told = |path: &Path| (path.target.clone(), path.address, path.measured());
    let expected: Vec<_> = survey.paths.iter().filter(|path| path.measured().is_some()).map(told).collect();
    assert_eq!(expected.len(), 2, "{expected:?}");
    assert_eq!(earlier.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(earlier.iter().all(|path| path.verdict().is_none() && path.path_mtu().is_none()));
}
