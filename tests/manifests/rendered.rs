//! What `kubectl apply -k` sends.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use mtu_agent::controller::config::DRAIN;
use mtu_agent::publish::kubernetes::names::CONTROLLER_NAMESPACE;
use serde_json::{Value, json};

use super::documents::{directory, find, is, items, parse, text, texts};
use super::kinds;
use super::kustomize::{COMPONENTS, OVERLAYS, custom, overlay, with};

fn assert_sound(name: &str, objects: &[Value]) {
    let mut seen = BTreeSet::new();
    for object in objects {
        assert_eq!(kinds::unknown(object), [""; 0], "{name}");
        let metadata = &object["metadata"];
        assert_eq!(metadata["labels"]["app.kubernetes.io/part-of"], "mtu-agent", "{name}: {object}");
        let namespace = metadata["namespace"].as_str();
        assert!(namespace.is_none_or(|it| ["mtu-agent", CONTROLLER_NAMESPACE].contains(&it)), "{object}");
        let id = (text(&object["kind"]), namespace, text(&metadata["name"]));
        assert!(seen.insert(id), "{name}: {id:?} is there twice");
    }
}

#[test]
fn every_overlay_and_component_is_in_the_lists_of_this_test() {
    let there = |kind: &str| {
        let entries = fs::read_dir(directory().join(kind)).expect("it is a directory");
        let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("it is ASCII");
        entries.map(|entry| name(entry.expect("it can be read"))).collect::<BTreeSet<_>>()
    };
    assert_eq!(there("overlays"), OVERLAYS.map(str::to_owned).into());
    assert_eq!(there("components"), COMPONENTS.map(str::to_owned).into());
}

#[test]
fn every_overlay_renders_to_objects_that_are_strictly_of_their_kinds() {
    for name in OVERLAYS {
        assert_sound(name, &overlay(name));
    }
}

#[test]
fn every_component_goes_on_top_alone_and_with_all_others() {
    for name in COMPONENTS {
        assert_sound(name, &with(&[name]));
    }
    let all = ["cert-manager", "dashboards", "flow-control", "openshift", "prometheus-operator", "tuning"];
    let objects = with(&all);
    assert_sound("all", &objects);
    let scc = find(&objects, "SecurityContextConstraints", "");
    let pod = &find(&objects, "DaemonSet", "")["spec"]["template"]["spec"];
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(scc["allowHostPID"], true);
    assert_eq!(scc["allowedCapabilities"], container["capabilities"]["add"]);
}

#[test]
fn both_roles_run_one_image_that_an_overlay_names() {
    let image = |objects: &[Value], kind: &str| {
        text(&find(objects, kind, "")["spec"]["template"]["spec"]["containers"][0]["image"]).to_owned()
    };
    for name in OVERLAYS {
        let objects = overlay(name);
        assert_eq!(image(&objects, "DaemonSet"), "mtu-agent:dev", "{name}");
        assert_eq!(image(&objects, "Deployment"), "mtu-agent:dev", "{name}");
    }
}

#[test]
fn observe_only_touches_no_pod() {
    let objects = overlay("observe-only");
    assert!(!objects.iter().any(|object| is(object, "MutatingWebhookConfiguration", "")));
    assert!(!objects.iter().any(|object| is(object, "Service", "")));
    find(&objects, "DaemonSet", "");
    let container = &find(&objects, "Deployment", "")["spec"]["template"]["spec"]["containers"][0];
    let told = json!({"name": "MTU_AGENT_CERTIFICATES", "value": "none"});
    assert!(
        items(&container["env"]).contains(&told),
        "or it would wait for a certificate and never be ready"
    );
}

#[test]
fn the_kubelet_waits_for_a_controller_that_answers_while_services_still_lead_to_it() {
    let objects = overlay("default");
    let pod = &find(&objects, "Deployment", "")["spec"]["template"]["spec"];
    let grace = Duration::from_secs(pod["terminationGracePeriodSeconds"].as_u64().expect("a number"));
    assert!(
        grace >= DRAIN + Duration::from_secs(5),
        "{grace:?}: the answers under way and the Lease take time"
    );
}

#[test]
fn with_cert_manager_the_controller_makes_no_certificates() {
    let objects = with(&["cert-manager"]);
    assert!(!objects.iter().any(|object| object["metadata"]["name"] == "mtu-agent-certificates"));
    let container = &find(&objects, "Deployment", "")["spec"]["template"]["spec"]["containers"][0];
    let told = json!({"name": "MTU_AGENT_CERTIFICATES", "value": "cert-manager"});
    assert!(items(&container["env"]).contains(&told));
    let certificate = find(&objects, "Certificate", "mtu-agent-webhook");
    let configuration = find(&objects, "MutatingWebhookConfiguration", "");
    let from = &configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    assert_eq!(*from, format!("{CONTROLLER_NAMESPACE}/{}", text(&certificate["metadata"]["name"])));
    let service = &configuration["webhooks"][0]["clientConfig"]["service"];
    let host = format!("{}.{}.svc", text(&service["name"]), text(&service["namespace"]));
    assert_eq!(texts(&certificate["spec"]["dnsNames"]), [host]);
}

#[test]
fn open_shift_admits_exactly_the_agent_that_is_there() {
    let objects = overlay("openshift");
    let scc = find(&objects, "SecurityContextConstraints", "");
    let pod = &find(&objects, "DaemonSet", "")["spec"]["template"]["spec"];
    let context = &pod["containers"][0]["securityContext"];
    assert_eq!(scc["allowedCapabilities"], context["capabilities"]["add"]);
    assert_eq!(scc["requiredDropCapabilities"], context["capabilities"]["drop"]);
    assert_eq!(scc["allowHostPID"], false);
    assert_eq!(scc["allowPrivilegedContainer"], false);
    let role = find(&objects, "Role", "mtu-agent-scc");
    assert_eq!(role["rules"][0]["resourceNames"][0], scc["metadata"]["name"]);
    let controller = &find(&objects, "Deployment", "")["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(controller["runAsUser"], Value::Null, "it is of the namespace's range there");
}

#[test]
fn monitors_select_the_pods_and_their_port() {
    let objects = with(&["prometheus-operator"]);
    for (monitor, kind) in [("mtu-agent", "DaemonSet"), ("mtu-agent-controller", "Deployment")] {
        let monitor = find(&objects, "PodMonitor", monitor);
        let workload = find(&objects, kind, "");
        assert_eq!(monitor["metadata"]["namespace"], workload["metadata"]["namespace"]);
        let template = &workload["spec"]["template"];
        let wanted = monitor["spec"]["selector"]["matchLabels"].as_object().expect("it selects by labels");
        assert!(wanted.iter().all(|(key, value)| template["metadata"]["labels"][key] == *value));
        let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
        let ports = items(&template["spec"]["containers"][0]["ports"]);
        assert!(ports.iter().any(|it| it["name"] == *port && it["containerPort"] == 9817));
    }
}

#[test]
fn jobs_are_called_as_alerts_and_dashboards_expect() {
    let objects = with(&["prometheus-operator"]);
    for name in ["mtu-agent", "mtu-agent-controller"] {
        let relabelings =
            &find(&objects, "PodMonitor", name)["spec"]["podMetricsEndpoints"][0]["relabelings"];
        assert!(items(relabelings).contains(&json!({"targetLabel": "job", "replacement": name})), "{name}");
        assert!(items(relabelings).iter().any(|it| it["targetLabel"] == "node"), "{name}");
    }
}

#[test]
fn every_dashboard_is_in_a_config_map_that_a_sidecar_finds() {
    let objects = with(&["dashboards"]);
    let is_dashboard = |it: &&Value| it["metadata"]["labels"]["grafana_dashboard"] == "1";
    let mut found = BTreeSet::new();
    for config_map in objects.iter().filter(is_dashboard) {
        assert_eq!(config_map["kind"], "ConfigMap");
        for (file, json) in config_map["data"].as_object().expect("it has data") {
            let dashboard: Value = serde_json::from_str(text(json)).expect("it is JSON");
            assert_eq!(*file, format!("{}.json", text(&dashboard["uid"])));
            found.insert(file.clone());
        }
    }
    let files = fs::read_dir(directory().join("../dashboards")).expect("it is a directory");
    let names =
        files.map(|file| file.expect("it can be read").file_name().into_string().expect("it is ASCII"));
    let uids = names.filter_map(|name| Some(format!("mtu-agent-{}.json", name.strip_suffix(".json")?)));
    assert_eq!(found, uids.collect());
}

#[test]
fn the_kustomizations_of_the_documentation_do_what_it_says() {
    let page = fs::read_to_string(directory().join("../docs/monitoring.md")).expect("it can be read");
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().expect("it ends"));
    let blocks: Vec<_> = blocks.filter(|block| !block.contains("scrape_configs")).collect();
    let [mut kustomization, replaced] = [0, 1].map(|at: usize| parse(blocks[at]).remove(0));
    let fields = kustomization.as_object_mut().expect("it is one");
    fields.extend(replaced.as_object().expect("it is one").clone());
    let objects = custom(&kustomization);
    let labelled = |object: &Value| object["metadata"]["labels"]["release"] == "kube-prometheus-stack";
    assert!(objects.iter().all(labelled));
    let alerts = items(&find(&objects, "PrometheusRule", "")["spec"]["groups"]).iter();
    for alert in alerts.flat_map(|group| items(&group["rules"])) {
        let url =
            format!("https://git.example.org/mtu-agent/blob/main/docs/runbooks/{}.md", text(&alert["alert"]));
        assert_eq!(alert["annotations"]["runbook_url"], url);
    }
}

#[test]
fn agents_have_a_priority_level_of_their_own() {
    let objects = with(&["flow-control"]);
    let schema = find(&objects, "FlowSchema", "");
    let level = find(&objects, "PriorityLevelConfiguration", "");
    assert_eq!(schema["spec"]["priorityLevelConfiguration"]["name"], level["metadata"]["name"]);
    let account = &schema["spec"]["rules"][0]["subjects"][0]["serviceAccount"];
    assert_eq!(*account, json!({"name": "mtu-agent", "namespace": "mtu-agent"}));
}
