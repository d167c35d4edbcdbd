//! For any pod: the patch applies, changes nothing that it must not, and there is nothing left to change.

use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::sample::select;

fn word() -> impl Strategy<Value = &'static str> {
    select(vec![
        "dockerd",
        "dockerd-entrypoint.sh",
        "/usr/bin/dockerd",
        "sh",
        "-c",
        "--",
        "--debug",
        "--mtu",
        "--mtu=1300",
        "--mtu=1500",
        "--mtu=",
        FLAG,
        "--mtu=$(X)",
        "1450",
        "--config-file",
        "sleep",
        "dockerd & wait",
        "--storage-driver=vfs",
        "",
        "\u{1f433}/~1\"",
    ])
}

fn image() -> impl Strategy<Value = &'static str> {
    select(vec![
        "docker:dind",
        "docker:28",
        "team/docker:dind-ours",
        "docker@sha256:0",
        "docker:dind-rootless",
        "plugins/docker",
        "a/b",
        "",
    ])
}

fn env() -> impl Strategy<Value = Value> {
    let named = |name: &'static str| {
        move |value: Option<&'static str>| match value {
            Some(value) => json!({"name": name, "value": value}),
            None => json!({"name": name}),
        }
    };
    let values = of(select(vec!["", "1400", "9000", "many", "$(MTU_AGENT_DIND_MTU)"]));
    prop_oneof![
        values.clone().prop_map(named("OTHER")),
        values.prop_map(named(DIND_MTU_ENV)),
        Just(our_env()),
        Just(json!({"name": DIND_MTU_ENV, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})),
    ]
}

/// A field that is missing, `null`, or there.
fn field<T: Into<Value> + 'static>(inner: impl Strategy<Value = T>) -> impl Strategy<Value = Option<Value>> {
    of(of(inner).prop_map(|value| value.map_or(Value::Null, Into::into)))
}

fn with(mut object: Value, fields: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    for (name, value) in fields.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        object[name] = value;
    }
    object
}

fn container() -> impl Strategy<Value = Value> {
    let mounts = select(vec!["/etc/docker", "/var/lib/docker"])
        .prop_map(|path| json!([{"name": "v", "mountPath": path}]));
    let fields = (
        select(vec!["dind", "b", "c"]),
        field(image()),
        field(vec(word(), 0..3)),
        field(vec(word(), 0..4)),
        field(vec(env(), 0..3)),
        of(mounts),
        of(any::<bool>()),
    );
    fields.prop_map(|(name, image, command, args, env, mounts, privileged)| {
        let fields = [
            ("image", image),
            ("command", command),
            ("args", args),
            ("env", env),
            ("volumeMounts", mounts),
            ("securityContext", privileged.map(|is| json!({"privileged": is}))),
        ];
        with(json!({"name": name, "imagePullPolicy": "Always"}), fields)
    })
}

fn annotations() -> impl Strategy<Value = Value> {
    let known = (
        of(select(vec!["", "1300", "1450", "1500", "many"])),
        of(select(vec!["auto", "args", "env", "daemon-json", "none", "odd"])),
        of(select(vec!["dind", "b, c", "gone", ","])),
        of(select(vec!["", "an old one"])),
        of(any::<String>()),
    );
    known.prop_map(|(mtu, inject, containers, status, odd)| {
        let text = |value: Option<&str>| value.map(Value::from);
        let known = [
            (DIND_MTU, text(mtu)),
            (INJECT, text(inject)),
            (CONTAINERS, text(containers)),
            (STATUS, text(status)),
            ("odd/~key~1\"", odd.map(Value::from)),
        ];
        with(json!({}), known)
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    let spec = (
        vec(container(), 0..3),
        field(vec(container(), 0..3)),
        of(select(vec!["linux", "windows"])),
        of(any::<bool>()),
    );
    let spec = spec.prop_map(|(containers, init, os, host_network)| {
        let fields = [
            ("initContainers", init),
            ("os", os.map(|name| json!({"name": name}))),
            ("hostNetwork", host_network.map(Value::from)),
        ];
        with(json!({"containers": containers}), fields)
    });
    (field(annotations()), spec).prop_map(|(annotations, spec)| {
        let metadata = with(json!({"generateName": "p-"}), [("annotations", annotations)]);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let mtu = (576..=u16::MAX).prop_map(|mtu| DindMtu::parse(&mtu.to_string()).expect("it is a size"));
    let source = select(vec![Source::Node, Source::Pools, Source::Fallback]);
    (prop_oneof![Just(DindMtu::FALLBACK), mtu], source).prop_map(|(mtu, source)| Policy { mtu, source })
}

fn typed(pod: &Value) -> Pod {
    serde_json::from_value(pod.clone()).expect("it is a pod")
}

/// The pod without what may be changed in it.
fn rest(mut pod: Value) -> Value {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("annotations");
    }
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let container = container.as_object_mut().expect("it is a container");
            container.remove("args");
            container.remove("env");
        }
    }
    // An index that is read is made: `null` and missing are the same to Kubernetes.
    if pod["spec"]["initContainers"].is_null() {
        pod["spec"]["initContainers"] = Value::Null;
    }
    pod
}

fn list<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][list].as_array().into_iter().flatten()
}

fn all(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "initContainers").chain(list(pod, "containers"))
}

fn without(words: &[String], at: usize) -> Vec<String> {
    [&words[..at], &words[at + 1..]].concat()
}

fn words(container: &Value, field: &str) -> Vec<String> {
    let words = container[field].as_array().into_iter().flatten();
    words.map(|word| word.as_str().expect("it is a word").to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_patch_applies_keeps_the_rest_and_leaves_nothing_to_change(
        before in any_pod(),
        policy in any_policy(),
    ) {
        let mutation = mutate(&typed(&before), &policy);
        let mut after = before.clone();
        json_patch::patch(&mut after, &mutation.patch).expect("it applies");

        prop_assert_eq!(rest(after.clone()), rest(before.clone()));
        let again = mutate(&typed(&after), &policy);
        prop_assert!(again.patch.is_empty(), "{}", again.patch);
        prop_assert_eq!(again.effect, Effect::Unchanged);
        prop_assert_eq!(mutation.patch.is_empty(), mutation.effect == Effect::Unchanged);
    }

    #[test]
    fn every_dockerd_is_told_one_mtu_or_left_as_it_was(before in any_pod(), policy in any_policy()) {
        let mutation = mutate(&typed(&before), &policy);
        let mut after = before.clone();
        json_patch::patch(&mut after, &mutation.patch).expect("it applies");

        for (old, new) in all(&before).zip(all(&after)) {
            let (was, is) = (words(old, "args"), words(new, "args"));
            let is_told = is.len() > was.len();
            if is_told {
                // Docker's own image has no arguments that those in the pod would take the place of.
                let image = new["image"].as_str().unwrap_or_default();
                prop_assert!(!was.is_empty() || !words(old, "command").is_empty() || image.starts_with("docker"), "{}", old);
                let at = (0..is.len()).find(|at| without(&is, *at) == was).expect("one word is added");
                prop_assert_eq!(&is[at], FLAG);
                let command = words(old, "command");
                let flags = command.iter().chain(&is[..at]);
                prop_assert!(
                    !flags.clone().any(|word| {
                        word == "--" || word == "--config-file" || word == "--mtu" || word.starts_with("--mtu=")
                    }),
                    "{} became {}", old, new
                );
            } else {
                prop_assert_eq!(&is, &was);
            }
            let env = |container: &Value| container["env"].as_array().cloned().unwrap_or_default();
            let (was, is) = (env(old), env(new));
            if is.len() > was.len() {
                prop_assert_eq!(&is[0], &our_env());
                prop_assert_eq!(&is[1..], &was[..]);
            } else {
                prop_assert_eq!(&is, &was);
            }
            if is_told {
                // What the flag refers to is there, and is a size.
                let last = is.iter().rfind(|entry| entry["name"] == DIND_MTU_ENV).expect("it is there");
                let is_size = last["value"].as_str().and_then(DindMtu::parse).is_some();
                prop_assert!(is_size || *last == our_env(), "{}", last);
            }
        }
        if mutation.effect != Effect::Unchanged {
            let annotations = &after["metadata"]["annotations"];
            prop_assert!(annotations[STATUS].as_str().is_some_and(|status| status.len() <= 1024));
            if let Some(mtu) = annotations[DIND_MTU].as_str().filter(|_| before["metadata"]["annotations"][INJECT] != "odd") {
                prop_assert!(DindMtu::parse(mtu).is_some_and(|mtu| mtu <= policy.mtu || policy.source == Source::Node));
            }
        }
        prop_assert!(mutation.warnings.iter().all(|warning| warning.len() <= 120));
    }
}
