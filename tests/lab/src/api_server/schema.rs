//! Custom objects against the schema of their definition: what the real server prunes, and what it refuses. Pure.

use k8s_openapi::jiff;
use serde_json::{Map, Value};

/// Takes out what the schema does not know, and returns the paths of it.
pub(super) fn prune(value: &mut Value, schema: &Value, path: &str) -> Vec<String> {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return Vec::new();
    }
    let mut unknown = Vec::new();
    match value {
        Value::Object(map) => {
            let more = &schema["additionalProperties"];
            let keys: Vec<_> = map.keys().cloned().collect();
            for key in keys {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let inner = match schema["properties"].get(&key) {
                    // The server's own, whatever the schema says of them.
                    _ if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&key.as_str()) => {
                        continue;
                    }
                    Some(inner) => inner,
                    None if more.is_object() => more,
                    None => {
                        map.remove(&key);
                        unknown.push(below);
                        continue;
                    }
                };
                unknown.extend(prune(&mut map[&key], inner, &below));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                unknown.extend(prune(item, &schema["items"], &format!("{path}[{index}]")));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    unknown
}

/// Fills in what a schema has a default for, as the real server does with whatever is written and read.
pub(super) fn default(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
                if let Some(given) = inner.get("default").filter(|_| !map.contains_key(key)) {
                    map.insert(key.clone(), given.clone());
                }
                if let Some(value) = map.get_mut(key) {
                    default(value, inner);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| default(item, &schema["items"])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What is wrong with a value.
pub(super) fn errors(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    let shown = |value: &Value| value.to_string();
    if value.is_null() {
        let is_allowed = schema["nullable"] == true;
        let kind = schema["type"].as_str().unwrap_or_default();
        let error =
            format!("{path}: Invalid value: \"null\": {path} in body must be of type {kind}: \"null\"");
        return if is_allowed { Vec::new() } else { vec![error] };
    }
    let is_of_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !is_of_type {
        let kind = schema["type"].as_str().unwrap_or_default();
        return vec![format!(
            "{path}: Invalid value: {}: {path} in body must be of type {kind}",
            shown(value)
        )];
    }
    let mut errors = bounds(value, schema, path);
    let is_time = value.as_str().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok());
    if schema["format"] == "date-time" && !is_time {
        errors.push(format!(
            "{path}: Invalid value: {value}: {path} in body must be of type date-time: {value}"
        ));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        errors.push(format!(
            "{path}: Unsupported value: {}: supported values: {}",
            shown(value),
            Value::from(allowed.clone())
        ));
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(required).is_none() {
            errors.push(format!("{}: Required value", below(required)));
        }
    }
    for (key, inner) in value.as_object().unwrap_or(&Map::new()) {
        let inner_schema = schema["properties"].get(key).unwrap_or(&schema["additionalProperties"]);
        if inner_schema.is_object() && !(path.is_empty() && key == "metadata") {
            errors.extend(self::errors(inner, inner_schema, &below(key)));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        errors.extend(self::errors(item, &schema["items"], &format!("{path}[{index}]")));
    }
    errors
}

fn bounds(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut check = |size: Option<f64>, least: &str, most: &str, what: &str| {
        let Some(size) = size else { return };
        if let Some(least) = schema[least].as_f64().filter(|least| size < *least) {
            let message = format!("{path} in body{what} should be greater than or equal to {least}");
            errors.push(format!("{path}: Invalid value: {value}: {message}"));
        }
        if let Some(most) = schema[most].as_f64().filter(|most| size > *most) {
            let message = format!("{path} in body{what} should be less than or equal to {most}");
            errors.push(format!("{path}: Invalid value: {value}: {message}"));
        }
    };
    let count = |count: usize| u32::try_from(count).ok().map(f64::from);
    check(value.as_f64(), "minimum", "maximum", "");
    check(value.as_str().and_then(|text| count(text.chars().count())), "minLength", "maxLength", " length");
    check(value.as_array().and_then(|items| count(items.len())), "minItems", "maxItems", " length");
    check(value.as_object().and_then(|map| count(map.len())), "minProperties", "maxProperties", " length");
    errors
}
