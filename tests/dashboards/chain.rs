//! The chain of a node: what a dockerd made is measured by the safe MTU that was found out, and what is further out is
//! not. The lab asks these queries of a real Prometheus.

use mtu_agent::publish::metrics::Metrics;
use mtu_agent::publish::metrics::catalog::Values;
use promql_parser::label::{MatchOp, Matcher};
use serde_json::{Value, json};

use super::files::{dashboards, list, panels, word};
use super::promql::{read, selectors};

fn chain() -> Value {
    let (_, node) = dashboards().into_iter().find(|(name, _)| name == "node").expect("there is one");
    let panels = panels(&node);
    (*panels.iter().find(|panel| panel["title"] == "The chain, layer by layer").expect("there is one"))
        .clone()
}

fn query<'a>(chain: &'a Value, ref_id: &str) -> &'a str {
    let target = list(&chain["targets"]).iter().find(|target| target["refId"] == ref_id);
    word(&target.unwrap_or_else(|| panic!("there is a query {ref_id}"))["expr"])
}

/// The kinds of links that a query asks for, or does not.
fn kinds(query: &str) -> Vec<(bool, String)> {
    let expression = read(query).expect("it is PromQL");
    let of_kind = |it: &Matcher| {
        let is_for = matches!(it.op, MatchOp::Equal | MatchOp::Re(_));
        (it.name == "kind").then(|| (is_for, it.value.clone()))
    };
    selectors(&expression).iter().flat_map(|it| it.matchers.iter().filter_map(of_kind)).collect()
}

#[test]
fn the_bars_turn_red_above_the_safe_mtu_that_is_shown() {
    let chain = chain();
    let safe = query(&chain, "A");
    assert!(safe.starts_with("min(mtu_agent_safe_dind_mtu_bytes{"), "{safe}");

    let [transformation] = list(&chain["transformations"]) else { panic!("{}", chain["transformations"]) };
    assert_eq!(transformation["id"], "configFromData");
    let options = &transformation["options"];
    let limit = query(&chain, word(&options["configRefId"]));
    assert!(limit.contains(&format!("count_values(\"safe\", {safe})")), "{limit}");
    // A whole number is below both or above both. Older versions of Grafana put green beneath the first step, and make
    // both red; later ones put nothing there, and what is below the first step gets its colour.
    let steps = [("green_below", "$1.1", "green"), ("red_above", "$1.5", "red")];
    for (label, value, _) in steps {
        assert!(limit.contains(&format!("\"{label}\", \"{value}\", \"safe\", \"(.+)\"")), "{label}: {limit}");
    }
    let mapped = steps.map(|(label, _, color)| {
        json!({
            "fieldName": label,
            "handlerKey": "threshold1",
            "handlerArguments": {"threshold": {"color": color}},
        })
    });
    assert_eq!(list(&options["mappings"]), mapped);
    assert_eq!(chain["fieldConfig"]["overrides"], json!([]), "nothing else gives a bar its colour");
}

#[test]
fn what_is_further_out_than_any_dockerd_is_not_measured_by_it() {
    let chain = chain();
    let applied = &chain["transformations"][0]["options"]["applyTo"];
    assert_eq!(*applied, json!({"id": "byFrameRefID", "options": "C"}));
    let neutral = json!([{"color": "blue", "value": null}]);
    assert_eq!(chain["fieldConfig"]["defaults"]["thresholds"]["steps"], neutral);

    let described = Metrics::described().into_iter().find(|it| it.name == "mtu_agent_link_mtu_bytes");
    let labels = described.expect("it is registered").labels;
    let kind = labels.iter().find(|label| label.name == "kind").expect("it has one");
    let Values::Closed(all) = kind.values else { panic!("its values are known") };
    let made = |kind: &&&str| kind.starts_with("docker_") || kind.starts_with("podman_");
    let made = all.iter().filter(made).copied().collect::<Vec<_>>().join("|");
    assert_eq!(kinds(query(&chain, "B")), [(false, made.clone())]);
    assert_eq!(kinds(query(&chain, "C")), [(true, made)]);
    let wrong = "sum by (level, kind) (mtu_agent_mismatched_links{";
    assert!(query(&chain, "B").contains(&format!(" unless {wrong}")), "a wrong one is never further out");
    assert!(query(&chain, "C").contains(&format!(" and {wrong}")), "but always measured");
}
