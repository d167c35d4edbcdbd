//! Alerts: as monitoring mixins write them, each with a runbook and a unit test, and the same for the Prometheus
//! Operator as for a plain Prometheus.

use std::fs;

use serde_json::Value;

use super::files::{alerts, directory, list, names, rules_file, text, word};

/// Where runbooks are read.
pub(crate) const RUNBOOKS: &str = "https://mtu-agent.dev/docs/runbooks/";
const RULES: &str = "dashboards/alerts.yaml";
const UNIT_TESTS: &str = "tests/dashboards/alerts.yaml";
const FOR_THE_OPERATOR: &str = "daemonset/components/prometheus-operator/rules.yaml";
/// Set to anything, it makes the test write the `PrometheusRule`.
const UPDATE: &str = "UPDATE_DOCS";
/// What a runbook tells, in this order.
const SECTIONS: [&str; 4] = ["Meaning", "Impact", "Diagnosis", "Mitigation"];

/// The name of every alert, in order.
pub(crate) fn alert_names() -> Vec<String> {
    let mut names: Vec<_> = alerts(&rules_file()).iter().map(|it| word(&it["alert"]).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn each_says_how_bad_it_is_what_it_means_and_where_to_read_on() {
    for alert in alerts(&rules_file()) {
        let name = word(&alert["alert"]);
        assert!(name.starts_with("MtuAgent"), "{name}");
        assert!(["critical", "warning", "info"].contains(&word(&alert["labels"]["severity"])), "{name}");
        assert!(alert["for"].is_string(), "{name}: one bad sample is none");
        let annotations = &alert["annotations"];
        assert_eq!(annotations["runbook_url"], format!("{RUNBOOKS}{name}.md"));
        let [summary, description] = ["summary", "description"].map(|key| word(&annotations[key]));
        assert!(summary.ends_with('.') && !summary.contains(". "), "{name}: one sentence: {summary}");
        assert!(!summary.contains("{{"), "{name}: the same for all of its alerts: {summary}");
        assert!(description.ends_with('.') && description.len() > summary.len(), "{name}: {description}");
    }
}

#[test]
fn each_has_a_runbook_and_each_runbook_its_alert() {
    assert_eq!(names("docs/runbooks", ".md"), alert_names());
    for name in alert_names() {
        let runbook = text(&format!("docs/runbooks/{name}.md"));
        assert!(runbook.starts_with(&format!("# {name}\n")), "{name}");
        let sections: Vec<_> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(sections, SECTIONS, "{name}");
        let (_, diagnosis) = runbook.split_once("## Diagnosis").expect("it has one");
        assert!(diagnosis.contains("```console\n$ "), "{name}: commands to look with");
    }
}

#[test]
fn each_has_a_unit_test_in_which_it_does_not_fire_fires_and_resolves() {
    let tests: Value = serde_saphyr::from_str(&text(UNIT_TESTS)).expect("it is YAML");
    let tests = list(&tests["tests"]);
    let mut tested: Vec<_> = tests.iter().map(|test| word(&test["name"]).to_owned()).collect();
    tested.sort();
    assert_eq!(tested, alert_names());
    for test in tests {
        let name = &test["name"];
        let cases = list(&test["alert_rule_test"]);
        assert!(cases.iter().all(|case| case["alertname"] == *name), "{name}");
        let fires: Vec<_> = cases.iter().map(|case| !list(&case["exp_alerts"]).is_empty()).collect();
        assert_eq!(fires, [false, true, false], "{name}");
    }
}

/// It goes by their domain.
#[test]
fn the_alert_about_calls_that_fail_is_about_each_webhook() {
    let name = "MtuAgentWebhookFailOpen";
    let rules = rules_file();
    let alert = alerts(&rules).into_iter().find(|it| it["alert"] == name).expect("it is there");
    assert!(word(&alert["expr"]).contains(r#"{name=~".+\\.mtu-agent\\.dev"}"#), "{alert}");
    let configuration: Value =
        serde_saphyr::from_str(&text("daemonset/base/webhook.yaml")).expect("it is YAML");
    let webhooks = list(&configuration["webhooks"]);
    assert!(!webhooks.is_empty());
    for webhook in webhooks {
        assert!(word(&webhook["name"]).ends_with(".mtu-agent.dev"), "{webhook}");
    }
}

/// The rules file, indented below `spec`.
fn for_the_operator() -> String {
    let rules = text(RULES);
    let (_, groups) = rules.split_once("\ngroups:\n").expect("it is a rules file");
    let head = "\
# The rules of dashboards/alerts.yaml, from which a test makes this: `UPDATE_DOCS=1 cargo test --test dashboards`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: mtu-agent
  namespace: mtu-agent
spec:
  groups:
";
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
    groups.lines().map(indented).fold(head.to_owned(), |text, line| text + &line)
}

#[test]
fn the_operator_gets_the_same_rules() {
    let rendered = for_the_operator();
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os(UPDATE).is_some() {
        fs::write(directory(FOR_THE_OPERATOR), &rendered).expect("it can be written");
    }
    let written = fs::read_to_string(directory(FOR_THE_OPERATOR)).unwrap_or_default();
    assert!(
        written == rendered,
        "{FOR_THE_OPERATOR} is out of date: {UPDATE}=1 cargo test --test dashboards"
    );
    let object: Value = serde_saphyr::from_str(&written).expect("it is YAML");
    assert_eq!(object["spec"], rules_file());
}
