//! An `AdmissionReview` becomes its answer. Whatever goes wrong, the answer is yes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use k8s_openapi::api::core::v1::{Binding, Pod};
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation};
use serde::Deserialize as _;
use serde_json::Value;
use tracing::{debug, error, warn};

use super::binding::bind;
use super::metrics::{Answer, Resource};
use super::mutate::{Effect, Mutation, mutate};
use super::outcome::Outcome;
use super::policy::Policy;
use super::shape::Shape;
use super::text;
use crate::domain::fleet::Values;

/// The request is no `AdmissionReview` v1, so that it cannot be answered by one.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It is no JSON, or lacks a field.
    #[error("read the body as an AdmissionReview")]
    Unreadable(#[from] serde_json::Error),
    /// It is of another version.
    #[error("the body is of the kind {kind} {version}; AdmissionReview admission.k8s.io/v1 is answered")]
    OtherKind {
        /// `kind`, without control characters.
        kind: String,
        /// `apiVersion`, the same.
        version: String,
    },
    /// It has an answer at most.
    #[error("the AdmissionReview has no request")]
    NoRequest,
}

/// An answer, and what there is to count of it.
#[derive(Debug)]
pub struct Answered {
    /// What the API server gets.
    pub review: AdmissionReview<DynamicObject>,
    /// What was asked about.
    pub resource: Resource,
    /// What came of it.
    pub answer: Answer,
    /// Containers in which a dockerd was recognised. None in a dry run, and none if nothing was changed.
    pub containers: Vec<(Shape, Outcome)>,
}

/// What is to be answered, before it is an `AdmissionResponse`.
#[derive(Debug, Default)]
struct Reply {
    patch: json_patch::Patch,
    warnings: Vec<String>,
    containers: Vec<(Shape, Outcome)>,
}

/// Answers one review with what is known now.
pub fn answer(body: &[u8], values: &Values) -> Result<Answered, ReviewError> {
    let mut review: Value = serde_json::from_slice(body)?;
    // The patch's paths refer to the object as it came, so it is not taken through a type.
    let object = review.pointer_mut("/request/object").map(Value::take).unwrap_or_default();
    let review: AdmissionReview<DynamicObject> = serde_json::from_value(review)?;
    if (review.types.kind.as_str(), review.types.api_version.as_str())
        != ("AdmissionReview", "admission.k8s.io/v1")
    {
        let plain = |text: &str| text.chars().filter(|char| !char.is_control()).take(64).collect();
        let (kind, version) = (plain(&review.types.kind), plain(&review.types.api_version));
        return Err(ReviewError::OtherKind { kind, version });
    }
    let request: AdmissionRequest<DynamicObject> = review.try_into().map_err(|_| ReviewError::NoRequest)?;

    let resource = resource(&request);
    let (answer, reply) = guarded(&request.uid, || reply(&request, resource, object, values));
    debug!(uid = request.uid, namespace = request.namespace, ?resource, ?answer, "answered a review");
    let mut response = AdmissionResponse::from(&request);
    if !reply.patch.is_empty() {
        response = response.with_patch(reply.patch).expect("pointers and JSON values are JSON");
    }
    response.warnings = (!reply.warnings.is_empty()).then_some(reply.warnings);
    let containers = if request.dry_run { Vec::new() } else { reply.containers };
    Ok(Answered { review: response.into_review(), resource, answer, containers })
}

impl Reply {
    fn warning(warning: &str) -> Self {
        Self { warnings: vec![text::warning(warning)], ..Self::default() }
    }
}

/// A fault of ours must not stop a pod, nor the other requests.
fn guarded(uid: &str, reply: impl FnOnce() -> (Answer, Reply)) -> (Answer, Reply) {
    catch_unwind(AssertUnwindSafe(reply)).unwrap_or_else(|_panic| {
        error!(uid, "answering a review failed; the object passes unchanged");
        (Answer::Error, Reply::warning("a fault of its own kept it from looking: nothing is changed"))
    })
}

fn resource(request: &AdmissionRequest<DynamicObject>) -> Resource {
    let is_core = request.resource.group.is_empty() && request.operation == Operation::Create;
    let subresource = request.sub_resource.as_deref().filter(|name| !name.is_empty());
    match (request.resource.resource.as_str(), subresource) {
        ("pods", None) if is_core => Resource::Pods,
        ("pods", Some("binding")) | ("bindings", None) if is_core => Resource::Bindings,
        _ => Resource::Other,
    }
}

fn reply(
    request: &AdmissionRequest<DynamicObject>,
    resource: Resource,
    object: Value,
    values: &Values,
) -> (Answer, Reply) {
    let namespace = request.namespace.as_deref().unwrap_or_default();
    let (answer, reply) = match resource {
        Resource::Other => return (Answer::Unchanged, Reply::default()),
        Resource::Pods => match Pod::deserialize(&object) {
            Ok(pod) => of_pod(&pod, namespace, values),
            Err(_) => return unreadable(request, "pod"),
        },
        Resource::Bindings => match Binding::deserialize(&object) {
            Ok(binding) => of_binding(&binding, values),
            Err(_) => return unreadable(request, "Binding"),
        },
    };
    checked(request, object, answer, reply)
}

/// What cannot be read is not told why to the log: the reason may quote a secret of the object.
fn unreadable(request: &AdmissionRequest<DynamicObject>, what: &str) -> (Answer, Reply) {
    warn!(uid = request.uid, what, "an object cannot be read; it passes unchanged");
    (Answer::Malformed, Reply::warning(&format!("the {what} could not be read: nothing is changed")))
}

fn of_pod(pod: &Pod, namespace: &str, values: &Values) -> (Answer, Reply) {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let policy = Policy::new(values, namespace, node);
    let Mutation { patch, warnings, effect, containers } = mutate(pod, &policy);
    let answer = match effect {
        Effect::Unchanged => Answer::Unchanged,
        Effect::Annotated => Answer::Annotated,
        Effect::Refused => Answer::RefusedShape,
        Effect::Injected => Answer::Injected,
        Effect::Fallback => Answer::Fallback,
    };
    // Called again after another webhook, nothing changes, and nothing is counted twice.
    let containers = if effect == Effect::Unchanged { Vec::new() } else { containers };
    (answer, Reply { patch, warnings, containers })
}

fn of_binding(binding: &Binding, values: &Values) -> (Answer, Reply) {
    match bind(binding, values) {
        None => (Answer::Fallback, Reply::default()),
        Some(patch) if patch.is_empty() => (Answer::Unchanged, Reply::default()),
        Some(patch) => (Answer::Annotated, Reply { patch, ..Reply::default() }),
    }
}

/// The last guard: a patch that does not apply would refuse the object.
fn checked(
    request: &AdmissionRequest<DynamicObject>,
    mut object: Value,
    answer: Answer,
    reply: Reply,
) -> (Answer, Reply) {
    match json_patch::patch(&mut object, &reply.patch) {
        Ok(()) => (answer, reply),
        Err(failed) => {
            error!(uid = request.uid, path = %failed.path, "a patch does not apply; the object passes unchanged");
            (Answer::Error, Reply::warning("its patch did not apply: nothing is changed"))
        }
    }
}

#[cfg(test)]
mod tests;
