//! What is changed in a Binding: the API server copies its annotations to the pod, in the write that names the node.
//!
//! A Binding does not say whether there is a dockerd in the pod, so each pod gets the value. That it came this way is
//! told beside it: where nothing else asked for it, nobody minds when it gets old.
//!
//! It copies them unseen: a key or value that is not valid would be stored, and make every later update of the pod
//! fail. So both are what [`DindMtu`] and the names make them.

use json_patch::Patch;
use k8s_openapi::api::core::v1::Binding;

use super::patch::Additions;
use super::policy::DindMtu;
use crate::domain::fleet::Values;
use crate::publish::kubernetes::names::{BOUND, DIND_MTU};

/// Tells the pod the value of the node that it goes to. `None` if that is not known: the pod keeps what it has.
pub fn bind(binding: &Binding, values: &Values) -> Option<Patch> {
    let target = &binding.target;
    let is_node = target.kind.as_deref().is_none_or(|kind| kind.is_empty() || kind == "Node");
    let node = target.name.as_deref().filter(|_| is_node)?;
    let mtu = values.of_node(node).and_then(DindMtu::new)?;
    let mut additions = Additions::default();
    additions.annotations(&binding.metadata, &[(DIND_MTU, mtu.to_string()), (BOUND, mtu.to_string())]);
    Some(additions.into_patch())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mtu::LinkMtu;
    use serde_json::{Value, json};

    fn bound(mut binding: Value) -> Option<Value> {
        let mtu = |bytes| LinkMtu::new(bytes).expect("it is a size");
        let nodes = [("n1".to_owned(), mtu(1400)), ("odd".to_owned(), mtu(100))].into();
        let values = Values { nodes, ..Values::default() };
        let typed = serde_json::from_value(binding.clone()).expect("it is a Binding");
        json_patch::patch(&mut binding, &bind(&typed, &values)?).expect("it applies");
        Some(binding["metadata"]["annotations"].clone())
    }

    #[test]
    fn the_nodes_own_value_is_added_or_replaces_what_is_there() {
        let to = |kind: &str| json!({"kind": kind, "name": "n1"});
        let told = Some(json!({"mtu-agent.dev/dind-mtu": "1400", "mtu-agent.dev/bound-dind-mtu": "1400"}));
        assert_eq!(bound(json!({"metadata": {"name": "p"}, "target": to("Node")})), told);
        assert_eq!(bound(json!({"metadata": {"name": "p"}, "target": {"name": "n1"}})), told);
        assert_eq!(bound(json!({"metadata": {"annotations": null}, "target": to("")})), told);
        let other = json!({"mtu-agent.dev/dind-mtu": "9", "a/b~c": "x"});
        let mut both = told.clone();
        both.as_mut().expect("it is there")["a/b~c"] = "x".into();
        assert_eq!(bound(json!({"metadata": {"annotations": other}, "target": to("Node")})), both);
    }

    #[test]
    fn what_is_not_known_or_no_mtu_leaves_the_binding_alone() {
        for target in
            [json!({"name": "n2"}), json!({"name": "odd"}), json!({"kind": "Service", "name": "n1"})]
        {
            assert_eq!(bound(json!({"metadata": {}, "target": target})), None, "{target}");
        }
        assert_eq!(bound(json!({"metadata": {}, "target": {}})), None);
    }

    #[test]
    fn the_keys_are_qualified_names() {
        for key in [DIND_MTU, BOUND, crate::publish::kubernetes::names::STATUS] {
            let (prefix, name) = key.split_once('/').expect("it has a prefix");
            let is = |char: char| char.is_ascii_lowercase() || char == '-';
            assert!(prefix.split('.').all(|label| !label.is_empty() && label.chars().all(is)), "{key}");
            assert!(name.len() <= 63 && name.starts_with(|char: char| char.is_ascii_lowercase()));
            assert!(name.chars().all(is) && !name.ends_with('-'), "{key}");
        }
    }
}
