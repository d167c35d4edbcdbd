#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]

use super::*;
use crate::domain::mtu::LinkMtu;
use serde_json::json;

fn values() -> Values {
    let mtu = |bytes| LinkMtu::new(bytes).expect("it is a size");
    Values {
        nodes: [("n1".to_owned(), mtu(1400))].into(),
        pools: [("p".to_owned(), mtu(1450))].into(),
        ..Values::default()
    }
}

fn review(resource: &str, subresource: Option<&str>, object: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": resource},
            "subResource": subresource,
            "namespace": "ci",
            "operation": "CREATE",
            "userInfo": {"username": "someone", "extra": {"a": ["b"]}},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "dind", "image": "docker:dind"}]}})
}

fn binding() -> Value {
    json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}})
}

fn answered(review: &Value) -> (Resource, Answer, AdmissionResponse, usize) {
    let body = serde_json::to_vec(review).expect("it is JSON");
    let Answered { review, resource, answer, containers } = answer(&body, &values()).expect("it is a review");
    let response = review.response.expect("it has an answer");
    assert!(response.allowed, "whatever it is");
    assert_eq!(response.uid, "u");
    (resource, answer, response, containers.len())
}

#[test]
fn pods_and_both_ways_to_bind_one_are_told_apart() {
    for (resource, subresource, object, expected) in [
        ("pods", None, pod(), (Resource::Pods, Answer::Injected)),
        ("pods", Some(""), pod(), (Resource::Pods, Answer::Injected)),
        ("pods", Some("binding"), binding(), (Resource::Bindings, Answer::Annotated)),
        ("bindings", None, binding(), (Resource::Bindings, Answer::Annotated)),
        ("pods", Some("status"), pod(), (Resource::Other, Answer::Unchanged)),
        ("nodes", None, json!({}), (Resource::Other, Answer::Unchanged)),
    ] {
        let (is, answer, response, _) = answered(&review(resource, subresource, object));
        assert_eq!((is, answer), expected, "{resource} {subresource:?}");
        assert_eq!(response.patch.is_some(), expected.0 != Resource::Other);
    }
}

#[test]
fn only_what_is_made_is_looked_at() {
    let mut update = review("pods", None, pod());
    update["request"]["operation"] = "UPDATE".into();
    assert_eq!(answered(&update).0, Resource::Other);
}

#[test]
fn a_pod_that_names_its_node_gets_the_nodes_own_value() {
    let mut pod = pod();
    pod["spec"]["nodeName"] = "n1".into();
    let (_, _, response, _) = answered(&review("pods", None, pod));
    let patch = String::from_utf8(response.patch.expect("it is injected")).expect("it is text");
    assert!(patch.contains(r#""mtu-agent.dev/dind-mtu":"1400""#), "{patch}");
}

#[test]
fn a_dry_run_is_answered_alike_and_not_counted_as_an_injection() {
    let mut dry = review("pods", None, pod());
    let (_, _, wet, counted) = answered(&dry);
    assert_eq!(counted, 1);
    dry["request"]["dryRun"] = true.into();
    let (_, answer, response, counted) = answered(&dry);
    assert_eq!((answer, response, counted), (Answer::Injected, wet, 0));
}

#[test]
fn an_object_that_cannot_be_read_passes_with_a_warning() {
    for (resource, subresource) in [("pods", None), ("pods", Some("binding"))] {
        for object in [Value::Null, json!({"metadata": 7, "spec": "secret"}), json!([])] {
            let (_, answer, response, _) = answered(&review(resource, subresource, object));
            assert_eq!((answer, response.patch), (Answer::Malformed, None));
            let warnings = response.warnings.expect("it is said");
            assert!(warnings[0].contains("could not be read"), "{warnings:?}");
            assert!(!warnings[0].contains("secret"), "{warnings:?}");
        }
    }
}

#[test]
fn a_patch_that_would_not_apply_is_not_sent() {
    // No API server sends a pod without metadata; the type has them all the same.
    let object = json!({"spec": pod()["spec"]});
    let (_, answer, response, _) = answered(&review("pods", None, object));
    assert_eq!((answer, response.patch), (Answer::Error, None));
    assert!(response.warnings.is_some());
}

#[test]
fn a_panic_is_a_yes_with_a_warning() {
    let (answer, reply) = guarded("u", || panic!("on purpose"));
    assert_eq!(answer, Answer::Error);
    assert!(reply.patch.is_empty() && reply.warnings.len() == 1, "{reply:?}");
}

#[test]
fn what_is_no_review_is_refused() {
    let refused = |review: Value| {
        let body = serde_json::to_vec(&review).expect("it is JSON");
        answer(&body, &values()).expect_err("it is none").to_string()
    };
    assert!(refused(json!({})).starts_with("read the body"));
    let mut old = review("pods", None, pod());
    old["apiVersion"] = "admission.k8s.io/v1beta1".into();
    assert!(refused(old).contains("v1beta1"));
    let mut empty = review("pods", None, pod());
    empty["request"] = Value::Null;
    assert_eq!(refused(empty), "the AdmissionReview has no request");
    assert!(answer(b"\xff", &values()).is_err());
}
