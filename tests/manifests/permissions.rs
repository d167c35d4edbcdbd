//! What the manifests allow the service accounts.

use std::collections::BTreeSet;

pub(crate) use mtu_lab::api_server::Permission;
use serde_json::Value;

use super::documents::{items, text, texts};

/// What roles and bindings allow a service account.
pub(crate) fn allowed(objects: &[Value], namespace: &str, account: &str) -> BTreeSet<Permission> {
    let is_bound = |binding: &&Value| {
        items(&binding["subjects"]).iter().any(|subject| {
            subject["kind"] == "ServiceAccount"
                && subject["name"] == account
                && subject["namespace"] == namespace
        })
    };
    let bindings = objects.iter().filter(|object| text(&object["kind"]).ends_with("RoleBinding"));
    bindings.filter(is_bound).flat_map(|binding| of_binding(objects, binding)).collect()
}

fn of_binding(objects: &[Value], binding: &Value) -> Vec<Permission> {
    let scope = (binding["kind"] == "RoleBinding").then(|| text(&binding["metadata"]["namespace"]));
    let reference = &binding["roleRef"];
    let role = objects.iter().find(|role| {
        let is_there = role["kind"] == "ClusterRole" || role["metadata"]["namespace"].as_str() == scope;
        role["kind"] == reference["kind"] && role["metadata"]["name"] == reference["name"] && is_there
    });
    let role = role.unwrap_or_else(|| panic!("{reference} is there"));
    items(&role["rules"]).iter().flat_map(|rule| of_rule(scope, rule)).collect()
}

fn of_rule(namespace: Option<&str>, rule: &Value) -> Vec<Permission> {
    let names = match texts(&rule["resourceNames"]) {
        names if names.is_empty() => vec![None],
        names => names.into_iter().map(Some).collect(),
    };
    let mut permissions = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for name in &names {
                permissions.extend(texts(&rule["verbs"]).into_iter().map(|verb| Permission {
                    namespace: namespace.map(str::to_owned),
                    group: group.to_owned(),
                    resource: resource.to_owned(),
                    name: name.map(str::to_owned),
                    verb: verb.to_owned(),
                }));
            }
        }
    }
    permissions
}
