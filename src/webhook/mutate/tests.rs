#![expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]

use super::*;
use proptest::prelude::*;
use serde_json::Value;

use crate::publish::kubernetes::names::DIND_MTU_ENV;

mod properties;

const FLAG: &str = "--mtu=$(MTU_AGENT_DIND_MTU)";

fn policy(mtu: &str) -> Policy {
    Policy { mtu: DindMtu::parse(mtu).expect("it is a size"), source: Source::Pools }
}

fn pod(containers: Value, annotations: Value) -> Value {
    json!({"metadata": {"name": "p", "annotations": annotations}, "spec": {"containers": containers}})
}

/// The pod as it is after the patch, and what was said.
fn mutated(mut pod: Value) -> (Value, Mutation) {
    let typed = serde_json::from_value(pod.clone()).expect("it is a pod");
    let mutation = mutate(&typed, &policy("1450"));
    json_patch::patch(&mut pod, &mutation.patch).expect("it applies");
    (pod, mutation)
}

fn dind(spec: Value) -> Value {
    let mut container = json!({"name": "dind", "image": "docker:dind"});
    let fields = container.as_object_mut().expect("it is an object");
    fields.extend(spec.as_object().expect("it is an object").clone());
    container
}

/// Args after the patch, the status, and the warnings of a pod with one container.
fn told(container: Value, annotations: Value) -> (Value, String, Vec<String>) {
    let (pod, mutation) = mutated(pod(json!([container]), annotations));
    let status = pod["metadata"]["annotations"][STATUS].as_str().unwrap_or_default().to_owned();
    (pod["spec"]["containers"][0]["args"].clone(), status, mutation.warnings)
}

fn our_env() -> Value {
    let field = "metadata.annotations['mtu-agent.dev/dind-mtu']";
    json!({"name": DIND_MTU_ENV, "valueFrom": {"fieldRef": {"fieldPath": field}}})
}

#[test]
fn a_bare_dind_gets_annotation_variable_and_flag() {
    let (pod, mutation) = mutated(json!({"metadata": {}, "spec": {"containers": [dind(json!({}))]}}));
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({DIND_MTU: "1450", STATUS: "mtu=1450 from=pools; dind: told"})
    );
    assert_eq!(pod["spec"]["containers"][0], dind(json!({"args": [FLAG], "env": [our_env()]})));
    assert_eq!((mutation.effect, mutation.warnings), (Effect::Injected, vec![]));
}

#[test]
fn the_variable_comes_first_and_the_flag_last_or_before_the_end_of_flags() {
    let spec = json!({"args": ["dockerd", "--debug", "--", "x"], "env": [{"name": "A", "value": "$(B)"}]});
    let (pod, _) = mutated(pod(json!([dind(spec)]), json!({"a/b": "c"})));
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["dockerd", "--debug", FLAG, "--", "x"]));
    assert_eq!(container["env"], json!([our_env(), {"name": "A", "value": "$(B)"}]));
    assert_eq!(pod["metadata"]["annotations"]["a/b"], "c");
}

#[test]
fn a_users_mtu_is_never_touched_and_a_larger_one_is_said() {
    let with = |words: &[&str]| dind(json!({"args": words}));
    for (words, status, warns) in [
        (&["--mtu=1300"][..], "dind: kept (its own --mtu=1300)", false),
        (&["--mtu", "1450", "--debug"], "dind: kept (its own --mtu=1450)", false),
        (&["--mtu", "1500"], "dind: exceeds (its own --mtu=1500 is kept)", true),
        (&["dockerd", "--mtu=9000"], "dind: exceeds (its own --mtu=9000 is kept)", true),
        (&["--mtu=$(DIND_MTU)"], "dind: kept (its own --mtu is a variable)", false),
        (&["--mtu="], "dind: kept (its own --mtu is no plain number)", true),
    ] {
        let (args, says, warnings) = told(with(words), json!({}));
        assert_eq!(args, json!(words));
        assert_eq!(says, format!("mtu=1450 from=pools; {status}"));
        assert_eq!(!warnings.is_empty(), warns, "{words:?}: {warnings:?}");
    }
    let (args, _, _) = told(dind(json!({"command": ["dockerd", "--mtu=1300"]})), json!({}));
    assert_eq!(args, Value::Null, "the command's counts, too");
}

#[test]
fn a_users_variable_is_used_if_it_is_sure_to_be_a_size() {
    let with = |value: &str| dind(json!({"env": [{"name": DIND_MTU_ENV, "value": value}]}));
    let (args, status, warnings) = told(with("1400"), json!({}));
    assert_eq!(args, json!([FLAG]));
    assert_eq!(status, "mtu=1450 from=pools; dind: told (its own MTU_AGENT_DIND_MTU=1400)");
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(!told(with("1500"), json!({})).2.is_empty());
    for odd in ["", "many", "$(X)"] {
        let (args, status, warnings) = told(with(odd), json!({}));
        assert_eq!(args, Value::Null, "`--mtu=` would keep dockerd from starting");
        let why = "not-told (its own MTU_AGENT_DIND_MTU is no plain number)";
        assert_eq!(status, format!("mtu=1450 from=pools; dind: {why}"));
        assert_eq!(warnings, [format!("mtu-agent: container dind: {why}")]);
    }
}

#[test]
fn a_flag_written_by_hand_gets_the_variable_that_it_needs() {
    let (pod, mutation) = mutated(pod(json!([dind(json!({"args": [FLAG]}))]), json!({})));
    assert_eq!(pod["spec"]["containers"][0], dind(json!({"args": [FLAG], "env": [our_env()]})));
    assert_eq!(mutation.effect, Effect::Injected);
}

#[test]
fn sidecars_among_the_init_containers_and_several_dockerds_are_told() {
    let sidecar = dind(json!({"restartPolicy": "Always", "args": ["dockerd"]}));
    let other = json!({"name": "other", "command": ["/usr/bin/dockerd"]});
    let client = json!({"name": "client", "image": "docker:28", "command": ["sleep"], "args": ["1"]});
    let spec = json!({"initContainers": [client, sidecar], "containers": [client, other]});
    let (pod, mutation) = mutated(json!({"metadata": {}, "spec": spec}));
    assert_eq!(pod["spec"]["initContainers"][1]["args"], json!(["dockerd", FLAG]));
    assert_eq!(pod["spec"]["containers"][1]["args"], json!([FLAG]));
    assert_eq!(pod["spec"]["containers"][0], client);
    assert_eq!(mutation.containers.len(), 2);
}

#[test]
fn other_shapes_get_nothing_but_the_annotations_and_a_warning() {
    let config = json!({"volumeMounts": [{"name": "v", "mountPath": "/etc/docker"}]});
    for (spec, why, warns) in [
        (json!({"command": ["sh", "-c", "dockerd & x"]}), "a shell starts dockerd", true),
        (json!({"command": ["tini", "--", "dockerd"]}), "another program starts dockerd", true),
        (config, "its daemon.json may hold an MTU", true),
        (json!({"image": "docker:dind-rootless"}), "rootless: no link's MTU limits it", false),
        (json!({"image": "plugins/docker"}), "its image takes the MTU from PLUGIN_MTU", true),
        (json!({"image": "team/docker:27-dind-ours"}), "give args: the image's own would be lost", true),
    ] {
        let before = dind(spec);
        let (pod, mutation) = mutated(pod(json!([before]), json!({})));
        assert_eq!(pod["spec"]["containers"][0], before);
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(annotations[DIND_MTU], "1450");
        assert_eq!(annotations[STATUS], format!("mtu=1450 from=pools; dind: not-told ({why})"));
        assert_eq!(mutation.effect, Effect::Refused);
        assert_eq!(!mutation.warnings.is_empty(), warns, "{why}");
    }
}

#[test]
fn the_pod_chooses_how_it_is_told() {
    let choose = |mode: &str| mutated(pod(json!([dind(json!({}))]), json!({INJECT: mode})));
    for mode in ["auto", "args"] {
        assert_eq!(choose(mode).0["spec"]["containers"][0]["args"], json!([FLAG]), "{mode}");
    }
    let (told, _) = choose("env");
    assert_eq!(told["spec"]["containers"][0], dind(json!({"env": [our_env()]})));
    let (told, mutation) = choose("daemon-json");
    assert_eq!(told["spec"]["containers"][0], dind(json!({})));
    assert_eq!(told["metadata"]["annotations"][DIND_MTU], "1450");
    assert!(mutation.warnings[0].contains("daemon-json is not available yet"), "{mutation:?}");
    assert_eq!(choose("none").1, Mutation::default());
    for odd in ["", "false", "Auto"] {
        let (told, mutation) = choose(odd);
        assert_eq!(told["spec"]["containers"][0], dind(json!({})), "{odd}");
        assert_eq!(mutation.warnings.len(), 1);
    }
}

#[test]
fn the_variable_alone_is_for_any_shape() {
    let script = json!({"name": "dind", "command": ["sh", "-c", "dockerd --mtu=$MTU_AGENT_DIND_MTU"]});
    let (pod, mutation) = mutated(pod(json!([script]), json!({INJECT: "env"})));
    assert_eq!(pod["spec"]["containers"][0]["env"], json!([our_env()]));
    assert_eq!(mutation.effect, Effect::Injected);
}

#[test]
fn a_container_can_be_named_and_one_that_is_not_there_is_said() {
    let own = json!([{"name": "a", "image": "docker"}, {"name": "b", "image": "our/dind", "args": ["-D"]}]);
    let (pod_, _) = mutated(pod(own.clone(), json!({CONTAINERS: " b , a"})));
    assert_eq!(pod_["spec"]["containers"][0]["args"], json!([FLAG]));
    assert_eq!(pod_["spec"]["containers"][1]["args"], json!(["-D", FLAG]));
    let (_, mutation) = mutated(pod(own.clone(), json!({CONTAINERS: "c"})));
    assert!(mutation.warnings[0].contains("names a container that is not there"), "{mutation:?}");
    let (_, mutation) = mutated(pod(own, json!({INJECT: "auto"})));
    assert!(mutation.warnings[0].contains("no dockerd was recognised"), "{mutation:?}");
}

#[test]
fn what_is_not_for_us_is_left_alone() {
    for untouched in [
        pod(json!([{"name": "x", "image": "alpine"}]), json!({})),
        pod(json!([dind(json!({}))]), json!({MIRROR: "hash"})),
        json!({"metadata": {}, "spec": {"os": {"name": "windows"}, "containers": [dind(json!({}))]}}),
        json!({"metadata": {}, "spec": {"containers": [], "ephemeralContainers": [dind(json!({}))]}}),
        json!({"metadata": {}}),
    ] {
        assert_eq!(mutated(untouched.clone()).1, Mutation::default(), "{untouched}");
    }
    let linux = json!({"metadata": {}, "spec": {"os": {"name": "linux"}, "containers": [dind(json!({}))]}});
    assert_eq!(mutated(linux).1.effect, Effect::Injected);
}

#[test]
fn an_annotation_that_came_with_the_pod_stays_if_it_is_smaller() {
    for (own, is, from, warns) in [
        ("1300", "1300", "pod", false),
        ("1450", "1450", "pools", false),
        ("1500", "1450", "pools", true),
        ("", "1450", "pools", true),
        ("many", "1450", "pools", true),
    ] {
        let (pod, mutation) = mutated(pod(json!([dind(json!({}))]), json!({DIND_MTU: own})));
        let annotations = &pod["metadata"]["annotations"];
        assert_eq!(annotations[DIND_MTU], is, "{own:?}");
        assert_eq!(annotations[STATUS], format!("mtu={is} from={from}; dind: told"));
        assert_eq!(!mutation.warnings.is_empty(), warns, "{own:?}");
    }
}

#[test]
fn a_container_wired_by_hand_gets_the_annotation_that_it_reads() {
    let by_hand = json!({"name": "x", "image": "our/dind", "env": [our_env()]});
    let (pod, mutation) = mutated(pod(json!([by_hand]), json!({})));
    assert_eq!(pod["spec"]["containers"][0], by_hand);
    assert_eq!(pod["metadata"]["annotations"][DIND_MTU], "1450");
    assert_eq!(mutation.effect, Effect::Annotated);
}

#[test]
fn a_pod_that_comes_with_the_annotation_gets_the_status_that_says_so() {
    let client = json!({"name": "x", "image": "alpine"});
    let (pod, mutation) = mutated(pod(json!([client]), json!({DIND_MTU: "1300"})));
    assert_eq!(pod["metadata"]["annotations"], json!({DIND_MTU: "1300", STATUS: "mtu=1300 from=pod"}));
    assert_eq!((&pod["spec"]["containers"][0], mutation.effect), (&client, Effect::Annotated));
}

#[test]
fn it_injects_although_the_pools_have_1500_and_says_when_nothing_is_known() {
    let typed = serde_json::from_value(pod(json!([dind(json!({}))]), json!({}))).expect("it is a pod");
    assert_eq!(mutate(&typed, &policy("1500")).effect, Effect::Injected);
    let unknown = mutate(&typed, &Policy { mtu: DindMtu::FALLBACK, source: Source::Fallback });
    assert_eq!(unknown.effect, Effect::Fallback);
    assert!(unknown.warnings[0].contains("1280"), "{unknown:?}");
}

#[test]
fn where_nothing_is_known_no_mtu_of_a_user_is_too_large() {
    let nothing = Policy { mtu: DindMtu::FALLBACK, source: Source::Fallback };
    let variable = json!([{"name": DIND_MTU_ENV, "value": "1500"}]);
    for (spec, outcome) in [
        (json!({"args": ["--mtu=1500"]}), Outcome::Kept(1500)),
        (json!({"env": variable}), Outcome::OwnVariable(DindMtu::parse("1500").expect("it is a size"))),
    ] {
        let typed = serde_json::from_value(pod(json!([dind(spec)]), json!({}))).expect("it is a pod");
        let mutation = mutate(&typed, &nothing);
        assert_eq!(mutation.containers, [(Shape::Plain, outcome)]);
        assert_eq!(mutation.warnings.len(), 1, "that nothing is known: {:?}", mutation.warnings);
    }
}

#[test]
fn an_mtu_of_a_user_is_compared_with_what_fits_and_not_with_the_users_annotation() {
    let container = dind(json!({"args": ["--mtu=1450"]}));
    let (_, status, warnings) = told(container, json!({DIND_MTU: "1300"}));
    assert_eq!((status.as_str(), warnings), ("mtu=1300 from=pod; dind: kept (its own --mtu=1450)", vec![]));
}

#[test]
fn warnings_are_few_and_short() {
    let name = "n".repeat(63);
    let many = (0..10).map(|_| json!({"name": name, "command": ["sh", "-c", "dockerd"]}));
    let (_, mutation) = mutated(pod(many.collect(), json!({})));
    assert_eq!(mutation.warnings.len(), WARNINGS);
    assert!(mutation.warnings.iter().all(|warning| warning.len() <= 120), "{mutation:?}");
}
