//! The YAML files below `daemonset/`, as values.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// `daemonset/`.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("daemonset")
}

/// Every YAML file of `daemonset/` with its documents, by its path from there.
pub(crate) fn all() -> Vec<(String, Vec<Value>)> {
    let (mut files, mut directories) = (Vec::new(), vec![directory()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("it is a directory") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let name = |path: &Path| {
        let name = path.strip_prefix(directory()).expect("it was found there");
        name.to_str().expect("it is ASCII").to_owned()
    };
    files.iter().map(|path| (name(path), read(path))).collect()
}

/// Objects of the files whose path begins so; kustomize's own are none.
pub(crate) fn objects(below: &str) -> Vec<(String, Value)> {
    let files = all().into_iter().filter(|(name, _)| name.starts_with(below));
    let documents =
        files.flat_map(|(name, documents)| documents.into_iter().map(move |it| (name.clone(), it)));
    documents.filter(|(_, document)| !is_kustomization(document)).collect()
}

/// The one object of a file in `daemonset/`.
pub(crate) fn object(file: &str) -> Value {
    let mut documents = read(&directory().join(file));
    assert_eq!(documents.len(), 1, "{file} holds one object");
    documents.remove(0)
}

/// The one of a kind, and of a name if that is not empty.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().filter(|object| is(object, kind, name)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found[0]
}

/// Whether it is of a kind, and of a name if that is not empty.
pub(crate) fn is(object: &Value, kind: &str, name: &str) -> bool {
    object["kind"] == kind && (name.is_empty() || object["metadata"]["name"] == name)
}

pub(crate) fn is_kustomization(document: &Value) -> bool {
    text(&document["apiVersion"]).starts_with("kustomize.config.k8s.io/")
}

/// What YAML of one or more documents holds.
pub(crate) fn parse(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).expect("it is YAML, and says nothing twice")
}

fn read(path: &Path) -> Vec<Value> {
    let yaml = fs::read_to_string(path).expect("it can be read");
    serde_saphyr::from_multiple(&yaml).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The items of a list; none if there is no list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

/// A text.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is a text"))
}

/// A list of texts.
pub(crate) fn texts(list: &Value) -> Vec<&str> {
    items(list).iter().map(text).collect()
}
