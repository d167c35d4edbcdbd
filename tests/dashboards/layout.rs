//! What Grafana needs to take a dashboard as it is, and people to find their way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::alerts::{RUNBOOKS, alert_names};
use super::files::{dashboards, list, panels, text, word};

/// The annotation in which `kubectl apply` keeps what it sent may have 256 KiB.
const MOST_BYTES: usize = 200 * 1024;

#[test]
fn each_is_found_under_a_fixed_uid_and_has_a_schema_that_grafana_takes() {
    for (name, dashboard) in dashboards() {
        assert_eq!(dashboard["uid"], format!("mtu-agent-{name}"));
        let schema = dashboard["schemaVersion"].as_u64().expect("a number");
        assert!((39..=42).contains(&schema), "{name}: {schema}");
        assert_eq!(dashboard["id"], Value::Null, "{name}: Grafana's own number");
        assert_eq!(dashboard["__inputs"], Value::Null, "{name}: only the import dialogue fills these");
        assert!(dashboard["title"].is_string() && dashboard["description"].is_string(), "{name}");
        assert_eq!(dashboard["tags"], serde_json::json!(["mtu-agent"]), "{name}: links go by it");
        assert!(text(&format!("dashboards/{name}.json")).len() < MOST_BYTES, "{name}");
    }
}

#[test]
fn no_panel_covers_another_and_each_has_a_number_of_its_own() {
    for (name, dashboard) in dashboards() {
        let (mut cells, mut ids) = (BTreeSet::new(), BTreeSet::new());
        for panel in panels(&dashboard) {
            let title = &panel["title"];
            assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{name}: {title}");
            let [x, y, w, h] =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
            assert!(x + w <= 24, "{name}: {title} is wider than the page");
            for row in y..y + h {
                for column in x..x + w {
                    assert!(cells.insert((row, column)), "{name}: {title} covers another");
                }
            }
        }
    }
}

#[test]
fn what_is_wrong_now_is_on_the_first_screen_with_the_command_that_mends_it() {
    for (name, dashboard) in dashboards().into_iter().filter(|(name, _)| name != "delivery") {
        let panels = panels(&dashboard);
        let table = panels.iter().find(|panel| panel["type"] == "table").expect("there is one");
        assert!(table["gridPos"]["y"].as_u64().expect("a number") <= 4, "{name}: {}", table["title"]);
        assert!(word(&table["title"]).ends_with("mtu-agent tune --pod NAMESPACE/POD --apply"), "{name}");
        let renamed = &table["transformations"][1]["options"]["renameByName"];
        assert_eq!(
            (&renamed["should_be"], &renamed["mend"]),
            (&"should be".into(), &"mend with".into()),
            "{name}"
        );
    }
}

#[test]
fn every_link_leads_to_a_runbook_or_a_dashboard_that_there_is() {
    let uids: BTreeSet<_> = dashboards().iter().map(|(name, _)| format!("mtu-agent-{name}")).collect();
    let alerts = alert_names();
    for (name, dashboard) in dashboards() {
        let mut urls = Vec::new();
        collect_urls(&dashboard, &mut urls);
        for url in urls {
            let runbook = url.strip_prefix(RUNBOOKS).and_then(|it| it.strip_suffix(".md"));
            let uid = url.strip_prefix("/d/").and_then(|it| it.split('?').next());
            let is_known = runbook.is_some_and(|it| alerts.iter().any(|alert| alert == it))
                || uid.is_some_and(|it| uids.contains(it))
                || url == "https://mtu-agent.dev/docs/monitoring.md#alerts";
            assert!(is_known, "{name}: {url}");
        }
    }
}

fn collect_urls<'a>(value: &'a Value, urls: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            urls.extend(fields.get("url").and_then(Value::as_str));
            fields.values().for_each(|value| collect_urls(value, urls));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_urls(item, urls)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn columns_of_tables_that_are_renamed_or_hidden_are_those_that_the_queries_give() {
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard).into_iter().filter(|panel| panel["type"] == "table") {
            let title = &panel["title"];
            let organize = list(&panel["transformations"]).iter().find(|it| it["id"] == "organize");
            let options = &organize.expect("columns are put in order")["options"];
            let renamed = options["renameByName"].as_object().expect("some are");
            let mut urls = Vec::new();
            collect_urls(&panel["fieldConfig"], &mut urls);
            for field in urls.iter().flat_map(|url| url.split("${__data.fields.").skip(1)) {
                let field = &field[..field.find('}').expect("it ends")];
                assert!(
                    renamed.contains_key(field) || options["indexByName"][field].is_u64(),
                    "{name}: {title}: {field}"
                );
            }
            let count = list(&panel["targets"]).len();
            for column in renamed.keys().filter_map(|it| it.strip_prefix("Value #")) {
                let query = list(&panel["targets"]).iter().find(|it| it["refId"] == column);
                assert!(
                    query.is_some_and(|it| it["format"] == "table" && it["instant"] == true),
                    "{name}: {title}"
                );
            }
            let values = |of: &Value| {
                of.as_object().map_or(0, |it| it.keys().filter(|key| key.starts_with("Value #")).count())
            };
            let told = values(&options["renameByName"]) + values(&options["excludeByName"]);
            assert_eq!(told, count, "{name}: {title}: each value is shown under a name, or hidden");
        }
    }
}
