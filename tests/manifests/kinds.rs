//! Every kind that the manifests use, and what of an object its type does not know.

use k8s_openapi::Resource;
use k8s_openapi::api::admissionregistration::v1 as admission;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::flowcontrol::v1 as flowcontrol;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1 as rbac;
use k8s_openapi::api::{apps::v1 as apps, networking::v1::NetworkPolicy};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::foreign::{Certificate, Issuer, PodMonitor, PrometheusRule, SecurityContextConstraints};

/// Reads an object as its type, and writes it again.
type Keep = fn(&Value) -> serde_json::Result<Value>;

fn kinds() -> Vec<(&'static str, &'static str, Keep)> {
    vec![
        built_in::<core::Namespace>(),
        built_in::<core::ServiceAccount>(),
        built_in::<core::ConfigMap>(),
        built_in::<core::Pod>(),
        built_in::<core::ResourceQuota>(),
        built_in::<core::Service>(),
        built_in::<apps::DaemonSet>(),
        built_in::<apps::Deployment>(),
        built_in::<rbac::ClusterRole>(),
        built_in::<rbac::ClusterRoleBinding>(),
        built_in::<rbac::Role>(),
        built_in::<rbac::RoleBinding>(),
        built_in::<PodDisruptionBudget>(),
        built_in::<NetworkPolicy>(),
        built_in::<CustomResourceDefinition>(),
        built_in::<admission::MutatingWebhookConfiguration>(),
        built_in::<admission::ValidatingAdmissionPolicy>(),
        built_in::<admission::ValidatingAdmissionPolicyBinding>(),
        built_in::<flowcontrol::FlowSchema>(),
        built_in::<flowcontrol::PriorityLevelConfiguration>(),
        ("cert-manager.io/v1", "Certificate", keep::<Certificate>),
        ("cert-manager.io/v1", "Issuer", keep::<Issuer>),
        ("monitoring.coreos.com/v1", "PodMonitor", keep::<PodMonitor>),
        ("monitoring.coreos.com/v1", "PrometheusRule", keep::<PrometheusRule>),
        ("security.openshift.io/v1", "SecurityContextConstraints", keep::<SecurityContextConstraints>),
    ]
}

fn built_in<T: Resource + Serialize + DeserializeOwned>() -> (&'static str, &'static str, Keep) {
    (T::API_VERSION, T::KIND, keep::<T>)
}

fn keep<T: Serialize + DeserializeOwned>(object: &Value) -> serde_json::Result<Value> {
    serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
}

/// Fields of an object that its type does not know, or not with such a value.
pub(crate) fn unknown(object: &Value) -> Vec<String> {
    let is_its = |(version, kind, _): &&(&str, &str, Keep)| {
        object["apiVersion"] == *version && object["kind"] == *kind
    };
    let kinds = kinds();
    let Some((_, _, keep)) = kinds.iter().find(is_its) else {
        return vec![format!("no kind {} {}", object["apiVersion"], object["kind"])];
    };
    let mut unknown = Vec::new();
    match keep(object) {
        Ok(kept) => compare("", object, &kept, &mut unknown),
        Err(error) => unknown.push(error.to_string()),
    }
    unknown
}

fn compare(at: &str, given: &Value, kept: &Value, unknown: &mut Vec<String>) {
    match (given, kept) {
        // In a patch: what is to be taken away.
        (Value::Null, Value::Null) => {}
        (Value::Object(given), Value::Object(kept)) => {
            for (key, given) in given {
                let kept = kept.get(key).unwrap_or(&Value::Null);
                compare(&format!("{at}/{key}"), given, kept, unknown);
            }
        }
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            for (index, (given, kept)) in given.iter().zip(kept).enumerate() {
                compare(&format!("{at}/{index}"), given, kept, unknown);
            }
        }
        (Value::Number(given), Value::Number(kept)) if given.as_f64() == kept.as_f64() => {}
        (given, kept) if given == kept => {}
        (given, kept) => unknown.push(format!("{at}: {given} is read as {kept}")),
    }
}
