//! `docs/metrics.md` is what the registries say.

use std::fmt::Write as _;
use std::fs;

use mtu_agent::publish::metrics::Metrics;
use mtu_agent::publish::metrics::catalog::{Described, Label, Values};
use mtu_agent::publish::metrics::controller::ControllerMetrics;
use mtu_agent::webhook::WebhookMetrics;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
/// Set to anything, it makes the test write the document.
const UPDATE: &str = "UPDATE_DOCS";

const HEAD: &str = "\
# Metrics

`mtu-agent agent` serves these at `/metrics`, in Prometheus' text format.

What is unknown has no sample: no value is ever 0 because nobody knows it. Labels have closed sets of values, or
values from the configuration: never names of pods, addresses or errors. A node with two targets has at most 150
series, whatever is on it; where there are more levels and kinds of links than fit, those that no dockerd made count
as the kind `other` of their level.

This file is generated from the registries: `UPDATE_DOCS=1 cargo test --test metrics_document` writes it. What to make
of them, with dashboards and alerts: [monitoring.md](monitoring.md).
";

const CONTROLLER: &str = "
# Metrics of the controller

`mtu-agent controller` serves these at `/metrics`, and those of its process (`process_*`) that are above. There is a
sample for each pool, never one for a node, a namespace or a pod.
";

const TABLE: &str = "
| metric | type | labels | meaning |
|---|---|---|---|
";

const WEBHOOK: &str = "
## Those of its webhook
";

fn document() -> String {
    let mut controller = ControllerMetrics::described();
    controller.retain(|it| !it.name.starts_with("process_"));
    let sections =
        [(HEAD, Metrics::described()), (CONTROLLER, controller), (WEBHOOK, WebhookMetrics::described())];
    sections.into_iter().map(|(head, described)| [head, TABLE, &rows(described)].concat()).collect()
}

fn rows(mut described: Vec<Described>) -> String {
    described.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = String::new();
    for it in described {
        let labels: Vec<_> = it.labels.iter().map(label).collect();
        writeln!(rows, "| `{}` | {} | {} | {} |", it.name, it.kind, labels.join("; "), it.help)
            .expect("a string takes all");
    }
    rows
}

fn label(label: &Label) -> String {
    match label.values {
        Values::Closed(values) => {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{}`: {}", label.name, values.join(", "))
        }
        Values::Few(what) => format!("`{}`: {what}", label.name),
    }
}

#[test]
fn the_document_is_what_the_registries_say() {
    let document = document();
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os(UPDATE).is_some() {
        fs::write(PATH, &document).unwrap();
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        written == document,
        "docs/metrics.md is out of date: {UPDATE}=1 cargo test --test metrics_document"
    );
}
