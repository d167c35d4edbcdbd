//! Reviews as an API server sends them.

use serde_json::{Value, json};

/// Of a pod that is made in the namespace `ci`.
pub(crate) fn of_pod(uid: &str, pod: &Value) -> Value {
    review(uid, "Pod", &json!({"resource": "pods"}), pod)
}

/// Of a pod that gets a node.
pub(crate) fn of_binding(uid: &str, node: &str) -> Value {
    let target = json!({"kind": "Node", "name": node});
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": target});
    review(uid, "Binding", &json!({"resource": "pods", "subResource": "binding"}), &binding)
}

/// A pod with these containers.
pub(crate) fn pod(containers: &Value) -> Value {
    let metadata = json!({"generateName": "p-", "namespace": "ci", "creationTimestamp": null});
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}, "status": {}})
}

fn review(uid: &str, kind: &str, of: &Value, object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": kind},
            "resource": {"group": "", "version": "v1", "resource": of["resource"]},
            "subResource": of["subResource"],
            "namespace": "ci",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:ci:runners", "uid": "1", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}
