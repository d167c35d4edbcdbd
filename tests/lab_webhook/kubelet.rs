//! What a kubelet makes of a container's environment and arguments.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Container, Pod};

/// The container's arguments, as its process gets them.
pub(crate) fn arguments(pod: &Pod, name: &str) -> Result<Vec<String>> {
    let spec = pod.spec.as_ref().context("it has a spec")?;
    let mut containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let container = containers.find(|container| container.name == name).context("it has the container")?;
    let environment = environment(pod, container)?;
    Ok(container.args.iter().flatten().map(|word| expanded(word, &environment)).collect())
}

/// In their order: a value sees those before it.
fn environment(pod: &Pod, container: &Container) -> Result<BTreeMap<String, String>> {
    let mut environment = BTreeMap::new();
    for entry in container.env.iter().flatten() {
        let value = match entry.value_from.as_ref().map(|source| &source.field_ref) {
            None => expanded(entry.value.as_deref().unwrap_or_default(), &environment),
            Some(Some(field)) => annotation(pod, &field.field_path)?,
            Some(None) => bail!("{} is from somewhere else", entry.name),
        };
        environment.insert(entry.name.clone(), value);
    }
    Ok(environment)
}

/// One that is missing is empty, without an error.
fn annotation(pod: &Pod, path: &str) -> Result<String> {
    let key = path.strip_prefix("metadata.annotations['").and_then(|rest| rest.strip_suffix("']"));
    let key = key.with_context(|| format!("{path} is an annotation"))?;
    Ok(pod.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned().unwrap_or_default())
}

/// `$(NAME)` becomes its value, if it has one, and `$$` a dollar.
fn expanded(text: &str, environment: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = rest.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = name {
            let unresolved = || format!("$({name})");
            out.push_str(&environment.get(name).cloned().unwrap_or_else(unresolved));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[test]
fn references_are_expanded_as_kubernetes_documents_it() {
    let environment = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
    for (text, expected) in [
        ("--mtu=$(A)", "--mtu=1"),
        ("$(A)$(A)", "11"),
        ("$(NONE)", "$(NONE)"),
        ("$$(A)", "$(A)"),
        ("$A $", "$A $"),
        ("$(A", "$(A"),
    ] {
        assert_eq!(expanded(text, &environment), expected, "{text}");
    }
}
