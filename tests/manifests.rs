//! The manifests in `daemonset/`: strictly of their kinds, no more than the code needs, and in agreement with it.

#[path = "manifests/documents.rs"]
mod documents;
#[path = "manifests/foreign.rs"]
mod foreign;
#[path = "manifests/kinds.rs"]
mod kinds;
#[path = "manifests/kustomize.rs"]
mod kustomize;
#[path = "manifests/permissions.rs"]
mod permissions;
#[path = "manifests/policy.rs"]
mod policy;

#[path = "manifests/command_line.rs"]
mod command_line;
#[path = "manifests/lived.rs"]
mod lived;
#[path = "manifests/pods.rs"]
mod pods;
#[path = "manifests/rendered.rs"]
mod rendered;

use std::collections::BTreeSet;

use mtu_agent::publish::kubernetes::names;
use serde_json::{Value, json};

use documents::{all, find, is, is_kustomization, items, object, objects, text, texts};

fn base() -> Vec<Value> {
    objects("base/").into_iter().map(|(_, object)| object).collect()
}

#[test]
fn every_object_has_only_fields_that_its_kind_knows() {
    for (file, mut object) in objects("") {
        let is_part_of_base = file.starts_with("base/") || file.starts_with("examples/");
        if let (Some(object), false) = (object.as_object_mut(), is_part_of_base) {
            object.remove("$patch");
        }
        assert_eq!(kinds::unknown(&object), [""; 0], "{file}");
    }
}

#[test]
fn a_field_that_is_none_is_found_and_so_is_a_value_of_another_type() {
    let mut object = object("base/agent-daemonset.yaml");
    let pod = &mut object["spec"]["template"]["spec"];
    pod["hostNetWork"] = json!(true);
    pod["containers"][0]["livenessProbe"]["httpGet"]["url"] = json!("/");
    let found = kinds::unknown(&object);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("/spec/template/spec/containers/0/livenessProbe/httpGet/url"), "{found:?}");
    assert!(found[1].starts_with("/spec/template/spec/hostNetWork"), "{found:?}");
    object["spec"]["template"]["spec"]["hostNetwork"] = json!("yes");
    assert_eq!(kinds::unknown(&object).len(), 1);
    object["kind"] = json!("DemonSet");
    assert_eq!(kinds::unknown(&object).len(), 1);
}

#[test]
fn the_base_is_every_file_beside_it_and_each_holds_one_object() {
    let kustomization = object("base/kustomization.yaml");
    let listed = texts(&kustomization["resources"]).into_iter().collect::<BTreeSet<_>>();
    let files = all();
    let mut there = BTreeSet::new();
    for (file, documents) in &files {
        let Some(file) = file.strip_prefix("base/") else { continue };
        assert_eq!(documents.len(), 1, "{file}");
        if !is_kustomization(&documents[0]) {
            there.insert(file);
        }
    }
    assert_eq!(listed, there);
}

#[test]
fn names_are_those_of_the_code() {
    let objects = base();
    find(&objects, "Namespace", names::CONTROLLER_NAMESPACE);
    let configuration = find(&objects, "MutatingWebhookConfiguration", names::WEBHOOK_CONFIGURATION);
    find(&objects, "Service", names::WEBHOOK_SERVICE);
    let selected = json!({"matchLabels": {names::INJECT_LABEL: names::ENABLED}});
    for webhook in items(&configuration["webhooks"]) {
        assert_eq!(webhook["namespaceSelector"], selected);
    }
    let namespace = object("examples/runner-namespace.yaml");
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(labels[names::INJECT_LABEL], names::ENABLED);
    assert_eq!(labels[names::CONFIG_MAP_LABEL], names::ENABLED);
    assert!(namespace["metadata"]["annotations"][names::POOLS].is_string());
}

#[test]
fn nobody_else_may_do_anything_and_no_rule_has_a_wildcard() {
    let accounts = BTreeSet::from(["mtu-agent", "mtu-agent-controller"]);
    let objects = base();
    for binding in objects.iter().filter(|object| text(&object["kind"]).ends_with("RoleBinding")) {
        for subject in items(&binding["subjects"]) {
            assert_eq!(subject["kind"], "ServiceAccount");
            assert_eq!(subject["name"], subject["namespace"]);
            assert!(accounts.contains(text(&subject["name"])), "{subject}");
        }
    }
    for role in objects.iter().filter(|object| is(object, "Role", "") || is(object, "ClusterRole", "")) {
        assert!(!role["rules"].to_string().contains('*'), "{role}");
    }
}

#[test]
fn no_webhook_can_stop_a_pod() {
    let configuration = object("base/webhook.yaml");
    assert_eq!(items(&configuration["webhooks"]).len(), 2);
    for webhook in items(&configuration["webhooks"]) {
        assert_eq!(webhook["failurePolicy"], "Ignore");
        assert_eq!(webhook["sideEffects"], "None");
        assert_eq!(webhook["timeoutSeconds"], 2);
        assert_eq!(webhook["clientConfig"]["caBundle"], Value::Null, "the controller's business");
    }
}

#[test]
fn the_api_server_finds_the_webhook_through_its_service() {
    let objects = base();
    let configuration = find(&objects, "MutatingWebhookConfiguration", "");
    let service = find(&objects, "Service", names::WEBHOOK_SERVICE);
    for webhook in items(&configuration["webhooks"]) {
        let to = &webhook["clientConfig"]["service"];
        assert_eq!(to["name"], service["metadata"]["name"]);
        assert_eq!(to["namespace"], service["metadata"]["namespace"]);
        assert_eq!(to["port"], service["spec"]["ports"][0]["port"]);
    }
    let deployment = find(&objects, "Deployment", "");
    let template = &deployment["spec"]["template"];
    let ports = items(&template["spec"]["containers"][0]["ports"]);
    let port = ports.iter().find(|port| port["name"] == service["spec"]["ports"][0]["targetPort"]);
    assert_eq!(port.expect("it is a port of the container")["containerPort"], 9443);
    let selectors = [
        &service["spec"]["selector"],
        &deployment["spec"]["selector"]["matchLabels"],
        &find(&objects, "PodDisruptionBudget", "")["spec"]["selector"]["matchLabels"],
        &find(&objects, "NetworkPolicy", "")["spec"]["podSelector"]["matchLabels"],
        &template["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ];
    for selector in selectors {
        assert_eq!(*selector, template["metadata"]["labels"]);
    }
}

/// This list has no keys: `kubectl apply` compares it as a whole with what the server has filled in.
#[test]
fn an_apply_that_changes_nothing_writes_no_network_policy() {
    let objects = base();
    let spec = &find(&objects, "NetworkPolicy", "")["spec"];
    let rules = [&spec["ingress"], &spec["egress"]].into_iter().flat_map(items);
    let ports: Vec<_> = rules.flat_map(|rule| items(&rule["ports"])).collect();
    assert!(!ports.is_empty());
    for port in ports {
        assert!(port["protocol"].is_string(), "{port}");
    }
}

/// A request of an agent that runs on `node-1`, with `extra` in its user's information.
fn request(operation: &str, extra: &Value) -> Value {
    let user = json!({"username": "system:serviceaccount:mtu-agent:mtu-agent", "extra": extra});
    json!({"operation": operation, "userInfo": user})
}

#[test]
fn an_agent_writes_the_node_mtu_of_its_own_node_only() {
    let refusal = |request: &Value, object: &Value, old: &Value| {
        policy::refusal("base/nodemtu-policy.yaml", request, object, old)
    };
    let said = |text: &str| Some(text.to_owned());
    let bound = json!({"authentication.kubernetes.io/node-name": ["node-1"]});
    let [own, other] = ["node-1", "node-2"].map(|name| json!({"metadata": {"name": name}}));
    for operation in ["CREATE", "UPDATE"] {
        assert_eq!(refusal(&request(operation, &bound), &own, &Value::Null), None);
        let barred = "an agent on node-1 may write only the NodeMtu of its own node, not node-2";
        assert_eq!(refusal(&request(operation, &bound), &other, &Value::Null), said(barred));
        let unbound = "this token is not bound to a pod on a node";
        assert_eq!(refusal(&request(operation, &json!({})), &own, &Value::Null), said(unbound));
        let mut bare = request(operation, &Value::Null);
        bare["userInfo"].as_object_mut().expect("it is an object").remove("extra");
        assert_eq!(refusal(&bare, &own, &Value::Null), said(unbound));
    }
    let deletion = request("DELETE", &bound);
    assert_eq!(refusal(&deletion, &Value::Null, &own), said("an agent deletes no NodeMtu"));
    assert!(refusal(&deletion, &Value::Null, &other).is_some());
    let mut somebody = request("DELETE", &Value::Null);
    somebody["userInfo"]["username"] = json!("system:serviceaccount:kube-system:generic-garbage-collector");
    assert_eq!(refusal(&somebody, &Value::Null, &own), None, "only agents are held to anything");
}

#[test]
fn the_policy_covers_the_status_as_well_and_denies() {
    let objects = base();
    let policy = find(&objects, "ValidatingAdmissionPolicy", "");
    let rule = &policy["spec"]["matchConstraints"]["resourceRules"][0];
    assert_eq!(texts(&rule["resources"]), ["nodemtus", "nodemtus/status"]);
    assert_eq!(policy["spec"]["failurePolicy"], "Fail");
    let binding = find(&objects, "ValidatingAdmissionPolicyBinding", "");
    assert_eq!(binding["spec"]["policyName"], policy["metadata"]["name"]);
    assert_eq!(texts(&binding["spec"]["validationActions"]), ["Deny"]);
}

#[test]
fn the_example_has_a_value_whatever_the_controller_does() {
    let pod = object("examples/runner-pod.yaml");
    let dind = &pod["spec"]["containers"][0];
    assert_eq!(texts(&dind["args"]), [format!("--mtu=$({})", names::CONFIG_MAP_KEY)]);
    let [default, ours] = items(&dind["envFrom"]) else { panic!("two sources, of which the second wins") };
    let fallback = object("examples/dind-mtu-default.yaml");
    assert_eq!(default["configMapRef"], json!({"name": fallback["metadata"]["name"]}));
    assert_eq!(ours["configMapRef"], json!({"name": names::CONFIG_MAP, "optional": true}));
    assert_eq!(fallback["data"], json!({names::CONFIG_MAP_KEY: "1280"}));
}
