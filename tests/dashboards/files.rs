//! What is in `dashboards/`, as values.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A directory of the repository.
pub(crate) fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A text file of the repository.
pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(directory(name)).unwrap_or_else(|error| panic!("read {name}: {error}"))
}

/// Names of the files in a directory that end so, without that end, in order.
pub(crate) fn names(of: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(directory(of)).unwrap_or_else(|error| panic!("list {of}: {error}"));
    let names = entries.map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("it is ASCII"));
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect();
    names.sort();
    names
}

/// Every dashboard, by the name of its file.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let read = |name: String| {
        let json = text(&format!("dashboards/{name}.json"));
        let dashboard = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{name}.json: {error}"));
        (name, dashboard)
    };
    names("dashboards", ".json").into_iter().map(read).collect()
}

/// The rules file.
pub(crate) fn rules_file() -> Value {
    serde_saphyr::from_str(&text("dashboards/alerts.yaml")).expect("it is YAML")
}

/// Every alert of a rules file.
pub(crate) fn alerts(rules_file: &Value) -> Vec<&Value> {
    list(&rules_file["groups"]).iter().flat_map(|group| list(&group["rules"])).collect()
}

/// The items of a list; none if there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty if there is none.
pub(crate) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every panel of a dashboard, those in rows that are folded up among them.
pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = list(&dashboard["panels"]);
    top.iter().flat_map(|panel| std::iter::once(panel).chain(list(&panel["panels"]))).collect()
}

/// Every target of a dashboard's panels, and every annotation, by where it is: all that has an expression of `PromQL`.
pub(crate) fn targets<'a>(name: &str, dashboard: &'a Value) -> Vec<(String, &'a Value)> {
    let of_panel = |panel: &'a Value| {
        let place = format!("{name}: {}", word(&panel["title"]));
        list(&panel["targets"]).iter().map(move |target| (place.clone(), target))
    };
    let annotations = list(&dashboard["annotations"]["list"]).iter();
    let annotations = annotations.map(|it| (format!("{name}: {}", word(&it["name"])), it));
    panels(dashboard).into_iter().flat_map(of_panel).chain(annotations).collect()
}
