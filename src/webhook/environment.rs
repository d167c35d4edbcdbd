//! The environment variable that carries the value into a container.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector};

use super::policy::DindMtu;
use crate::publish::kubernetes::names::{DIND_MTU, DIND_MTU_ENV};

/// What a container has under the variable's name; the last one if there are several, as the kubelet takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// Nothing.
    Absent,
    /// The annotation, by the downward API.
    Ours,
    /// A value of the user's that dockerd takes.
    Bytes(DindMtu),
    /// One that may be empty or no number when the container starts: dockerd would refuse to.
    Unclear,
}

impl Variable {
    pub(super) fn of(container: &Container) -> Self {
        let mut entries = container.env.iter().flatten();
        let Some(entry) = entries.rfind(|entry| entry.name == DIND_MTU_ENV) else { return Self::Absent };
        if reads_the_annotation(entry) {
            return Self::Ours;
        }
        entry.value.as_deref().and_then(DindMtu::parse).map_or(Self::Unclear, Self::Bytes)
    }
}

/// An entry that reads the annotation at each start of the container.
pub(super) fn our_entry() -> EnvVar {
    let field = ObjectFieldSelector { api_version: None, field_path: our_field() };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: DIND_MTU_ENV.to_owned(), value: None, value_from: Some(source) }
}

fn our_field() -> String {
    format!("metadata.annotations['{DIND_MTU}']")
}

/// Whether this is the annotation by the downward API, under whichever name.
pub(super) fn reads_the_annotation(entry: &EnvVar) -> bool {
    let field = entry.value_from.as_ref().and_then(|source| source.field_ref.as_ref());
    field.is_some_and(|field| field.field_path == our_field())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn variable(env: &Value) -> Variable {
        let container = serde_json::from_value(json!({"name": "dind", "env": env}));
        Variable::of(&container.expect("it is a container"))
    }

    #[test]
    fn the_variable_is_ours_the_users_or_unclear() {
        let ours = serde_json::to_value(our_entry()).expect("it is JSON");
        let of_user = |value: &str| json!({"name": DIND_MTU_ENV, "value": value});
        let from_map =
            json!({"name": DIND_MTU_ENV, "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}});
        assert_eq!(variable(&json!([{"name": "OTHER", "value": "1"}])), Variable::Absent);
        assert_eq!(variable(&json!([ours])), Variable::Ours);
        assert_eq!(
            variable(&json!([of_user("1400")])),
            Variable::Bytes(DindMtu::parse("1400").expect("it is a size"))
        );
        for unclear in [of_user(""), of_user("$(OTHER)"), from_map, json!({"name": DIND_MTU_ENV})] {
            assert_eq!(variable(&json!([ours, unclear])), Variable::Unclear, "{unclear}");
        }
    }
}
