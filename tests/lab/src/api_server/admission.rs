//! Mutating webhooks, as far as pods and their bindings go: who is called, and what becomes of the object.
//!
//! Match conditions and object selectors are not looked at.

use std::{sync::Arc, time::Duration};

use http::Request;
use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{
    failure::Failure,
    kind::{Kind, Target, target},
    record::Recorded,
    selector::Selector,
    state::{Shared, State},
};

/// One webhook that is to be asked.
#[derive(Clone, Debug)]
struct Hook {
    url: String,
    ca_bundle: Option<ByteString>,
    timeout: Duration,
    is_required: bool,
}

/// Has the object of a request changed by the webhooks that are configured for it; returns their warnings.
pub(super) async fn mutate(shared: &Arc<Shared>, request: &mut Recorded) -> Result<Vec<String>, Failure> {
    let mut warnings = Vec::new();
    if request.method != "POST" {
        return Ok(warnings);
    }
    let (target, hooks) = {
        let state = shared.look();
        let Some(target) = target(&state.kinds, &request.path).filter(|target| target.kind.is("Pod")) else {
            return Ok(warnings);
        };
        let hooks = hooks(&state, &target);
        (target, hooks)
    };
    for hook in hooks {
        let asked = tokio::time::timeout(hook.timeout, ask(&hook, &target, request)).await;
        match asked.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {:?}", hook.timeout))) {
            Ok(response) => warnings.extend(take(request, &response)?),
            Err(error) if hook.is_required => {
                return Err(Failure::new(500, format!("failed calling webhook {}: {error:#}", hook.url)));
            }
            Err(_) => {}
        }
    }
    Ok(warnings)
}

fn hooks(state: &State, target: &Target) -> Vec<Hook> {
    let configurations = state.kinds.iter().find(|kind| kind.is("MutatingWebhookConfiguration"));
    let namespaces = state.kinds.iter().find(|kind| kind.is("Namespace"));
    let (Some(configurations), Some(namespaces)) = (configurations, namespaces) else { return Vec::new() };
    let all = Selector::default();
    let labels = |name: &str| {
        let namespace = state.store.list(namespaces, "", &all).find(|(key, _)| key.name == name);
        namespace.map_or(Value::Null, |(_, namespace)| namespace["metadata"]["labels"].clone())
    };
    let labels = labels(&target.namespace);
    let resource = resource(&target.kind, &target.subresource);
    let stored = state.store.list(configurations, "", &all);
    let parsed = stored.filter_map(|(_, object)| {
        serde_json::from_value::<MutatingWebhookConfiguration>(object.clone()).ok()
    });
    let webhooks = parsed.flat_map(|configuration| configuration.webhooks.unwrap_or_default());
    let wanted = webhooks.filter(|webhook| {
        let rules = webhook.rules.iter().flatten();
        let has = |words: &Option<Vec<String>>, word: &str| {
            words.iter().flatten().any(|it| it == word || it == "*")
        };
        let selector =
            webhook.namespace_selector.as_ref().and_then(|selector| selector.match_labels.as_ref());
        rules.into_iter().any(|rule| has(&rule.operations, "CREATE") && has(&rule.resources, &resource))
            && selector.into_iter().flatten().all(|(key, value)| labels[key] == value.as_str())
    });
    let hook = |webhook: k8s_openapi::api::admissionregistration::v1::MutatingWebhook| {
        Some(Hook {
            // There are no services here: only who is named by a URL can be asked.
            url: webhook.client_config.url.unwrap_or_default(),
            ca_bundle: webhook.client_config.ca_bundle,
            timeout: Duration::from_secs(webhook.timeout_seconds.unwrap_or(10).unsigned_abs().into()),
            is_required: webhook.failure_policy.as_deref() != Some("Ignore"),
        })
    };
    wanted.filter_map(hook).collect()
}

fn resource(kind: &Kind, subresource: &str) -> String {
    if subresource.is_empty() { kind.plural.clone() } else { format!("{}/{subresource}", kind.plural) }
}

async fn ask(hook: &Hook, target: &Target, request: &Recorded) -> anyhow::Result<Value> {
    let (base, path) = match hook.url.strip_prefix("https://").and_then(|rest| rest.split_once('/')) {
        Some((host, path)) => (format!("https://{host}"), format!("/{path}")),
        None => (hook.url.clone(), "/".to_owned()),
    };
    let kubeconfig: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{ "name": "hook", "cluster": { "server": base, "certificate-authority-data": hook.ca_bundle } }],
        "contexts": [{ "name": "hook", "context": { "cluster": "hook", "user": "hook" } }],
        "users": [{ "name": "hook", "user": {} }],
        "current-context": "hook",
    }))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    let kind = if target.subresource == "binding" { "Binding" } else { "Pod" };
    let kind = json!({ "group": "", "version": "v1", "kind": kind });
    let resource = json!({ "group": "", "version": "v1", "resource": target.kind.plural });
    let name = if target.name.is_empty() { &request.body["metadata"]["name"] } else { &json!(target.name) };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": format!("00000000-0000-4000-9000-{:012x}", request.number),
            "kind": kind, "resource": resource, "subResource": target.subresource,
            "requestKind": kind, "requestResource": resource, "requestSubResource": target.subresource,
            "name": name, "namespace": target.namespace, "operation": "CREATE",
            "userInfo": { "username": "somebody", "groups": ["system:authenticated"] },
            "object": request.body, "oldObject": null, "dryRun": request.parameter("dryRun") == "All",
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
        },
    });
    let question = Request::post(path).header("content-type", "application/json");
    Ok(Client::try_from(config)?.request(question.body(review.to_string().into_bytes())?).await?)
}

/// Does what a webhook answered.
fn take(request: &mut Recorded, review: &Value) -> Result<Vec<String>, Failure> {
    let response = &review["response"];
    if response["allowed"] != true {
        return Err(Failure::new(
            403,
            format!("admission webhook denied the request: {}", response["status"]),
        ));
    }
    let patch = serde_json::from_value::<Option<ByteString>>(response["patch"].clone());
    let patch = patch.ok().flatten().map(|patch| serde_json::from_slice::<json_patch::Patch>(&patch.0));
    if let Some(patch) = patch {
        // Whatever the failure policy is, the real server refuses the object then.
        let refused = |error: String| Failure::new(500, format!("the patch of a webhook: {error}"));
        let patch = patch.map_err(|error| refused(error.to_string()))?;
        json_patch::patch(&mut request.body, &patch).map_err(|error| refused(error.to_string()))?;
    }
    let warnings = response["warnings"].as_array().into_iter().flatten();
    Ok(warnings.filter_map(Value::as_str).map(str::to_owned).collect())
}
