//! Dashboards and alerts ask for metrics that there are, by labels and values that those have; and what nobody looks
//! at is said to be so.

use std::collections::{BTreeMap, BTreeSet};

use mtu_agent::publish::metrics::Metrics;
use mtu_agent::publish::metrics::catalog::{Described, Values};
use mtu_agent::publish::metrics::controller::ControllerMetrics;
use mtu_agent::webhook::WebhookMetrics;
use promql_parser::label::MatchOp;

use super::files::{alerts, dashboards, list, rules_file, targets, text, word};
use super::promql::{Selector, grouping, read, selectors};

/// Given by Prometheus and its configuration (docs/monitoring.md).
const OF_THE_SCRAPE: [&str; 3] = ["job", "instance", "node"];
/// Made up in an expression, by `label_replace` or `count_values`, or the bound of a bucket.
const OF_EXPRESSIONS: [&str; 3] = ["object", "mtu", "le"];

/// What others count, and its labels. The API server's is in
/// <https://kubernetes.io/docs/reference/instrumentation/metrics/>.
const OF_OTHERS: [(&str, [&str; 2]); 1] = [("apiserver_admission_webhook_fail_open_count", ["name", "type"])];

/// Labels of each sample, with the values that they may have; `None`: any.
type Samples = BTreeMap<String, BTreeMap<&'static str, Option<&'static [&'static str]>>>;

fn described() -> Vec<Described> {
    [Metrics::described(), ControllerMetrics::described(), WebhookMetrics::described()].concat()
}

fn samples() -> Samples {
    let mut samples = Samples::new();
    samples.insert("up".into(), BTreeMap::new());
    let of_others = OF_OTHERS.map(|(name, labels)| (name.to_owned(), labels.map(|it| (it, None)).into()));
    samples.extend(of_others);
    for metric in described() {
        let values = |values| match values {
            Values::Closed(values) => Some(values),
            Values::Few(_) => None,
        };
        let labels: BTreeMap<_, _> = metric.labels.iter().map(|it| (it.name, values(it.values))).collect();
        let ends: &[&str] = if metric.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        for end in ends {
            samples.insert(format!("{}{end}", metric.name), labels.clone());
        }
    }
    samples
}

/// Every expression with its place, and what of its labels is shown.
fn asked() -> Vec<(String, String, String)> {
    let mut asked = Vec::new();
    for (name, dashboard) in dashboards() {
        for (place, target) in targets(&name, &dashboard) {
            let legend = [&target["legendFormat"], &target["titleFormat"]].map(word).concat();
            asked.push((place, word(&target["expr"]).to_owned(), legend));
        }
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
            let (expression, label) = variable_query(word(&variable["query"]));
            asked.push((
                format!("{name}: variable {}", variable["name"]),
                expression,
                format!("{{{{{label}}}}}"),
            ));
        }
    }
    for alert in alerts(&rules_file()) {
        let description = word(&alert["annotations"]["description"]).replace("$labels.", "");
        asked.push((word(&alert["alert"]).to_owned(), word(&alert["expr"]).to_owned(), description));
    }
    asked
}

fn variable_query(query: &str) -> (String, String) {
    let argument = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let (expression, label) =
        argument.and_then(|it| it.rsplit_once(", ")).expect("label_values(expression, label)");
    (expression.to_owned(), label.to_owned())
}

/// What is in `{{…}}`, if it is a label.
fn shown(legend: &str) -> impl Iterator<Item = &str> {
    let inside = legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim);
    inside.filter(|it| {
        it.chars().all(|char| char.is_ascii_lowercase() || char == '_') && !["else", "end"].contains(it)
    })
}

fn unknown_values(selector: &Selector, labels: &BTreeMap<&str, Option<&[&str]>>) -> Vec<String> {
    let mut unknown = Vec::new();
    for matcher in &selector.matchers {
        let name = matcher.name.as_str();
        if OF_THE_SCRAPE.contains(&name) {
            continue;
        }
        let Some(values) = labels.get(name) else {
            unknown.push(format!("no label {name}"));
            continue;
        };
        let asked: Vec<_> = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => vec![matcher.value.as_str()],
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
        };
        let is_known = |value: &str| values.is_none_or(|values| values.contains(&value));
        unknown.extend(asked.into_iter().filter(|it| !is_known(it)).map(|it| format!("no {name} {it}")));
    }
    unknown
}

#[test]
fn every_metric_label_and_value_that_is_asked_for_is_one_that_there_is() {
    let samples = samples();
    for (place, expression, legend) in asked() {
        let parsed = read(&expression).unwrap_or_else(|error| panic!("{place}: {error}: {expression}"));
        let mut labels: BTreeSet<_> = OF_THE_SCRAPE.into_iter().chain(OF_EXPRESSIONS).collect();
        for selector in selectors(&parsed) {
            assert!(!selector.names.is_empty(), "{place} names its metrics");
            for name in &selector.names {
                let known =
                    samples.get(name).unwrap_or_else(|| panic!("{place}: no metric is called {name}"));
                assert_eq!(unknown_values(&selector, known), [""; 0], "{place}: {name}");
                labels.extend(known.keys().copied());
            }
        }
        let grouped = grouping(&expression);
        let used = grouped.iter().map(String::as_str).chain(shown(&legend));
        let unknown: Vec<_> = used.filter(|label| !labels.contains(label)).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?} is no label of any of its metrics");
    }
}

#[test]
fn every_metric_is_looked_at_or_said_not_to_be() {
    let mut used = BTreeSet::new();
    for (_, expression, _) in asked() {
        let parsed = read(&expression).expect("the other test says why not");
        used.extend(selectors(&parsed).into_iter().flat_map(|it| it.names));
    }
    let page = text("docs/monitoring.md");
    let (_, aside) = page.split_once("## Not on a dashboard").expect("the page has this section");
    for metric in described() {
        let is_used = ["", "_bucket", "_sum", "_count"]
            .iter()
            .any(|end| used.contains(&format!("{}{end}", metric.name)));
        let is_aside = aside.contains(&format!("`{}`", metric.name));
        assert!(
            is_used != is_aside,
            "{} is looked at: {is_used}; docs/monitoring.md says it is not: {is_aside}",
            metric.name
        );
    }
}
