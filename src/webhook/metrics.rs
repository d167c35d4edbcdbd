//! What the webhook counts. The labels' values are all in here.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use super::outcome::Outcome;
use super::shape::Shape;

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
    const ALL: [Self; 3] = [Self::Pods, Self::Bindings, Self::Other];

    fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Bindings => "bindings",
            Self::Other => "other",
        }
    }
}

impl Answer {
    const ALL: [Self; 7] = [
        Self::Injected,
        Self::Annotated,
        Self::Unchanged,
        Self::RefusedShape,
        Self::Fallback,
        Self::Malformed,
        Self::Error,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Annotated => "annotated",
            Self::Unchanged => "unchanged",
            Self::RefusedShape => "refused_shape",
            Self::Fallback => "fallback",
            Self::Malformed => "malformed",
            Self::Error => "error",
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
    /// Makes them, and adds them to a registry. Fails if it has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("mtu_agent_webhook_requests_total", "Admission requests, by what came of them."),
            &["resource", "result"],
        )?;
        let injections = IntCounterVec::new(
            Opts::new(
                "mtu_agent_injections_total",
                "Containers of new pods in which a dockerd was recognised, by how it is started and what came of it. \
                 Without dry runs.",
            ),
            &["shape", "outcome"],
        )?;
        let duration = Histogram::with_opts(
            HistogramOpts::new(
                "mtu_agent_webhook_request_duration_seconds",
                "From the whole request to its answer.",
            )
            .buckets(SECONDS.to_vec()),
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(injections.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        // All that there can be are there from the start: a rate needs a first sample.
        for resource in Resource::ALL {
            for answer in Answer::ALL {
                requests.with_label_values(&[resource.name(), answer.name()]);
            }
        }
        Ok(Self { requests, injections, duration })
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
        let metrics = WebhookMetrics::register(&registry).expect("they are the first");
        metrics.answered(Resource::Pods, Answer::Injected, Duration::from_millis(2));
        metrics.recognised(&[(Shape::Plain, Outcome::Told), (Shape::Shell, Outcome::Refused(Shape::Shell))]);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("it is text");
        for line in [
            r#"mtu_agent_webhook_requests_total{resource="pods",result="injected"} 1"#,
            r#"mtu_agent_webhook_requests_total{resource="bindings",result="error"} 0"#,
            r#"mtu_agent_injections_total{outcome="told",shape="plain"} 1"#,
            r#"mtu_agent_injections_total{outcome="refused",shape="shell"} 1"#,
            r#"mtu_agent_webhook_request_duration_seconds_bucket{le="0.005"} 1"#,
        ] {
            assert!(text.lines().any(|have| have == line), "{line}\n{text}");
        }
        assert!(WebhookMetrics::register(&registry).is_err(), "they are there already");
    }
}
