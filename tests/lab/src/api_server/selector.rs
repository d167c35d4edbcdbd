//! Label and field selectors.

use serde_json::Value;

use super::{failure::Failure, kind::Kind};

/// Which objects are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Exists,
    Absent,
    Is(String),
    IsNot(String),
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    pub(super) fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, Failure> {
        let labels = split(labels).into_iter().map(requirement).collect::<Result<_, _>>()?;
        let fields = split(fields).into_iter().map(requirement).collect::<Result<Vec<_>, _>>()?;
        for field in &fields {
            let is_known = match field.key.as_str() {
                "metadata.name" => true,
                "metadata.namespace" => kind.is_namespaced,
                "spec.nodeName" | "status.phase" => kind.is("Pod"),
                "type" => kind.is("Secret"),
                _ => false,
            };
            if !is_known {
                let message = format!("field label not supported: {}", field.key);
                return Err(Failure::new(
                    400,
                    format!("Unable to find \"{}\" that match: {message}", kind.plural),
                ));
            }
            if !matches!(field.test, Test::Is(_) | Test::IsNot(_)) {
                return Err(Failure::new(400, format!("invalid field selector: {}", field.key)));
            }
        }
        Ok(Self { labels, fields })
    }

    /// The one name that is asked for, if so.
    pub(super) fn name(&self) -> Option<&str> {
        self.fields.iter().find_map(|field| match &field.test {
            Test::Is(name) if field.key == "metadata.name" => Some(name.as_str()),
            Test::Exists | Test::Absent | Test::Is(_) | Test::IsNot(_) | Test::In(_) | Test::NotIn(_) => None,
        })
    }

    pub(super) fn is_all(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object["metadata"]["labels"][key].as_str();
        // An absent field is an empty one.
        let field = |key: &str| {
            let found = key.split('.').fold(object, |value, step| &value[step]);
            Some(found.as_str().unwrap_or_default())
        };
        self.labels.iter().all(|requirement| requirement.holds(label(&requirement.key)))
            && self.fields.iter().all(|requirement| requirement.holds(field(&requirement.key)))
    }
}

impl Requirement {
    fn holds(&self, found: Option<&str>) -> bool {
        match &self.test {
            Test::Exists => found.is_some(),
            Test::Absent => found.is_none(),
            Test::Is(value) => found == Some(value),
            Test::IsNot(value) => found != Some(value),
            Test::In(values) => found.is_some_and(|found| values.iter().any(|value| value == found)),
            Test::NotIn(values) => found.is_none_or(|found| values.iter().all(|value| value != found)),
        }
    }
}

/// At the commas that are not in parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let parts = text.split(|char| {
        depth += i32::from(char == '(') - i32::from(char == ')');
        char == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

fn requirement(text: &str) -> Result<Requirement, Failure> {
    let of = |key: &str, test| Ok(Requirement { key: key.trim().to_owned(), test });
    let set = |list: &str| {
        let inner = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
        let inner = inner.ok_or_else(|| Failure::new(400, format!("unable to parse requirement: {text}")))?;
        Ok::<_, Failure>(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    if let Some((key, list)) = text.split_once(" notin ") {
        return of(key, Test::NotIn(set(list)?));
    }
    if let Some((key, list)) = text.split_once(" in ") {
        return of(key, Test::In(set(list)?));
    }
    if let Some((key, value)) = text.split_once("!=") {
        return of(key, Test::IsNot(value.trim().to_owned()));
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return of(key, Test::Is(value.trim().to_owned()));
    }
    text.strip_prefix('!').map_or_else(|| of(text, Test::Exists), |key| of(key, Test::Absent))
}
