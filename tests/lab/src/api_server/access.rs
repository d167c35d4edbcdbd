//! Role-based access control: what a request asks for, and what manifests allow.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{failure::Failure, kind::Target};

/// What a request needs to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for the core.
    pub group: String,
    /// Resource, with its subresource: `nodemtus/status`.
    pub resource: String,
    /// `None` for cluster-scoped resources, and for all namespaces at once.
    pub namespace: Option<String>,
    /// `None` if the request does not say: a POST, and a list or watch without `metadata.name`.
    pub name: Option<String>,
}

impl Permission {
    pub(super) fn new(verb: &str, target: &Target, name: Option<&str>) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let slash = if target.subresource.is_empty() { "" } else { "/" };
        Self {
            verb: verb.to_owned(),
            group: target.kind.group.clone(),
            resource: format!("{}{slash}{}", target.kind.plural, target.subresource),
            // A namespace is in itself.
            namespace: if target.kind.is("Namespace") {
                given(&target.name)
            } else {
                given(&target.namespace)
            },
            name: name.map(str::to_owned),
        }
    }

    pub(super) fn refused(&self, user: &str) -> Failure {
        let name = self.name.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
        let scope = self.namespace.as_ref().map_or_else(
            || "at the cluster scope".to_owned(),
            |namespace| format!("in the namespace \"{namespace}\""),
        );
        let qualified = if self.group.is_empty() {
            self.resource.clone()
        } else {
            format!("{}.{}", self.resource, self.group)
        };
        let message = format!(
            "{qualified}{name} is forbidden: User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {scope}",
            self.verb, self.resource, self.group
        );
        Failure::new(403, message)
    }
}

/// A write that permissions allow, for whoever stands for an admission policy.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who asks; empty for whoever sends no token.
    pub user: String,
    /// The node of the pod that their token is bound to.
    pub node: Option<String>,
    /// What they ask for.
    pub permission: Permission,
}

/// Who sends a token, and what is allowed to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    pub(super) user: String,
    /// The node of the pod that the token is bound to.
    pub(super) node: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// `None`: of a cluster role that is bound for all namespaces.
    namespace: Option<String>,
    groups: BTreeSet<String>,
    resources: BTreeSet<String>,
    names: BTreeSet<String>,
    verbs: BTreeSet<String>,
}

impl Account {
    /// What the roles in the manifests allow that their bindings give to a service account.
    pub(super) fn bound(namespace: &str, name: &str, documents: &[Value]) -> Result<Self> {
        let mut rules = Vec::new();
        let binds = |document: &&Value| {
            (document["kind"] == "RoleBinding" || document["kind"] == "ClusterRoleBinding")
                && document["subjects"].as_array().into_iter().flatten().any(|subject| {
                    subject["kind"] == "ServiceAccount"
                        && subject["name"] == name
                        && subject["namespace"] == namespace
                })
        };
        for binding in documents.iter().filter(binds) {
            let scope = (binding["kind"] == "RoleBinding").then(|| binding["metadata"]["namespace"].clone());
            let reference = &binding["roleRef"];
            let role = documents.iter().find(|role| {
                let is_here =
                    role["kind"] != "Role" || scope.as_ref() == Some(&role["metadata"]["namespace"]);
                role["kind"] == reference["kind"] && role["metadata"]["name"] == reference["name"] && is_here
            });
            let role = role.with_context(|| format!("find {} {}", reference["kind"], reference["name"]))?;
            let scope =
                scope.map(|scope| scope.as_str().map(str::to_owned).context("a RoleBinding has a namespace"));
            let scope = scope.transpose()?;
            rules.extend(
                role["rules"].as_array().into_iter().flatten().map(|rule| Rule::new(scope.as_deref(), rule)),
            );
        }
        Ok(Self { user: format!("system:serviceaccount:{namespace}:{name}"), node: None, rules })
    }

    pub(super) fn may(&self, wanted: &Permission) -> bool {
        self.rules.iter().any(|rule| rule.allows(wanted))
    }
}

impl Rule {
    fn new(namespace: Option<&str>, rule: &Value) -> Self {
        let words = |key: &str| {
            rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            namespace: namespace.map(str::to_owned),
            groups: words("apiGroups"),
            resources: words("resources"),
            names: words("resourceNames"),
            verbs: words("verbs"),
        }
    }

    fn allows(&self, wanted: &Permission) -> bool {
        let has = |words: &BTreeSet<String>, word: &str| words.contains("*") || words.contains(word);
        let of_any = wanted
            .resource
            .split_once('/')
            .is_some_and(|(_, sub)| self.resources.contains(&format!("*/{sub}")));
        (self.namespace.is_none() || self.namespace == wanted.namespace)
            && has(&self.verbs, &wanted.verb)
            && has(&self.groups, &wanted.group)
            && (has(&self.resources, &wanted.resource) || of_any)
            && (self.names.is_empty() || wanted.name.as_ref().is_some_and(|name| self.names.contains(name)))
    }
}
