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

/// An expression of PromQL, and where it is.
pub(crate) struct Expression {
    pub(crate) place: String,
    pub(crate) text: String,
    /// Whether it is asked for one moment, or for a range of time.
    pub(crate) instant: bool,
    /// How its series are called.
    pub(crate) legend: String,
}

/// Every expression of a dashboard: of its panels and its annotations.
pub(crate) fn expressions(name: &str, dashboard: &Value) -> Vec<Expression> {
    let expression = |place: &str, target: &Value, legend: &Value| Expression {
        place: format!("{name}: {place}"),
        text: word(&target["expr"]).to_owned(),
        instant: target["instant"] == true,
        legend: word(legend).to_owned(),
    };
    let of_panel = |panel: &Value| -> Vec<_> {
        let title = word(&panel["title"]);
        list(&panel["targets"]).iter().map(|it| expression(title, it, &it["legendFormat"])).collect()
    };
    let annotations = list(&dashboard["annotations"]["list"]).iter();
    let annotations = annotations.map(|it| expression(word(&it["name"]), it, &it["titleFormat"]));
    panels(dashboard).into_iter().flat_map(of_panel).chain(annotations).collect()
}
