//! Arguments and environment in the manifests, as the binary takes them.
//!
//! It is run without a cluster, so it cannot go on (2), unless it was called wrongly (64).

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::documents::{find, items, text, texts};
use super::kustomize::{overlay, with};

const NO_WAY_ON: i32 = 2;
const USAGE: i32 = 64;

/// Runs the container of a workload as a kubelet would on a node with this address.
fn run(objects: &[Value], kind: &str, node_ip: &str, more: &[&str]) -> (i32, String) {
    let place = tempfile::tempdir().expect("it can be made");
    let pod = &find(objects, kind, "")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtu-agent"));
    command.env_clear().env("HOME", place.path());
    for argument in texts(&container["args"]) {
        command.arg(in_place_of_mounts(objects, pod, place.path(), argument));
    }
    for (name, value) in environment(container, node_ip) {
        command.env(name, value);
    }
    // Whatever runs on this machine is left alone.
    if kind == "DaemonSet" {
        command.env("MTU_AGENT_LISTEN", "127.0.0.1:0").env("MTU_AGENT_DIRECTORY", place.path().join("run"));
    }
    let output = command.args(more).output().expect("it starts");
    let said = String::from_utf8(output.stderr).expect("it is UTF-8");
    (output.status.code().expect("it was not killed"), said)
}

/// Files of `ConfigMap`s are put below `place`, and found there.
fn in_place_of_mounts(objects: &[Value], pod: &Value, place: &Path, argument: &str) -> String {
    let mut argument = argument.to_owned();
    for volume in items(&pod["volumes"]).iter().filter(|volume| volume["configMap"].is_object()) {
        let mounts = items(&pod["containers"][0]["volumeMounts"]);
        let mount = mounts.iter().find(|mount| mount["name"] == volume["name"]).expect("it is mounted");
        let directory = place.join(text(&volume["name"]));
        fs::create_dir_all(&directory).expect("it can be made");
        let map = find(objects, "ConfigMap", text(&volume["configMap"]["name"]));
        for (file, content) in map["data"].as_object().expect("it has files") {
            fs::write(directory.join(file), text(content)).expect("it can be written");
        }
        argument = argument.replace(text(&mount["mountPath"]), directory.to_str().expect("it is ASCII"));
    }
    argument
}

fn environment(container: &Value, node_ip: &str) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = Vec::new();
    for variable in items(&container["env"]) {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("spec.nodeName" | "metadata.name") => "some-name".to_owned(),
            Some("metadata.namespace") => "mtu-agent-controller".to_owned(),
            Some("status.hostIP") => node_ip.to_owned(),
            Some(field) => panic!("{field} is not expected"),
            None => environment.iter().fold(text(&variable["value"]).to_owned(), |value, (name, known)| {
                value.replace(&format!("$({name})"), known)
            }),
        };
        environment.push((text(&variable["name"]).to_owned(), value));
    }
    environment
}

#[test]
fn the_binary_takes_what_the_manifests_give_it() {
    for objects in [overlay("default"), overlay("observe-only"), overlay("tuning"), with(&["cert-manager"])] {
        for kind in ["DaemonSet", "Deployment"] {
            for node_ip in ["127.0.0.1", "::1"] {
                let (code, said) = run(&objects, kind, node_ip, &[]);
                assert_eq!(code, NO_WAY_ON, "{kind} on {node_ip}: {said}");
            }
        }
    }
}

#[test]
fn it_would_say_what_it_does_not_take() {
    for kind in ["DaemonSet", "Deployment"] {
        let (code, said) = run(&overlay("default"), kind, "127.0.0.1", &["--nonsense"]);
        assert_eq!(code, USAGE, "{kind}: {said}");
    }
    let (code, said) = run(&overlay("default"), "DaemonSet", "no address", &[]);
    assert_eq!(code, USAGE, "{said}");
}
