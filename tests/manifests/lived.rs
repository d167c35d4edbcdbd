//! A role runs against an API server that allows what the manifests allow: it is refused nothing, and leaves nothing
//! of that unused.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use mtu_agent::publish::kubernetes::names;
use mtu_lab::api_server::{ApiServer, Recorded};
use serde_json::{Value, json};

use super::base;
use super::documents::{is, items, object, text};
use super::kustomize::{overlay, with};
use super::permissions::{Permission, allowed};

const TOKEN: &str = "token";
const ANY_PORT: &str = "127.0.0.1:0";

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _it_may_have_ended = self.0.kill();
        let _it_may_have_ended = self.0.wait();
    }
}

/// An API server in which these are applied, with a token for an account that may do what they allow.
async fn server(objects: &[Value], namespace: &str, account: &str) -> Result<ApiServer> {
    let server = ApiServer::start().await?;
    let manifests = objects.iter().map(Value::to_string).collect::<Vec<_>>().join("\n---\n");
    server.authorize(TOKEN, namespace, account, &manifests)?;
    for kind in ["CustomResourceDefinition", "MutatingWebhookConfiguration"] {
        objects
            .iter()
            .filter(|object| is(object, kind, ""))
            .for_each(|object| drop(server.put(object.clone())));
    }
    server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}));
    Ok(server)
}

fn start(server: &ApiServer, arguments: &[&str], environment: &[(&str, &str)]) -> Result<Running> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mtu-agent"));
    command.args(arguments).env_clear().env("KUBECONFIG", server.kubeconfig(Some(TOKEN))?);
    command.envs(environment.iter().copied()).stdin(Stdio::null());
    Ok(Running(command.spawn().context("start mtu-agent")?))
}

fn covers(rule: &Permission, wanted: &Permission) -> bool {
    let Permission { namespace, group, resource, name, verb } = rule;
    (verb, group, resource) == (&wanted.verb, &wanted.group, &wanted.resource)
        && (namespace.is_none() || *namespace == wanted.namespace)
        && (name.is_none() || *name == wanted.name)
}

/// What is allowed and has not been asked for.
fn unused(rules: &BTreeSet<Permission>, requests: &[Recorded]) -> BTreeSet<Permission> {
    let asked = |rule: &Permission| {
        requests.iter().flat_map(|request| &request.permissions).any(|wanted| covers(rule, wanted))
    };
    rules.iter().filter(|rule| !asked(rule)).cloned().collect()
}

async fn wait_for_use(server: &ApiServer, rules: &BTreeSet<Permission>) {
    let is_used = |requests: &[Recorded]| unused(rules, requests).is_empty().then_some(());
    server.wait_until("every permission to be used", is_used).await;
}

fn assert_nothing_is_refused(server: &ApiServer, rules: &BTreeSet<Permission>) {
    let requests = server.requests();
    let wanted = requests.iter().flat_map(|request| &request.permissions);
    let refused = wanted.filter(|wanted| !rules.iter().any(|rule| covers(rule, wanted)));
    assert_eq!(refused.collect::<BTreeSet<_>>(), BTreeSet::new());
}

/// Runs an agent of these manifests on a node without pods until it has asked for all that it may.
async fn run_agent(objects: &[Value], flags: &[&str]) -> Result<()> {
    let server = server(objects, "mtu-agent", "mtu-agent").await?;
    let rules = allowed(objects, "mtu-agent", "mtu-agent");
    let directory = tempfile::tempdir()?;
    let directory = directory.path().to_str().context("a path in UTF-8")?;
    let environment = [("MTU_AGENT_LISTEN", ANY_PORT), ("MTU_AGENT_DIRECTORY", directory)];
    let arguments = [&["agent", "--node-name=node-1"], flags].concat();
    let _running = start(&server, &arguments, &environment)?;

    server.wait_for_object("NodeMtu", "", "node-1", |it| it["status"].is_object()).await;
    server.wait_for_watch("/api/v1/pods").await;
    wait_for_use(&server, &rules).await;
    assert_nothing_is_refused(&server, &rules);
    Ok(())
}

#[tokio::test]
async fn the_agent_uses_all_that_it_may_do_and_is_refused_nothing() -> Result<()> {
    run_agent(&base(), &[]).await
}

/// What the component for tuning allows besides is what it asks for besides.
#[tokio::test]
async fn so_does_one_that_tunes() -> Result<()> {
    run_agent(&overlay("tuning"), &["--tune=clamp"]).await
}

/// Runs the controller of these manifests until it has made a `ConfigMap` and taken it away again.
async fn run_controller(objects: &[Value], certificates: &str) -> Result<()> {
    let (namespace, account) = (names::CONTROLLER_NAMESPACE, "mtu-agent-controller");
    let server = server(objects, namespace, account).await?;
    let rules = allowed(objects, namespace, account);
    let labelled = object("examples/runner-namespace.yaml");
    let runners = text(&labelled["metadata"]["name"]).to_owned();
    server.put(labelled);
    server.put(json!({
        "apiVersion": "mtu-agent.dev/v1alpha1",
        "kind": "NodeMtu",
        "metadata": {"name": "node-1"},
        "spec": {},
        "status": {
            "dindMtu": 1450,
            "pods": [{"namespace": runners, "name": "runner", "uid": "some-uid", "mismatchedLinks": 1}],
        },
    }));
    let environment = [
        ("MTU_AGENT_CERTIFICATES", certificates),
        ("MTU_AGENT_CONTROLLER_LISTEN", ANY_PORT),
        ("MTU_AGENT_WEBHOOK_LISTEN", ANY_PORT),
    ];
    let _running = start(&server, &["controller", "--identity=some-pod", "--debounce=1s"], &environment)?;

    server.wait_for_object("ConfigMap", &runners, names::CONFIG_MAP, |_| true).await;
    server.wait_for("an Event", |request| request.path.ends_with("/events")).await;
    if certificates == "self-signed" {
        let is_known = |webhook: &Value| webhook["clientConfig"]["caBundle"].is_string();
        let are_known = |it: &Value| items(&it["webhooks"]).iter().all(is_known);
        let configuration = names::WEBHOOK_CONFIGURATION;
        server.wait_for_object("MutatingWebhookConfiguration", "", configuration, are_known).await;
    }
    server.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": runners}}));
    server.wait_for_absence("ConfigMap", &runners, names::CONFIG_MAP).await;
    wait_for_use(&server, &rules).await;
    assert_nothing_is_refused(&server, &rules);
    Ok(())
}

#[tokio::test]
async fn the_controller_uses_all_that_it_may_do_and_is_refused_nothing() -> Result<()> {
    run_controller(&base(), "self-signed").await
}

#[tokio::test]
async fn so_does_one_that_makes_no_certificates() -> Result<()> {
    run_controller(&with(&["cert-manager"]), "cert-manager").await?;
    run_controller(&overlay("observe-only"), "none").await
}
