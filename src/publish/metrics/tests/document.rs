//! `docs/metrics.md` is what the registry says.

use std::fmt::Write as _;
use std::fs;

use super::super::catalog::{Label, Values};
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

| metric | type | labels | meaning |
|---|---|---|---|
";

fn document() -> String {
    let mut described = metrics().1;
    described.sort_by(|a, b| a.name.cmp(&b.name));
    let mut document = HEAD.to_owned();
    for it in described {
        let labels: Vec<_> = it.labels.iter().map(label).collect();
        writeln!(document, "| `{}` | {} | {} | {} |", it.name, it.kind, labels.join("; "), it.help).unwrap();
    }
    document
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
