use super::*;

fn owner(manager: &str) -> Owner {
    Owner { manager: manager.to_owned(), is_apply: true, subresource: String::new() }
}

/// Applies by force, which fails nowhere.
fn apply(ownership: &mut Ownership, object: &mut Value, manager: &str, wanted: &Value) {
    ownership.apply(object, owner(manager), wanted, true).expect("it is forced");
}

#[test]
fn items_with_a_merge_key_are_merged_and_other_lists_are_one_value() {
    let (mut object, mut ownership) = (json!({}), Ownership::default());
    let theirs = json!({ "webhooks": [
        { "name": "pods", "rules": [{ "a": 1 }], "clientConfig": { "url": "https://a" } },
        { "name": "bindings", "rules": [{ "b": 1 }] },
    ] });
    apply(&mut ownership, &mut object, "kubectl", &theirs);
    let ours = json!({ "webhooks": [{ "name": "pods", "clientConfig": { "caBundle": "Cg==" } }] });
    ownership.apply(&mut object, owner("controller"), &ours, false).expect("nobody else owns the bundle");
    assert_eq!(object["webhooks"][0]["clientConfig"], json!({ "url": "https://a", "caBundle": "Cg==" }));
    assert_eq!(object["webhooks"][0]["rules"], json!([{ "a": 1 }]));
    assert_eq!(object["webhooks"].as_array().map(Vec::len), Some(2));
    // The manifest is applied again, without the bundle: it stays.
    apply(&mut ownership, &mut object, "kubectl", &theirs);
    assert_eq!(object["webhooks"][0]["clientConfig"]["caBundle"], "Cg==");
    let shorter = json!({ "webhooks": [{ "name": "pods", "rules": [{ "c": 1 }] }] });
    apply(&mut ownership, &mut object, "kubectl", &shorter);
    let left = json!([{ "name": "pods", "rules": [{ "c": 1 }], "clientConfig": { "caBundle": "Cg==" } }]);
    assert_eq!(object["webhooks"], left);
}

#[test]
fn owner_references_are_told_apart_by_uid() {
    let (mut object, mut ownership) = (json!({}), Ownership::default());
    let of = |uid: &str| json!({ "metadata": { "ownerReferences": [{ "kind": "Node", "name": "n", "uid": uid }] } });
    apply(&mut ownership, &mut object, "us", &of("1"));
    assert_eq!(object, of("1"));
    // A node that is made anew under its name has another UID.
    apply(&mut ownership, &mut object, "us", &of("2"));
    assert_eq!(object, of("2"));
    apply(&mut ownership, &mut object, "us", &json!({ "metadata": { "labels": { "a": "b" } } }));
    assert_eq!(
        object,
        json!({ "metadata": { "labels": { "a": "b" } } }),
        "what is left out of an apply is gone"
    );
}

#[test]
fn who_changes_a_field_owns_it() {
    let (mut object, mut ownership) = (json!({}), Ownership::default());
    apply(&mut ownership, &mut object, "us", &json!({ "data": { "a": "1", "b": "1" } }));
    let changed = json!({ "data": { "a": "2", "b": "1" } });
    let kubectl = Owner { is_apply: false, ..owner("kubectl-edit") };
    ownership.update(&object, &changed, kubectl);
    object = changed;
    let conflicts = ownership
        .apply(&mut object, owner("us"), &json!({ "data": { "a": "1", "b": "1" } }), false)
        .expect_err("it was changed by somebody");
    assert_eq!(conflicts, [(".data.a".to_owned(), "kubectl-edit".to_owned())]);
    assert_eq!(object["data"]["a"], "2", "a conflict changes nothing");
}

#[test]
fn the_same_manager_owns_apart_what_it_wrote_by_a_subresource() {
    let (mut object, mut ownership) = (json!({}), Ownership::default());
    apply(&mut ownership, &mut object, "agent", &json!({ "metadata": { "labels": { "a": "b" } } }));
    let status = Owner { subresource: "status".to_owned(), ..owner("agent") };
    ownership
        .apply(&mut object, status, &json!({ "status": { "dindMtu": 1400 } }), false)
        .expect("nobody else does");
    assert_eq!(object, json!({ "metadata": { "labels": { "a": "b" } }, "status": { "dindMtu": 1400 } }));
}
