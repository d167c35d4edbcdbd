//! What the real server refuses to store. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    failure::Failure,
    kind::{Form, Kind},
    schema,
};

/// `ConfigMap`s and Secrets hold at most so much.
const DATA_LIMIT: usize = 1 << 20;
/// All annotations of an object together.
const ANNOTATIONS_LIMIT: usize = 256 << 10;

/// Where Leases and Events have such times.
const MICRO_TIMES: [&str; 3] = ["/spec/acquireTime", "/spec/renewTime", "/eventTime"];

/// What is done with fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// Dropped, with a warning.
    Dropped,
    /// Refused as a bad request: `fieldValidation=Strict`.
    Refused,
    /// Refused because nobody can own them: server-side apply.
    NotDeclared,
}

/// Brings an object into the form of its kind; returns the fields that were dropped.
pub(super) fn decode(kind: &Kind, object: &mut Value, unknown: Unknown) -> Result<Vec<String>, Failure> {
    let dropped = match &kind.form {
        Form::BuiltIn(decode) => {
            let refused = |why: &str| {
                let what = format!("{} in version \"{}\"", kind.name, kind.version);
                Failure::new(400, format!("{what} cannot be handled as a {}: {why}", kind.name))
            };
            let times = MICRO_TIMES.iter().filter_map(|path| object.pointer(path)?.as_str());
            if let Some(time) = times.into_iter().find(|time| !has_microseconds(time)) {
                return Err(refused(&format!(
                    "parsing time \"{time}\" as \"2006-01-02T15:04:05.000000Z07:00\""
                )));
            }
            let decoded = decode(object).map_err(|error| refused(&error.to_string()))?;
            let dropped = missing(object, &decoded, "");
            *object = decoded;
            dropped
        }
        Form::Custom(schema) => {
            let dropped = schema::prune(object, schema, "");
            schema::default(object, schema);
            dropped
        }
    };
    match unknown {
        _ if dropped.is_empty() => {}
        Unknown::Dropped => {}
        Unknown::Refused => {
            let fields: Vec<_> = dropped.iter().map(|field| format!("unknown field \"{field}\"")).collect();
            return Err(Failure::new(400, format!("strict decoding error: {}", fields.join(", "))));
        }
        Unknown::NotDeclared => {
            let fields: Vec<_> =
                dropped.iter().map(|field| format!(".{field}: field not declared in schema")).collect();
            let message = format!("failed to create typed patch object: {}", fields.join(", "));
            return Err(Failure::new(500, message));
        }
    }
    Ok(dropped)
}

/// Whether a time has six digits after its seconds, no more and no less: the real server reads no other.
fn has_microseconds(time: &str) -> bool {
    let fraction = time.split_once('.').map_or("", |(_, fraction)| fraction);
    fraction.find(|char: char| !char.is_ascii_digit()) == Some(6)
}

/// Paths in `given` that `decoded` has not.
fn missing(given: &Value, decoded: &Value, path: &str) -> Vec<String> {
    match (given, decoded) {
        (Value::Object(given), Value::Object(decoded)) => {
            let inner = given.iter().filter(|(_, value)| !value.is_null()).flat_map(|(key, value)| {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match decoded.get(key) {
                    Some(decoded) => missing(value, decoded, &below),
                    // What only helps to write a Secret.
                    None if below == "stringData" => Vec::new(),
                    None => vec![below],
                }
            });
            inner.collect()
        }
        (Value::Array(given), Value::Array(decoded)) => {
            let items = given.iter().zip(decoded).enumerate();
            items
                .flat_map(|(index, (given, decoded))| missing(given, decoded, &format!("{path}[{index}]")))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Refuses what is wrong with an object that is in its form.
pub(super) fn check(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut errors = metadata(kind, object);
    match &kind.form {
        Form::Custom(schema) => errors.extend(schema::errors(object, schema, "")),
        Form::BuiltIn(_) => errors.extend(match kind.name.as_str() {
            "ConfigMap" | "Secret" => data(kind, object),
            "Event" => event(object),
            "Lease" => lease(object),
            "MutatingWebhookConfiguration" => webhooks(object),
            "Pod" => pod(object),
            _ => Vec::new(),
        }),
    }
    if errors.is_empty() { Ok(()) } else { Err(Failure::invalid(kind, name, &errors)) }
}

fn metadata(kind: &Kind, object: &Value) -> Vec<String> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    // Roles may be called almost anything.
    let is_free = kind.group == "rbac.authorization.k8s.io" && !name.contains(['/', '%']);
    if !is_subdomain(name) && !is_free {
        errors.push(format!(
            "metadata.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of …"
        ));
    }
    for (key, value) in pairs(&metadata["labels"]) {
        if !is_qualified(key) || !is_label_value(value) {
            errors
                .push(format!("metadata.labels: Invalid value: \"{key}={value}\": a valid label must be …"));
        }
    }
    for (key, _) in pairs(&metadata["annotations"]) {
        if !is_qualified(&key.to_lowercase()) {
            errors
                .push(format!("metadata.annotations: Invalid value: \"{key}\": name part must consist of …"));
        }
    }
    if pairs(&metadata["annotations"]).map(|(key, value)| key.len() + value.len()).sum::<usize>()
        > ANNOTATIONS_LIMIT
    {
        errors
            .push(format!("metadata.annotations: Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"));
    }
    for (index, owner) in metadata["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                errors.push(format!(
                    "metadata.ownerReferences[{index}].{field}: Required value: {field} must not be empty"
                ));
            }
        }
    }
    errors
}

fn data(kind: &Kind, object: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let entries = || ["data", "binaryData"].into_iter().flat_map(|part| pairs(&object[part]));
    for (key, _) in entries() {
        let is_valid = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
        if key.is_empty()
            || key.len() > 253
            || !key.chars().all(is_valid)
            || key.starts_with("..")
            || key == "."
        {
            errors
                .push(format!("data[{key}]: Invalid value: \"{key}\": a valid config key must consist of …"));
        }
    }
    // Of a Secret it is the decoded size.
    let size = |value: &str| if kind.is("Secret") { value.len() / 4 * 3 } else { value.len() };
    if entries().map(|(_, value)| size(value)).sum::<usize>() > DATA_LIMIT {
        errors.push(format!("data: Too long: may not be more than {DATA_LIMIT} bytes"));
    }
    if object["type"] == "kubernetes.io/tls" {
        for key in ["tls.crt", "tls.key"].into_iter().filter(|key| object["data"].get(*key).is_none()) {
            errors.push(format!("data[{key}]: Required value"));
        }
    }
    errors
}

fn event(event: &Value) -> Vec<String> {
    let text = |field: &str| event[field].as_str().unwrap_or_default();
    let mut errors = Vec::new();
    for (field, most) in
        [("reportingController", 256), ("reportingInstance", 128), ("action", 128), ("reason", 128)]
    {
        if text(field).is_empty() {
            errors.push(format!("{field}: Required value"));
        } else if text(field).len() > most {
            errors.push(format!("{field}: Invalid value: \"\": can have at most {most} characters"));
        }
    }
    if !is_qualified(&text("reportingController").to_lowercase()) {
        errors.push("reportingController: Invalid value: name part must consist of …".to_owned());
    }
    if event["eventTime"].is_null() {
        errors.push("eventTime: Required value".to_owned());
    }
    if !["Normal", "Warning"].contains(&text("type")) {
        errors.push(format!("type: Invalid value: \"{}\": has invalid value", text("type")));
    }
    if text("note").len() > 1024 {
        errors.push("note: Invalid value: \"\": can have at most 1024 characters".to_owned());
    }
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let regarding = event["regarding"]["namespace"].as_str().unwrap_or_default();
    let is_in_place = if regarding.is_empty() {
        ["default", "kube-system"].contains(&namespace)
    } else {
        regarding == namespace
    };
    if !is_in_place {
        errors.push(format!(
            "involvedObject.namespace: Invalid value: \"{regarding}\": does not match event.namespace"
        ));
    }
    errors
}

fn lease(lease: &Value) -> Vec<String> {
    let spec = &lease["spec"];
    let mut errors = Vec::new();
    if spec["leaseDurationSeconds"].as_i64().is_some_and(|seconds| seconds <= 0) {
        errors.push("spec.leaseDurationSeconds: Invalid value: must be greater than 0".to_owned());
    }
    if spec["leaseTransitions"].as_i64().is_some_and(|transitions| transitions < 0) {
        errors.push("spec.leaseTransitions: Invalid value: must be greater than or equal to 0".to_owned());
    }
    if spec["holderIdentity"] == "" {
        errors.push("spec.holderIdentity: Invalid value: \"\": must not be empty".to_owned());
    }
    errors
}

fn webhooks(configuration: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (index, webhook) in configuration["webhooks"].as_array().into_iter().flatten().enumerate() {
        let path = format!("webhooks[{index}]");
        if !names.insert(webhook["name"].as_str()) {
            errors.push(format!("{path}.name: Duplicate value: {}", webhook["name"]));
        }
        if webhook["name"].as_str().is_none_or(|name| name.split('.').count() < 3 || !is_subdomain(name)) {
            errors.push(format!("{path}.name: Invalid value: should be a domain with at least three segments separated by dots"));
        }
        if !["None", "NoneOnDryRun"].map(Value::from).contains(&webhook["sideEffects"]) {
            errors
                .push(format!("{path}.sideEffects: Required value: must specify one of None, NoneOnDryRun"));
        }
        if webhook["admissionReviewVersions"].as_array().is_none_or(Vec::is_empty) {
            errors.push(format!(
                "{path}.admissionReviewVersions: Required value: must specify one of v1, v1beta1"
            ));
        }
        if webhook["timeoutSeconds"].as_i64().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            errors.push(format!(
                "{path}.timeoutSeconds: Invalid value: the timeout value must be between 1 and 30 seconds"
            ));
        }
        let client = &webhook["clientConfig"];
        if client["url"].is_null() == client["service"].is_null() {
            errors.push(format!(
                "{path}.clientConfig: Required value: exactly one of url or service is required"
            ));
        }
        if client["url"].as_str().is_some_and(|url| !url.starts_with("https://")) {
            errors.push(format!(
                "{path}.clientConfig.url: Invalid value: 'https' is the only allowed URL scheme"
            ));
        }
    }
    errors
}

fn pod(pod: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    if pod["spec"]["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.push("spec.containers: Required value".to_owned());
    }
    let mut names = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for (index, container) in pod["spec"][list].as_array().into_iter().flatten().enumerate() {
            let path = format!("spec.{list}[{index}]");
            for field in ["name", "image"] {
                if container[field].as_str().is_none_or(str::is_empty) {
                    errors.push(format!("{path}.{field}: Required value"));
                }
            }
            if !names.insert(container["name"].as_str()) {
                errors.push(format!("{path}.name: Duplicate value: {}", container["name"]));
            }
            for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
                errors.extend(variable_error(variable).map(|error| format!("{path}.env[{index}].{error}")));
            }
        }
    }
    errors
}

fn variable_error(variable: &Value) -> Option<String> {
    if variable["name"].as_str().is_none_or(str::is_empty) {
        return Some("name: Required value".to_owned());
    }
    let source = &variable["valueFrom"];
    if !source.is_null() && variable["value"].as_str().is_some_and(|value| !value.is_empty()) {
        return Some(
            "valueFrom: Invalid value: \"\": may not be specified when `value` is not empty".to_owned(),
        );
    }
    let path = source["fieldRef"]["fieldPath"].as_str()?;
    let keyed =
        ["metadata.annotations['", "metadata.labels['"].map(|map| path.strip_prefix(map)?.strip_suffix("']"));
    let is_known =
        FIELDS.contains(&path) || keyed.into_iter().flatten().any(|key| is_qualified(&key.to_lowercase()));
    (!is_known).then(|| {
        format!("valueFrom.fieldRef.fieldPath: Invalid value: \"{path}\": error converting fieldPath")
    })
}

/// What an environment may be given of a pod, beside one annotation or label.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn pairs(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    let entries = map.as_object().into_iter().flatten();
    entries.map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

fn is_label(text: &str) -> bool {
    let is_inside = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    !text.is_empty() && text.chars().all(is_inside) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label_value(text: &str) -> bool {
    let is_end = |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric());
    let is_inside = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    text.is_empty()
        || (text.len() <= 63
            && text.chars().all(is_inside)
            && is_end(text.chars().next())
            && is_end(text.chars().next_back()))
}

fn is_qualified(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !key.is_empty() && is_label_value(key),
    }
}
