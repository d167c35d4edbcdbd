//! A `ValidatingAdmissionPolicy`, evaluated as the API server does it.

use cel::{Context, Program};
use serde_json::Value;

use super::documents::{items, object, text};

/// Why a request is refused, if it is.
pub(crate) fn refusal(policy: &str, request: &Value, object_: &Value, old: &Value) -> Option<String> {
    let policy = object(policy);
    let spec = &policy["spec"];
    let mut variables = serde_json::Map::new();
    let evaluate = |expression: &Value, variables: &serde_json::Map<String, Value>| {
        let mut context = Context::default();
        for (name, value) in [("request", request), ("object", object_), ("oldObject", old)] {
            context.add_variable(name, value.clone()).expect("it is JSON");
        }
        context.add_variable("variables", Value::Object(variables.clone())).expect("it is JSON");
        let program = Program::compile(text(expression)).expect("it is CEL");
        let value = program.execute(&context).unwrap_or_else(|error| panic!("{expression}: {error}"));
        value.json().expect("it is a plain value")
    };
    let matches = items(&spec["matchConditions"]).iter();
    if !matches.map(|condition| evaluate(&condition["expression"], &variables)).all(|it| it == true) {
        return None;
    }
    for variable in items(&spec["variables"]) {
        let value = evaluate(&variable["expression"], &variables);
        variables.insert(text(&variable["name"]).to_owned(), value);
    }
    let failed = items(&spec["validations"])
        .iter()
        .find(|validation| evaluate(&validation["expression"], &variables) != true)?;
    let expression = &failed["messageExpression"];
    let message =
        if expression.is_null() { failed["message"].clone() } else { evaluate(expression, &variables) };
    Some(text(&message).to_owned())
}
