//! A real Prometheus scrapes a real agent on a node with the seed problem, and a controller's page: every expression of
//! every dashboard and alert is asked, and the alert that is due comes, reaches a real Alertmanager, and goes.
//!
//! Minutes and hours would pass: the durations in rules and expressions are a hundred and twentieth of what they are.

#[path = "lab_monitoring/controller.rs"]
mod controller;
#[path = "dashboards/files.rs"]
mod files;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::AgentSpec;
use mtu_lab::docker::{Container, DockerLab, Dockerd, Download, Level, Place, SERVER};
use mtu_lab::monitoring::{Monitoring, Scraped, faster};
use mtu_lab::promtool;
use serde_json::Value;

use controller::Page;
use files::{alerts, dashboards, directory, list, rules_file, targets, text, word};

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const TIMES: u32 = 120;
const NODE: &str = "node-1";
/// Docker's bridge and both ends of a container's veth, at two levels.
const WRONG_LINKS: &str = "sum(mtu_agent_mismatched_links) == 6";

/// Six seconds, or twelve minutes: there are rates, and something to look back at.
const SCRAPED_FOR_A_WHILE: &str = "min(count_over_time(up[1m])) > 30";

/// What Grafana puts for its variables with a range of two hours, and everything chosen.
fn as_grafana_asks(expression: &str) -> String {
    let variables = [
        ("$__rate_interval", "10m"),
        ("$__range_s", "60"),
        ("$__range", "2h"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("$node", NODE),
    ];
    let text = variables.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
    faster(&text, TIMES)
}

/// What a node of which the agent tunes nothing has no data of.
const NOT_TUNED: &str = "nothing is tuned by the agent";
/// What has no data on a node that is observed, and why.
const WITHOUT_DATA: [(&str, &str); 14] = [
    ("delivery: MTU changes", "the value does not change"),
    ("delivery: Nodes by pool", "no report is refused"),
    ("delivery: Oldest NodeMtus", "the agent publishes to its host alone"),
    ("fleet: Black holes", "there is none"),
    ("fleet: From a link's event to its write", NOT_TUNED),
    ("fleet: MTU changes", "the value does not change"),
    ("fleet: Nested paths not verified", NOT_TUNED),
    ("fleet: Tuning", NOT_TUNED),
    ("fleet: Writes", NOT_TUNED),
    ("node: From a link's event to its write", NOT_TUNED),
    ("node: MTU changes", "the value does not change"),
    ("node: Nested paths verified", NOT_TUNED),
    ("node: Tuning", NOT_TUNED),
    ("node: Writes", NOT_TUNED),
];

fn ask(monitoring: &Monitoring<'_>, target: &Value) -> Result<Vec<Value>> {
    let text = as_grafana_asks(word(&target["expr"]));
    let has_name =
        |rest: &str| rest.starts_with(|char: char| char.is_ascii_alphabetic() || "_{".contains(char));
    ensure!(!text.split('$').skip(1).any(has_name), "{text} has a variable that is not known");
    if target["instant"] == true { monitoring.query(&text) } else { monitoring.query_range(&text) }
}

fn every_expression_is_answered(monitoring: &Monitoring<'_>) -> Result<()> {
    let mut empty = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|it| it["type"] == "query") {
            let query = as_grafana_asks(word(&variable["query"]));
            let argument = query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
            let (selector, label) = argument.and_then(|it| it.rsplit_once(", ")).context("label_values")?;
            let values = monitoring.label_values(selector, label)?;
            ensure!(!values.is_empty(), "{name}: the variable {} has nothing to choose", variable["name"]);
        }
        for (place, target) in targets(&name, &dashboard) {
            if ask(monitoring, target).with_context(|| place.clone())?.is_empty() {
                empty.insert(place);
            }
        }
    }
    for alert in alerts(&rules_file()) {
        let expression = word(&alert["expr"]);
        monitoring.query(expression).with_context(|| format!("as it is: {expression}"))?;
    }
    let known = WITHOUT_DATA.map(|(place, _)| place.to_owned());
    assert_eq!(empty, known.into());
    Ok(())
}

/// What the table of the dashboard says to do about docker's own bridges.
fn commands_that_mend(monitoring: &Monitoring<'_>) -> Result<BTreeSet<String>> {
    let (_, fleet) = dashboards().into_iter().find(|(name, _)| name == "fleet").context("it is there")?;
    let is_it = |target: &&Value| word(&target["expr"]).contains("\"mend\"");
    let target = targets("fleet", &fleet).into_iter().map(|(_, target)| target).find(is_it);
    let rows = ask(monitoring, target.context("the command that mends")?)?;
    let bridges = rows.iter().filter(|row| row["metric"]["kind"] == "docker_bridge");
    Ok(bridges.map(|row| word(&row["metric"]["mend"]).to_owned()).collect())
}

/// MTUs by level and kind of links, as the dashboard of a node shows them in a query of its chain.
fn layers(monitoring: &Monitoring<'_>, ref_id: &str) -> Result<BTreeMap<String, String>> {
    let layer = |it: &Value| {
        let [level, kind] = ["level", "kind"].map(|label| word(&it["metric"][label]).to_owned());
        (format!("{level} {kind}"), word(&it["value"][1]).to_owned())
    };
    Ok(ask(monitoring, &of_chain(ref_id)?)?.iter().map(layer).collect())
}

fn of_chain(ref_id: &str) -> Result<Value> {
    let (name, node) = dashboards().into_iter().find(|(name, _)| name == "node").context("it is there")?;
    let mut of_chain = targets(&name, &node).into_iter().filter(|(place, _)| place.contains("The chain"));
    let target = of_chain.find(|(_, target)| target["refId"] == ref_id);
    Ok(target.context("a query of the chain")?.1.clone())
}

/// Above the limit is what is wrong, and what is further out than any dockerd is not measured by it.
fn the_chain_is_measured_by_the_safe_mtu(monitoring: &Monitoring<'_>) -> Result<()> {
    let limit = ask(monitoring, &of_chain("limit")?)?;
    let [limit] = &limit[..] else { anyhow::bail!("one limit, not {limit:?}") };
    let labels = &limit["metric"];
    assert_eq!((&labels["green_below"], &labels["red_above"]), (&"1450.1".into(), &"1450.5".into()));
    let all = |mtu: &str, layers: &[&str]| {
        layers.iter().map(|layer| ((*layer).to_owned(), mtu.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let made = ["1 docker_bridge", "1 docker_veth", "2 docker_bridge", "2 docker_veth", "3 docker_veth"];
    assert_eq!(layers(monitoring, "C")?, all("1500", &made));
    let mut outer = all("1450", &["0 calico_veth", "1 calico_veth"]);
    outer.extend(all("1500", &["0 veth"]));
    assert_eq!(layers(monitoring, "B")?, outer);
    Ok(())
}

fn until_each(monitoring: &Monitoring<'_>, conditions: &[&str]) -> Result<()> {
    conditions.iter().try_for_each(|condition| {
        monitoring.until(condition, |it| Ok((!it.query(condition)?.is_empty()).then_some(())))
    })
}

/// The names of alerts.
fn names(alerts: &[Value]) -> BTreeSet<&str> {
    alerts.iter().map(|alert| word(&alert["labels"]["alertname"])).collect()
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn every_expression_has_an_answer_and_the_alert_comes_and_goes() -> Result<()> {
    let lab = DockerLab::builder().level3(Dockerd::new()).build()?;
    let deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    // Everything is read again in a hundred and twentieth of the usual time, too.
    let arguments = ["--target", SERVER, "--probe-interval", "1s", "--resync-interval", "2s"];
    let agent = AgentSpec::new(MTU_AGENT).args(&arguments).start(&lab)?;
    assert_eq!(lab.download(&deep)?, Download::Completed, "the server hears that its packets are too big");
    let page = Page::serve(&lab)?;
    let scraped = [
        Scraped { job: "mtu-agent", address: agent.address(), node: Some(NODE) },
        Scraped { job: "mtu-agent-controller", address: page.address(), node: None },
    ];
    let rules = faster(&text("dashboards/alerts.yaml"), TIMES);
    let monitoring = Monitoring::start(&lab, &scraped, &rules)?;

    until_each(
        &monitoring,
        &[
            WRONG_LINKS,
            "mtu_agent_path_verdict{verdict=\"exact\"} == 1",
            // What the node drops since it does not fit the pod's link is counted.
            "mtu_agent_fragmentation_failures_total{family=\"ipv4\"} > 0",
            "mtu_agent_icmp_unreachable_sent_total > 0",
            "sum(increase(mtu_agent_surveys_total[6s])) > 1",
            SCRAPED_FOR_A_WHILE,
        ],
    )?;
    every_expression_is_answered(&monitoring)?;
    the_chain_is_measured_by_the_safe_mtu(&monitoring)?;
    assert_eq!(commands_that_mend(&monitoring)?, ["dockerd --mtu=1450".to_owned()].into());

    let told = monitoring
        .until("an alert at the Alertmanager", |it| Ok(Some(it.told()?).filter(|it| !it.is_empty())))?;
    assert_eq!(names(&told), ["MtuAgentMismatch"].into());
    assert_eq!(
        (&told[0]["labels"]["node"], &told[0]["labels"]["severity"]),
        (&NODE.into(), &"warning".into())
    );
    let annotations = &told[0]["annotations"];
    assert!(word(&annotations["description"]).starts_with("6 links on node node-1 have"), "{annotations}");
    let runbook = word(&annotations["runbook_url"]).rsplit_once("docs/").context("the address of a page")?.1;
    assert!(directory(&format!("docs/{runbook}")).is_file(), "{runbook}");
    assert_eq!(names(&monitoring.firing()?), ["MtuAgentMismatch"].into(), "nothing else is wrong");

    lab.check_in(Place::Node, &[MTU_AGENT, "tune", "--netns", "pod", "--apply"])?;
    let none = |alerts: &[Value]| alerts.is_empty().then_some(());
    monitoring.until("no alert fires any more", |it| Ok(none(&it.firing()?)))?;
    monitoring.until("the Alertmanager knows it", |it| Ok(none(&it.told()?)))?;
    let right = monitoring.query("sum(mtu_agent_mismatched_links)")?;
    assert_eq!(right[0]["value"][1], "0", "{right:?}");
    assert!(layers(&monitoring, "C")?.values().all(|mtu| mtu == "1450"), "all that is measured is green");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn where_an_agent_tunes_its_panels_have_data_and_no_alert_fires() -> Result<()> {
    let lab = DockerLab::vm().build()?;
    let _build = lab.start_container(Level::One, &Container::on_network("bridge").name("build"))?;
    let arguments = ["--target", SERVER, "--probe-interval", "1s", "--resync-interval", "2s"];
    let tuning = AgentSpec::new(MTU_AGENT).args(&arguments).args(&["--tune", "links", "--all-docker"]);
    let agent = tuning.start(&lab)?;
    let scraped = [Scraped { job: "mtu-agent", address: agent.address(), node: Some(NODE) }];
    let monitoring = Monitoring::start(&lab, &scraped, &faster(&text("dashboards/alerts.yaml"), TIMES))?;
    until_each(&monitoring, &["mtu_agent_nested_path_verified == 1", SCRAPED_FOR_A_WHILE])?;

    let of_tuning: BTreeSet<_> = WITHOUT_DATA.iter().filter(|(_, why)| *why == NOT_TUNED).collect();
    let mut seen = BTreeSet::new();
    for (name, dashboard) in dashboards() {
        for (place, target) in targets(&name, &dashboard) {
            if of_tuning.iter().any(|(of_tuning, _)| *of_tuning == place) {
                ensure!(!ask(&monitoring, target)?.is_empty(), "{place}: {target} has no data");
                seen.insert(place);
            }
        }
    }
    assert_eq!(seen.len(), of_tuning.len(), "{seen:?}");
    assert_eq!(names(&monitoring.firing()?), BTreeSet::new());
    Ok(())
}

#[test]
#[ignore = "needs promtool; `.ci/run lab` runs it"]
fn alerts_are_rules_to_prometheus_taste_and_do_in_their_unit_tests_what_they_are_for() -> Result<()> {
    promtool::check_rules(&directory("dashboards/alerts.yaml"))?;
    promtool::test_rules(&directory("tests/dashboards/alerts.yaml"))
}
