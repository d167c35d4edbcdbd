#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]

use super::*;
use serde_json::{Value, json};

fn container(mut spec: Value) -> Container {
    spec["name"] = "c".into();
    serde_json::from_value(spec).expect("it is a container")
}

#[track_caller]
fn is(expected: Option<Shape>, spec: Value) {
    assert_eq!(Shape::of(&container(spec.clone()), false), expected, "{spec}");
}

#[track_caller]
fn named(expected: Shape, spec: Value) {
    assert_eq!(Shape::of(&container(spec.clone()), true), Some(expected), "{spec}");
}

#[test]
fn dockers_daemon_image_is_plain_without_arguments_with_flags_and_with_dockerd() {
    let plain = Some(Shape::Plain);
    is(plain, json!({"image": "docker:dind"}));
    is(plain, json!({"image": "docker:dind", "command": [], "args": []}));
    is(plain, json!({"image": "docker:dind", "args": ["--storage-driver=vfs"]}));
    is(plain, json!({"image": "docker:dind", "args": ["dockerd", "--debug"]}));
    is(plain, json!({"image": "docker:dind", "args": ["/usr/local/bin/dockerd"]}));
    is(plain, json!({"image": "docker:dind", "args": ["dockerd-entrypoint.sh", "dockerd"]}));
}

#[test]
fn a_command_that_is_dockerd_or_its_entrypoint_is_plain_in_any_image() {
    let plain = Some(Shape::Plain);
    is(plain, json!({"image": "x", "command": ["dockerd"]}));
    is(plain, json!({"image": "x", "command": ["/usr/bin/dockerd", "--debug"], "args": ["-D"]}));
    is(plain, json!({"image": "docker:19.03.13-dind", "command": ["dockerd-entrypoint.sh"]}));
    is(plain, json!({"image": "x", "command": ["dockerd-entrypoint.sh"], "args": ["dockerd"]}));
    is(plain, json!({"image": "x", "args": ["dockerd", "--debug"]}));
}

#[test]
fn only_in_dockers_own_image_it_is_known_that_no_arguments_are_lost() {
    let lost = Some(Shape::ImageArguments);
    is(lost, json!({"image": "team/docker:27-dind-mirror"}));
    is(lost, json!({"image": "registry.example/team/docker:dind-ours", "args": []}));
    is(lost, json!({"image": "team/docker:28-ours", "securityContext": {"privileged": true}}));
    named(Shape::ImageArguments, json!({"image": "registry.example/our-dind:1", "command": []}));
    let plain = Some(Shape::Plain);
    is(plain, json!({"image": "registry.example/proxy/docker:27-dind"}));
    is(plain, json!({"image": "team/docker:27-dind-mirror", "args": ["--debug"]}));
    is(plain, json!({"image": "team/docker:27-dind-mirror", "command": ["dockerd"]}));
}

#[test]
fn a_client_is_not_recognised_even_in_the_daemons_image() {
    for client in [
        json!({"image": "docker:28", "command": ["sleep"], "args": ["infinity"]}),
        json!({"image": "docker:28", "args": ["cat"]}),
        json!({"image": "docker:dind", "args": ["docker", "info"]}),
        json!({"image": "docker:dind", "command": ["dockerd-entrypoint.sh"], "args": ["sleep", "1"]}),
        json!({"image": "docker:28", "command": ["sh", "-c", "docker build ."]}),
        json!({"image": "docker:28", "args": ["-H", "tcp://localhost:2375", "ps"]}),
        json!({"image": "docker:28"}),
        json!({"image": "docker:28-cli", "args": ["--storage-driver=vfs"]}),
        json!({"image": "docker:19.03.1", "args": ["--storage-driver=vfs"]}),
        json!({"image": "alpine", "args": ["--storage-driver=vfs"]}),
        json!({"image": "alpine"}),
        json!({}),
    ] {
        is(None, client);
    }
}

#[test]
fn an_image_that_may_be_the_client_needs_what_shows_a_daemon() {
    let plain = Some(Shape::Plain);
    is(plain, json!({"image": "docker:28", "securityContext": {"privileged": true}}));
    is(plain, json!({"image": "docker@sha256:abc", "args": ["--storage-driver=vfs"]}));
    is(plain, json!({"image": "docker:latest", "args": ["dockerd"]}));
    is(None, json!({"image": "docker:28", "securityContext": {"privileged": true}, "command": ["sleep"]}));
}

#[test]
fn other_shapes_are_told_apart() {
    let script = "dockerd --host=unix:///x & exec tests";
    is(Some(Shape::Shell), json!({"image": "docker:dind", "command": ["sh", "-c", script]}));
    is(Some(Shape::Shell), json!({"image": "x", "args": ["/bin/bash", "-c", "/usr/bin/dockerd&"]}));
    is(Some(Shape::Shell), json!({"command": ["dockerd-entrypoint.sh", "sh", "-c", script]}));
    is(None, json!({"command": ["sh", "-c", "echo mydockerd dockerd-x dockerd.log"]}));
    is(Some(Shape::Wrapped), json!({"command": ["tini", "--", "dockerd"]}));
    is(Some(Shape::Wrapped), json!({"command": ["dockerd", "--"], "args": ["x"]}));
    is(Some(Shape::Rootless), json!({"image": "docker:28-dind-rootless"}));
    is(Some(Shape::Rootless), json!({"image": "docker:dind-rootless", "command": ["dockerd-entrypoint.sh"]}));
    is(Some(Shape::Rootless), json!({"command": ["dockerd-rootless.sh"]}));
    is(Some(Shape::OwnKnob(Knob::PluginMtu)), json!({"image": "plugins/docker:20"}));
    is(Some(Shape::OwnKnob(Knob::DockerOpts)), json!({"image": "rewardenv/docker:20.10.7-dind"}));
}

#[test]
fn a_configuration_file_is_seen_in_arguments_and_mounts() {
    let config = Some(Shape::ConfigFile);
    for path in ["/etc/docker", "/etc/docker/", "/etc/docker/daemon.json", "/etc"] {
        let mount = json!([{"name": "v", "mountPath": path}]);
        is(config, json!({"image": "docker:dind", "volumeMounts": mount}));
    }
    is(config, json!({"image": "docker:dind", "args": ["--config-file", "/x"]}));
    is(config, json!({"command": ["dockerd", "--config-file=/x"]}));
    let harmless = json!([{"name": "v", "mountPath": "/etc/docker/certs.d"}]);
    is(Some(Shape::Plain), json!({"image": "docker:dind", "volumeMounts": harmless}));
}

#[test]
fn the_user_may_name_what_no_one_would_guess_but_not_what_takes_no_flags() {
    named(Shape::Plain, json!({"image": "registry.example/our-dind:1", "args": ["--debug"]}));
    named(Shape::Plain, json!({"image": "docker:28"}));
    named(Shape::Other, json!({"image": "registry.example/our-dind:1", "command": ["/start"]}));
    named(Shape::Other, json!({"image": "docker:dind", "args": ["sleep", "1"]}));
    named(Shape::Shell, json!({"command": ["sh", "-c", "dockerd"]}));
}
