//! The pods of real runner systems, as small as they can be: what each does to its pod, and why.

use mtu_agent::domain::fleet::Values;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::webhook::{Answered, answer};
use serde_json::{Value, json};

use crate::reviews;

/// What an API server is told about this pod, in lines.
fn answered(pod: &Value) -> String {
    let mtu = LinkMtu::new(1450).expect("it is a size");
    let values = Values { pools: [("runners".to_owned(), mtu)].into(), ..Values::default() };
    let body = serde_json::to_vec(&reviews::of_pod("u", pod)).expect("it is JSON");
    let Answered { review, answer, .. } = answer(&body, &values).expect("it is a review");
    let response = review.response.expect("it has an answer");
    assert!(response.allowed);

    let mut lines = vec![format!("{answer:?}")];
    let patch: Value =
        response.patch.map_or(json!([]), |patch| serde_json::from_slice(&patch).expect("it is JSON"));
    let operations = patch.as_array().expect("it is a list").iter();
    lines.extend(operations.map(|operation| {
        let word = |field: &str| operation[field].as_str().expect("it has one").to_owned();
        format!("{} {} {}", word("op"), word("path"), operation["value"])
    }));
    lines.extend(response.warnings.into_iter().flatten().map(|warning| format!("warning: {warning}")));
    lines.join("\n")
}

fn privileged() -> Value {
    json!({"privileged": true})
}

macro_rules! snapshot {
    ($(#[$why:meta])* $name:ident, $pod:expr) => {
        $(#[$why])*
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), answered(&$pod));
        }
    };
}

snapshot!(
    bitbucket,
    reviews::pod(&json!([
        {"name": "runner", "image": "docker-public.packages.atlassian.com/sox/atlassian/bitbucket-pipelines-runner:1",
         "env": [{"name": "WORKING_DIRECTORY", "value": "/tmp"}]},
        {"name": "docker", "image": "docker:dind", "securityContext": privileged(),
         "volumeMounts": [{"name": "docker-containers", "mountPath": "/var/lib/docker/containers"}]},
    ]))
);

snapshot!(
    github_arc_legacy,
    reviews::pod(&json!([
        {"name": "runner", "image": "summerwind/actions-runner:latest"},
        {"name": "docker", "image": "docker:dind", "securityContext": privileged(),
         "args": ["dockerd", "--host=unix:///run/docker.sock", "--group=$(DOCKER_GROUP_GID)"],
         "env": [{"name": "DOCKER_GROUP_GID", "value": "1001"}]},
    ]))
);

snapshot!(
    /// With `dockerMTU` set: two words.
    github_arc_legacy_with_its_own_mtu,
    reviews::pod(&json!([
        {"name": "docker", "image": "docker:dind",
         "args": ["dockerd", "--host=unix:///run/docker.sock", "--mtu", "1400"],
         "env": [{"name": "DOCKERD_ROOTLESS_ROOTLESSKIT_MTU", "value": "1400"}]},
    ]))
);

snapshot!(
    /// A native sidecar, since Kubernetes 1.29.
    github_arc_scale_set, {
    let mut pod =
        reviews::pod(&json!([{"name": "runner", "image": "ghcr.io/actions/actions-runner:latest"}]));
    pod["metadata"]["annotations"] = json!({"actions.github.com/patch-id": "0"});
    pod["spec"]["initContainers"] = json!([
        {"name": "init-dind-externals", "image": "ghcr.io/actions/actions-runner:latest",
         "command": ["cp"], "args": ["-r", "/home/runner/externals/.", "/home/runner/tmpDir/"]},
        {"name": "dind", "image": "docker:dind", "restartPolicy": "Always", "securityContext": privileged(),
         "args": ["dockerd", "--host=unix:///var/run/docker.sock", "--group=$(DOCKER_GROUP_GID)"],
         "env": [{"name": "DOCKER_GROUP_GID", "value": "123"}],
         "startupProbe": {"exec": {"command": ["docker", "info"]}}},
    ]);
    pod
});

snapshot!(
    /// All of its containers are privileged, and two of them are of docker's image.
    gitlab,
    reviews::pod(&json!([
        {"name": "build", "image": "docker:28", "command": ["sh", "-c", "if [ -x /bin/bash ]; then exec /bin/bash; fi"],
         "securityContext": privileged()},
        {"name": "helper", "image": "registry.gitlab.com/gitlab-org/gitlab-runner/gitlab-runner-helper:x86_64-latest",
         "command": ["sh", "-c", "exec sh"], "securityContext": privileged()},
        {"name": "svc-0", "image": "docker:28-dind", "securityContext": privileged()},
    ]))
);

snapshot!(
    gitlab_with_a_command_of_the_user,
    reviews::pod(&json!([
        {"name": "svc-0", "image": "docker:dind", "args": ["--mtu=1360"], "securityContext": privileged()},
    ]))
);

snapshot!(
    jenkins,
    reviews::pod(&json!([
        {"name": "docker", "image": "docker:19.03.1", "command": ["sleep"], "args": ["99d"],
         "env": [{"name": "DOCKER_HOST", "value": "tcp://localhost:2375"}]},
        {"name": "docker-daemon", "image": "docker:19.03.1-dind", "securityContext": privileged(),
         "env": [{"name": "DOCKER_TLS_CERTDIR", "value": ""}]},
    ]))
);

snapshot!(
    /// Its image has no tag to tell a daemon by.
    tekton,
    reviews::pod(&json!([
        {"name": "step-build", "image": "docker", "command": ["/tekton/bin/entrypoint"], "args": ["--", "docker", "build"]},
        {"name": "sidecar-server", "image": "mirror.gcr.io/library/docker@sha256:0f0f0f",
         "args": ["--storage-driver=vfs", "--userland-proxy=false", "--debug"], "securityContext": privileged(),
         "env": [{"name": "DOCKER_TLS_CERTDIR", "value": "/certs"}]},
    ]))
);

snapshot!(
    argo,
    reviews::pod(&json!([
        {"name": "main", "image": "docker:19.03.13", "command": ["sh", "-c"], "args": ["until docker ps; do sleep 3; done"]},
        {"name": "dind", "image": "docker:19.03.13-dind", "command": ["dockerd-entrypoint.sh"],
         "env": [{"name": "DOCKER_TLS_CERTDIR", "value": ""}], "securityContext": privileged()},
    ]))
);

snapshot!(
    /// The chart's own default is docker's: it is larger than what fits, and the user's all the same.
    buildkite,
    reviews::pod(&json!([
        {"name": "dind", "image": "docker:20.10-dind", "args": ["--mtu", "1500"], "securityContext": privileged()},
    ]))
);

snapshot!(
    screwdriver,
    reviews::pod(&json!([
        {"name": "build", "image": "node:22"},
        {"name": "dind", "image": "docker:20.10-dind-rootless", "securityContext": privileged()},
    ]))
);

snapshot!(
    drone_plugin,
    reviews::pod(&json!([
        {"name": "publish", "image": "plugins/docker:20", "securityContext": privileged()},
    ]))
);

snapshot!(
    bitbucket_service_that_ignores_arguments,
    reviews::pod(&json!([
        {"name": "docker", "image": "rewardenv/docker:20.10.7-dind", "env": [{"name": "DOCKER_OPTS", "value": "--mtu=1300"}]},
    ]))
);

snapshot!(
    /// A mounted daemon.json may hold an MTU, and a flag beside it keeps dockerd from starting.
    dind_with_a_config_map_as_daemon_json,
    reviews::pod(&json!([
        {"name": "dind", "image": "docker:dind", "args": ["dockerd", "--host=unix:///var/run/docker.sock"],
         "volumeMounts": [{"name": "config", "mountPath": "/etc/docker/daemon.json", "subPath": "daemon.json"}]},
    ]))
);

snapshot!(
    clients_alone,
    reviews::pod(&json!([
        {"name": "sleeps", "image": "docker:28", "command": ["sleep"], "args": ["infinity"]},
        {"name": "reads", "image": "docker:latest", "command": ["cat"], "tty": true},
        {"name": "asks", "image": "docker:28-cli", "args": ["docker", "info"]},
    ]))
);
