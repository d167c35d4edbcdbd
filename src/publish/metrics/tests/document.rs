//! `docs/metrics.md` is what the registry says.

use std::fmt::Write as _;
use std::fs;

use super::super::catalog::{Described, Label, Values};
use super::super::controller;
use super::metrics;

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

This file is generated from the registry: `UPDATE_DOCS=1 cargo test --lib metrics` writes it.
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

fn document() -> String {
    let is_of_process = |it: &Described| it.name.starts_with("process_");
    let mut controller = controller::register().1;
    controller.retain(|it| !is_of_process(it));
    [HEAD, TABLE, &rows(metrics().1), CONTROLLER, TABLE, &rows(controller)].concat()
}

fn rows(mut described: Vec<Described>) -> String {
    described.sort_by(|a, b| a.name.cmp(&b.name));
    let mut rows = String::new();
    for it in described {
        let labels: Vec<_> = it.labels.iter().map(label).collect();
        writeln!(rows, "| `{}` | {} | {} | {} |", it.name, it.kind, labels.join("; "), it.help).unwrap();
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
fn the_document_is_what_the_registry_says() {
    let document = document();
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    if std::env::var_os(UPDATE).is_some() {
        fs::write(PATH, &document).unwrap();
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(written == document, "docs/metrics.md is out of date: {UPDATE}=1 cargo test --lib metrics");
}
