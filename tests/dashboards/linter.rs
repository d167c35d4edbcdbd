//! The rules of Grafana's dashboard-linter, all of them and without an exclusion: <https://github.com/grafana/dashboard-linter>.
//!
//! Where that looks at some types of panels only, this looks at all.

use serde_json::{Value, json};

use super::files::{dashboards, list, panels, word};
use super::promql::{Selector, read, selectors};

/// What a rule has to say against a dashboard.
type Rule = fn(&Value) -> Vec<String>;

const RULES: [(&str, Rule); 17] = [
    ("template-datasource-rule", data_source_variable),
    ("template-job-rule", |dashboard| scrape_variable(dashboard, "job", "Job")),
    ("template-instance-rule", |dashboard| scrape_variable(dashboard, "instance", "Instance")),
    ("template-label-promql-rule", variable_queries),
    ("template-on-time-change-reload", variables_that_are_not_refreshed),
    ("panel-datasource-rule", panel_data_sources),
    ("panel-title-description-rule", titles_and_descriptions),
    ("panel-units-rule", units),
    ("panel-no-targets-rule", panels_without_targets),
    ("target-logql-rule", |dashboard| of_loki(dashboard, |_| true)),
    ("target-logql-auto-rule", |dashboard| of_loki(dashboard, |query| !query.contains("$__auto"))),
    ("target-promql-rule", unreadable),
    ("target-rate-interval-rule", |dashboard| against(dashboard, Selector::has_fixed_rate)),
    ("target-job-rule", |dashboard| against(dashboard, |it| !it.matches("job", "$job"))),
    ("target-instance-rule", |dashboard| against(dashboard, |it| !it.matches("instance", "$instance"))),
    ("target-counter-agg-rule", |dashboard| against(dashboard, is_bare_counter)),
    ("uneditable-dashboard", |dashboard| one(dashboard["editable"] != false, "it can be edited")),
];

/// Units of Grafana's that say what we measure. An MTU is `none`: `bytes` would show 1450 as 1.42 KiB.
const UNITS: [&str; 8] = ["none", "percentunit", "bytes", "s", "dateTimeFromNow", "pps", "ops", "reqps"];

const OWN_SOURCE: &str = "${datasource}";

fn lint(dashboard: &Value) -> Vec<(&'static str, String)> {
    let found = |(name, rule): (&'static str, Rule)| rule(dashboard).into_iter().map(move |it| (name, it));
    RULES.into_iter().flat_map(found).collect()
}

fn one(is_wrong: bool, what: &str) -> Vec<String> {
    is_wrong.then(|| what.to_owned()).into_iter().collect()
}

fn variables(dashboard: &Value) -> &[Value] {
    list(&dashboard["templating"]["list"])
}

fn queried(dashboard: &Value) -> impl Iterator<Item = &Value> {
    variables(dashboard).iter().filter(|variable| variable["type"] == "query")
}

fn data_source_variable(dashboard: &Value) -> Vec<String> {
    let sources: Vec<_> = variables(dashboard).iter().filter(|it| it["type"] == "datasource").collect();
    let is_right = |it: &Value| {
        it["name"] == "datasource" && it["label"] == "Data source" && it["query"] == "prometheus"
    };
    one(
        !matches!(sources[..], [source] if is_right(source)),
        "one variable `datasource`, \"Data source\", for Prometheus",
    )
}

fn scrape_variable(dashboard: &Value, name: &str, label: &str) -> Vec<String> {
    let Some(variable) = variables(dashboard).iter().find(|it| it["name"] == name) else {
        return vec![format!("it has no variable {name}")];
    };
    let expected = json!({"type": "query", "label": label, "multi": true, "allValue": ".+"});
    let fields = expected.as_object().expect("it is one").iter();
    let mut wrong: Vec<_> = fields
        .filter(|(key, value)| variable[key.as_str()] != **value)
        .map(|(key, value)| format!("{key} of the variable {name} is not {value}"))
        .collect();
    wrong.extend(one(variable["datasource"]["uid"] != OWN_SOURCE, "its data source is not the variable's"));
    wrong
}

/// `label_values(expression, label)`
fn variable_queries(dashboard: &Value) -> Vec<String> {
    let is_readable = |query: &str| {
        let argument = query.strip_prefix("label_values(")?.strip_suffix(')')?;
        read(argument.rsplit_once(',')?.0).ok()
    };
    let queries = queried(dashboard).map(|variable| word(&variable["query"]));
    queries
        .filter(|query| is_readable(query).is_none())
        .map(|query| format!("cannot be read: {query}"))
        .collect()
}

fn variables_that_are_not_refreshed(dashboard: &Value) -> Vec<String> {
    let stale = queried(dashboard).filter(|variable| variable["refresh"] != 2);
    stale.map(|it| format!("{} is not refreshed when the time range changes", it["name"])).collect()
}

/// Panels but rows.
fn drawn(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).into_iter().filter(|panel| panel["type"] != "row")
}

fn panels_that(dashboard: &Value, wrong: fn(&Value) -> bool) -> Vec<String> {
    drawn(dashboard).filter(|panel| wrong(panel)).map(|panel| format!("panel {}", panel["title"])).collect()
}

fn panel_data_sources(dashboard: &Value) -> Vec<String> {
    panels_that(dashboard, |panel| {
        let targets = list(&panel["targets"]).iter().map(|target| &target["datasource"]["uid"]);
        targets.chain([&panel["datasource"]["uid"]]).any(|uid| *uid != OWN_SOURCE)
    })
}

fn titles_and_descriptions(dashboard: &Value) -> Vec<String> {
    panels_that(dashboard, |panel| word(&panel["title"]).is_empty() || word(&panel["description"]).is_empty())
}

fn units(dashboard: &Value) -> Vec<String> {
    panels_that(dashboard, |panel| {
        let config = &panel["fieldConfig"];
        let properties = list(&config["overrides"]).iter().flat_map(|it| list(&it["properties"]));
        let overrides = properties.filter(|it| it["id"] == "unit").map(|it| &it["value"]);
        overrides.chain([&config["defaults"]["unit"]]).any(|unit| !UNITS.contains(&word(unit)))
    })
}

fn panels_without_targets(dashboard: &Value) -> Vec<String> {
    panels_that(dashboard, |panel| list(&panel["targets"]).is_empty())
}

fn targets(dashboard: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    drawn(dashboard).flat_map(|panel| list(&panel["targets"]).iter().map(move |target| (panel, target)))
}

/// There are no logs to ask for, and nothing here could read such a query.
fn of_loki(dashboard: &Value, is_wrong: fn(&str) -> bool) -> Vec<String> {
    let of_loki = targets(dashboard).filter(|(_, target)| target["datasource"]["type"] == "loki");
    let queries = of_loki.map(|(_, target)| word(&target["expr"]));
    queries.filter(|query| is_wrong(query)).map(str::to_owned).collect()
}

fn unreadable(dashboard: &Value) -> Vec<String> {
    let read = targets(dashboard).map(|(panel, target)| (panel, read(word(&target["expr"]))));
    read.filter_map(|(panel, it)| Some(format!("panel {}: {}", panel["title"], it.err()?))).collect()
}

fn against(dashboard: &Value, is_wrong: fn(&Selector) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (panel, target) in targets(dashboard) {
        let Ok(expression) = read(word(&target["expr"])) else { continue };
        let selectors = selectors(&expression).into_iter().filter(is_wrong);
        wrong.extend(
            selectors.map(|it| format!("panel {}: {:?} {:?}", panel["title"], it.names, it.matchers)),
        );
    }
    wrong
}

fn is_bare_counter(selector: &Selector) -> bool {
    let counted = ["_total", "_bucket", "_count", "_sum"];
    let is_counter = selector.names.iter().any(|name| counted.iter().any(|end| name.ends_with(end)));
    is_counter && !selector.is_of_rate()
}

#[test]
fn no_rule_has_anything_to_say_against_a_dashboard() {
    let dashboards = dashboards();
    let names: Vec<_> = dashboards.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["delivery", "fleet", "node"]);
    for (name, dashboard) in &dashboards {
        let found = lint(dashboard);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

/// A dashboard that is right, in all that rules look at.
fn right() -> Value {
    let source = json!({"type": "prometheus", "uid": OWN_SOURCE});
    let variable = |name: &str, label: &str| {
        let query = format!("label_values(up{{job=~\"$job\"}}, {name})");
        json!({"name": name, "label": label, "type": "query", "datasource": source, "query": query, "refresh": 2,
            "multi": true, "allValue": ".+"})
    };
    let source_variable =
        json!({"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"});
    json!({
        "editable": false,
        "templating": {"list": [source_variable, variable("job", "Job"), variable("instance", "Instance")]},
        "panels": [{
            "type": "timeseries", "title": "Title", "description": "What it says.", "datasource": source,
            "fieldConfig": {"defaults": {"unit": "ops"}, "overrides": []},
            "targets": [{
                "datasource": source,
                "expr": "rate(a_total{job=~\"$job\", instance=~\"$instance\"}[$__rate_interval])",
            }],
        }],
    })
}

#[test]
fn each_rule_finds_what_it_is_for_and_nothing_else() {
    let expression = "/panels/0/targets/0/expr";
    let selector = "a{job=~\"$job\", instance=~\"$instance\"}";
    let counter = "a_total{job=~\"$job\", instance=~\"$instance\"}";
    let faults: [(&str, &str, Value); 24] = [
        ("template-datasource-rule", "/templating/list/0/name", json!("ds")),
        ("template-datasource-rule", "/templating/list/0/label", json!("Data")),
        ("template-job-rule", "/templating/list/1/name", json!("jobs")),
        ("template-job-rule", "/templating/list/1/multi", json!(false)),
        ("template-job-rule", "/templating/list/1/datasource/uid", json!("abc")),
        ("template-instance-rule", "/templating/list/2/label", json!("Node")),
        ("template-instance-rule", "/templating/list/2/allValue", json!(".*")),
        ("template-label-promql-rule", "/templating/list/2/query", json!("label_values(up{, job)")),
        ("template-label-promql-rule", "/templating/list/2/query", json!("values(up, job)")),
        ("template-on-time-change-reload", "/templating/list/2/refresh", json!(1)),
        ("panel-datasource-rule", "/panels/0/datasource/uid", json!("abc")),
        ("panel-datasource-rule", "/panels/0/targets/0/datasource/uid", json!("abc")),
        ("panel-title-description-rule", "/panels/0/title", json!("")),
        ("panel-title-description-rule", "/panels/0/description", json!("")),
        ("panel-units-rule", "/panels/0/fieldConfig/defaults/unit", json!("pints")),
        (
            "panel-units-rule",
            "/panels/0/fieldConfig/overrides",
            json!([{"properties": [{"id": "unit", "value": "x"}]}]),
        ),
        ("panel-no-targets-rule", "/panels/0/targets", json!([])),
        ("target-promql-rule", expression, json!("sum(")),
        ("target-promql-rule", expression, json!("")),
        ("target-rate-interval-rule", expression, json!(format!("rate({counter}[5m])"))),
        ("target-job-rule", expression, json!("a{instance=~\"$instance\"}")),
        ("target-instance-rule", expression, json!("a{job=~\"$job\", instance=\"$instance\"}")),
        ("target-counter-agg-rule", expression, json!(format!("{selector} + max_over_time({counter}[5m])"))),
        ("uneditable-dashboard", "/editable", json!(true)),
    ];
    assert_eq!(lint(&right()), []);
    for (rule, at, value) in &faults {
        let mut dashboard = right();
        *dashboard.pointer_mut(at).expect("it is there") = value.clone();
        let mut found: Vec<_> = lint(&dashboard).into_iter().map(|(rule, _)| rule).collect();
        found.dedup();
        assert_eq!(found, [*rule], "{at} {value}");
    }
    let mut logs = right();
    logs["panels"][0]["targets"][0]["datasource"]["type"] = json!("loki");
    let of_logs: Vec<_> = lint(&logs).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(of_logs, ["target-logql-rule", "target-logql-auto-rule"]);
    let tried = faults.iter().map(|(rule, _, _)| *rule).chain(of_logs);
    let untried: Vec<_> = RULES.iter().filter(|(name, _)| !tried.clone().any(|it| it == *name)).collect();
    assert!(untried.is_empty(), "{untried:?}");
}
