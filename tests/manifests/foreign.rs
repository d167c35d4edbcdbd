//! Kinds that other projects define: of their fields, those that the manifests use.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Object<Spec> {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    spec: Spec,
}

/// <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>
pub(crate) type PodMonitor = Object<PodMonitorSpec>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodMonitorSpec {
    selector: LabelSelector,
    pod_metrics_endpoints: Vec<PodMetricsEndpoint>,
}

#[derive(Serialize, Deserialize)]
struct PodMetricsEndpoint {
    port: String,
    path: String,
    interval: String,
    relabelings: Vec<Relabeling>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relabeling {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    source_labels: Vec<String>,
    target_label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    replacement: Option<String>,
}

/// <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusRule>
pub(crate) type PrometheusRule = Object<PrometheusRuleSpec>;

#[derive(Serialize, Deserialize)]
pub(crate) struct PrometheusRuleSpec {
    groups: Vec<RuleGroup>,
}

#[derive(Serialize, Deserialize)]
struct RuleGroup {
    name: String,
    rules: Vec<AlertRule>,
}

#[derive(Serialize, Deserialize)]
struct AlertRule {
    alert: String,
    expr: String,
    r#for: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.Issuer>
pub(crate) type Issuer = Object<IssuerSpec>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum IssuerSpec {
    SelfSigned {},
    #[serde(rename_all = "camelCase")]
    Ca {
        secret_name: String,
    },
}

/// <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.Certificate>
pub(crate) type Certificate = Object<CertificateSpec>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateSpec {
    secret_name: String,
    issuer_ref: IssuerRef,
    #[serde(rename = "isCA", default)]
    is_ca: bool,
    common_name: Option<String>,
    #[serde(default)]
    dns_names: Vec<String>,
    duration: String,
    renew_before: Option<String>,
    private_key: PrivateKey,
    #[serde(default)]
    usages: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct IssuerRef {
    group: String,
    kind: String,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PrivateKey {
    algorithm: String,
    size: u16,
    rotation_policy: Option<String>,
}

/// `security.openshift.io/v1`: it has no `spec`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "OpenShift's")]
pub(crate) struct SecurityContextConstraints {
    api_version: String,
    kind: String,
    metadata: ObjectMeta,
    allow_host_dir_volume_plugin: bool,
    #[serde(rename = "allowHostIPC")]
    allow_host_ipc: bool,
    allow_host_network: bool,
    #[serde(rename = "allowHostPID")]
    allow_host_pid: bool,
    allow_host_ports: bool,
    allow_privilege_escalation: bool,
    allow_privileged_container: bool,
    allowed_capabilities: Vec<String>,
    required_drop_capabilities: Vec<String>,
    read_only_root_filesystem: bool,
    fs_group: BTreeMap<String, String>,
    run_as_user: BTreeMap<String, String>,
    se_linux_context: BTreeMap<String, String>,
    supplemental_groups: BTreeMap<String, String>,
    seccomp_profiles: Vec<String>,
    volumes: Vec<String>,
    users: Vec<String>,
    groups: Vec<String>,
}
