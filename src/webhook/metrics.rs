//! What the webhook counts. The labels' values are all in here.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, Registry};

use super::outcome::Outcome;
use super::shape::Shape;
use crate::publish::metrics::catalog::{AGENT, Catalog, Described, Label};

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A pod is made.
    Pods,
    /// A pod gets its node.
    Bindings,
    /// What nobody should send here, or what cannot be read.
    Other,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A container was told.
    Injected,
    /// Annotations were added.
    Annotated,
    /// Nothing was added.
    Unchanged,
    /// Annotations were added that say that a dockerd is not told.
    RefusedShape,
    /// A container was told the value that is used where none is known; a Binding names a node that has none.
    Fallback,
    /// The review or its object cannot be read.
    Malformed,
    /// A fault of ours.
    Error,
}

impl Resource {
    const NAMES: [&'static str; 3] = ["pods", "bindings", "other"];

    fn name(self) -> &'static str {
        let [pods, bindings, other] = Self::NAMES;
        match self {
            Self::Pods => pods,
            Self::Bindings => bindings,
            Self::Other => other,
        }
    }
}

impl Answer {
    const NAMES: [&'static str; 7] =
        ["injected", "annotated", "unchanged", "refused_shape", "fallback", "malformed", "error"];

    fn name(self) -> &'static str {
        let [injected, annotated, unchanged, refused_shape, fallback, malformed, error] = Self::NAMES;
        match self {
            Self::Injected => injected,
            Self::Annotated => annotated,
            Self::Unchanged => unchanged,
            Self::RefusedShape => refused_shape,
            Self::Fallback => fallback,
            Self::Malformed => malformed,
            Self::Error => error,
        }
    }
}

/// From what a request should take to what the API server waits for.
const SECONDS: [f64; 6] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.0];

/// Counters of one webhook. A clone counts into the same.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    requests: IntCounterVec,
    injections: IntCounterVec,
    duration: Histogram,
}

impl WebhookMetrics {
    /// What each of them is.
    pub fn described() -> Vec<Described> {
        Self::catalogued(&Registry::new()).1
    }

    /// Makes them, and adds them to a registry, which must not have them.
    pub fn register(registry: &Registry) -> Self {
        Self::catalogued(registry).0
    }

    fn catalogued(registry: &Registry) -> (Self, Vec<Described>) {
        let mut catalog = Catalog::on(registry, AGENT);
        let metrics = Self {
            requests: catalog.counters(
                "webhook_requests_total",
                [Label::closed("resource", &Resource::NAMES), Label::closed("result", &Answer::NAMES)],
                "Admission requests, by what came of them. refused_shape: a dockerd was recognised and is not told; \
                 fallback: told 1280, or a Binding names a node that has no value; error: a fault of ours.",
            ),
            injections: catalog.counters(
                "injections_total",
                [Label::closed("shape", &Shape::NAMES), Label::closed("outcome", &Outcome::NAMES)],
                "Containers of new pods in which a dockerd was recognised, by how it is started and what came of it. \
                 Without dry runs.",
            ),
            duration: catalog.histogram(
                "webhook_request_duration_seconds",
                &SECONDS,
                "From the whole request to its answer.",
            ),
        };
        (metrics, catalog.described())
    }

    pub(super) fn answered(&self, resource: Resource, answer: Answer, took: Duration) {
        self.requests.with_label_values(&[resource.name(), answer.name()]).inc();
        self.duration.observe(took.as_secs_f64());
    }

    pub(super) fn recognised(&self, containers: &[(Shape, Outcome)]) {
        for (shape, outcome) in containers {
            self.injections.with_label_values(&[shape.name(), outcome.name()]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn every_result_is_there_from_the_start_and_counted_by_itself() {
        let registry = Registry::new();
        let metrics = WebhookMetrics::register(&registry);
        metrics.answered(Resource::Pods, Answer::Injected, Duration::from_millis(2));
        metrics.recognised(&[(Shape::Plain, Outcome::Told), (Shape::Shell, Outcome::Refused(Shape::Shell))]);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("it is text");
        for line in [
            r#"mtu_agent_webhook_requests_total{resource="pods",result="injected"} 1"#,
            r#"mtu_agent_webhook_requests_total{resource="bindings",result="error"} 0"#,
            r#"mtu_agent_injections_total{outcome="told",shape="plain"} 1"#,
            r#"mtu_agent_injections_total{outcome="refused",shape="shell"} 1"#,
            r#"mtu_agent_injections_total{outcome="exceeds",shape="plain"} 0"#,
            r#"mtu_agent_webhook_request_duration_seconds_bucket{le="0.005"} 1"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
    }
}
