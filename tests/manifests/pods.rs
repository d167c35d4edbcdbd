//! What the pods may do on their nodes.

use std::collections::BTreeSet;

use mtu_agent::discovery::survey::Sources;
use mtu_agent::publish::host_file;
use serde_json::{Value, json};

use super::documents::{find, is, items, object, text, texts};
use super::{base, kustomize};

/// The capabilities that docs/agent.md names, as Kubernetes spells them.
const OBSERVE: [&str; 3] = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST"];
const TUNING: [&str; 5] = ["NET_ADMIN", "NET_RAW", "NET_BROADCAST", "SYS_ADMIN", "SYS_PTRACE"];

fn agent(objects: &[Value]) -> (&Value, &Value) {
    let pod = &find(objects, "DaemonSet", "")["spec"]["template"]["spec"];
    (pod, &pod["containers"][0])
}

#[test]
fn the_agent_has_three_capabilities_and_no_other_privilege() {
    let objects = base();
    let (pod, container) = agent(&objects);
    assert_eq!(items(&pod["containers"]).len(), 1);
    let context = json!({
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"], "add": OBSERVE},
    });
    assert_eq!(container["securityContext"], context);
    assert_eq!(pod["securityContext"], json!({"seccompProfile": {"type": "RuntimeDefault"}}));
    for not_given in ["hostPID", "hostIPC", "initContainers", "shareProcessNamespace"] {
        assert_eq!(pod[not_given], Value::Null, "{not_given}");
    }
}

#[test]
fn the_documentation_names_the_same_capabilities() {
    let documented = include_str!("../../docs/agent.md");
    let row = |capabilities: &[&str]| {
        let names = capabilities.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
        documented.lines().any(|line| line.starts_with(&format!("| {}", names.join(", "))))
    };
    assert!(OBSERVE.iter().all(|name| row(&[name])));
    assert!(row(&TUNING[OBSERVE.len()..]));
}

#[test]
fn the_component_for_tuning_adds_two_capabilities_host_pids_and_one_role() {
    let mut objects = kustomize::overlay("tuning");
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        let added = objects.iter().position(|object| is(object, kind, "mtu-agent-tuning"));
        objects.remove(added.expect("it is there"));
    }
    let (pod, container) = agent(&objects);
    let mut expected = kustomize::overlay("default");
    let daemon_set = expected.iter_mut().find(|object| object["kind"] == "DaemonSet").expect("it is there");
    let patched = &mut daemon_set["spec"]["template"]["spec"];
    patched["hostPID"] = json!(true);
    let added = &mut patched["containers"][0];
    added["securityContext"]["capabilities"]["add"] = json!(TUNING);
    let environment = added["env"].as_array_mut().expect("it has some");
    environment.insert(0, json!({"name": "MTU_AGENT_TUNE", "value": "links"}));
    assert_eq!((pod, container), agent(&expected));
    assert_eq!(objects, expected);
}

#[test]
fn the_agent_sees_the_files_that_it_reads_at_the_places_where_it_looks() {
    let objects = base();
    let (pod, container) = agent(&objects);
    let volume = |name: &Value| {
        let volume = items(&pod["volumes"]).iter().find(|volume| volume["name"] == *name);
        volume.unwrap_or_else(|| panic!("volume {name}"))
    };
    let mut seen = BTreeSet::new();
    for mount in items(&container["volumeMounts"]) {
        let host = &volume(&mount["name"])["hostPath"];
        if host.is_null() {
            continue;
        }
        assert_eq!(host["path"], mount["mountPath"], "the agent looks where the host has it");
        let is_written = text(&host["path"]) == host_file::DIRECTORY;
        assert_eq!(mount["readOnly"] == true, !is_written, "{mount}");
        seen.insert(text(&host["path"]).to_owned());
    }
    // Addresses are asked of the kernel.
    let Sources { pod_logs, cni_config, calico_mtu, addresses: _ } = Sources::default();
    let calico = calico_mtu.parent().expect("it is in a directory").to_owned();
    let mut expected: BTreeSet<String> =
        [pod_logs, cni_config, calico].map(|path| path.to_str().expect("it is ASCII").to_owned()).into();
    expected.extend([host_file::DIRECTORY.to_owned(), "/run/netns".to_owned()]);
    assert_eq!(seen, expected);
}

#[test]
fn probes_of_the_agent_stay_on_loopback_and_metrics_alone_leave_the_host() {
    let objects = base();
    let (pod, container) = agent(&objects);
    assert_eq!(pod["hostNetwork"], true);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!((&get["host"], &get["port"]), (&json!("127.0.0.1"), &json!(9817)), "{probe}");
    }
    let variable = |name: &str| {
        items(&container["env"]).iter().find(|variable| variable["name"] == name).expect("it is there")
    };
    assert_eq!(variable("MTU_AGENT_METRICS_LISTEN")["value"], "$(NODE_IP):9817");
    assert_eq!(variable("NODE_IP")["valueFrom"]["fieldRef"]["fieldPath"], "status.hostIP");
    let is_listen = |variable: &Value| variable["name"] == "MTU_AGENT_LISTEN";
    assert!(!items(&container["env"]).iter().any(is_listen), "its default is loopback");
}

/// The restricted level of the Pod Security Standards, as far as a pod without odd fields can break it.
fn assert_restricted(pod: &Value) {
    for barred in ["hostNetwork", "hostPID", "hostIPC", "volumes", "initContainers"] {
        assert_eq!(pod[barred], Value::Null, "{barred}");
    }
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_ne!(pod["securityContext"]["runAsUser"], 0);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in items(&pod["containers"]) {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        for get in ["startupProbe", "livenessProbe", "readinessProbe"].map(|it| &container[it]["httpGet"]) {
            assert_eq!(get["host"], Value::Null);
        }
        assert!(items(&container["ports"]).iter().all(|port| port["hostPort"].is_null()));
    }
}

#[test]
fn the_controller_is_restricted_and_so_is_its_namespace() {
    assert_restricted(&object("base/controller-deployment.yaml")["spec"]["template"]["spec"]);
    let level = |file: &str| {
        text(&object(file)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]).to_owned()
    };
    assert_eq!(level("base/namespace-controller.yaml"), "restricted");
    assert_eq!(level("base/namespace-agent.yaml"), "privileged");
    for overlay in kustomize::OVERLAYS {
        let objects = kustomize::overlay(overlay);
        assert_restricted(&find(&objects, "Deployment", "")["spec"]["template"]["spec"]);
    }
}

#[test]
fn two_controllers_are_on_two_nodes_and_one_stays_when_nodes_are_drained() {
    let objects = base();
    let spec = &find(&objects, "Deployment", "")["spec"];
    assert_eq!(spec["replicas"], 2);
    let spread = &spec["template"]["spec"]["topologySpreadConstraints"][0];
    assert_eq!(spread["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(find(&objects, "PodDisruptionBudget", "")["spec"]["minAvailable"], 1);
}

#[test]
fn priority_classes_of_the_system_have_the_quota_that_some_clouds_ask_for() {
    for (pod, quota) in [
        ("base/agent-daemonset.yaml", "base/agent-resourcequota.yaml"),
        ("base/controller-deployment.yaml", "base/controller-resourcequota.yaml"),
    ] {
        let (pod, quota) = (object(pod), object(quota));
        let selected = &quota["spec"]["scopeSelector"]["matchExpressions"][0];
        assert_eq!(pod["metadata"]["namespace"], quota["metadata"]["namespace"]);
        assert_eq!(texts(&selected["values"]), [text(&pod["spec"]["template"]["spec"]["priorityClassName"])]);
    }
}
