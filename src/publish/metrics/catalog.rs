//! Registers metrics, and remembers what each of them is for `docs/metrics.md`.
//!
//! Of the agent and the controller all metrics are in [`super`]; a server that counts for itself, as the webhook does,
//! uses the same catalog.

use std::borrow::Cow;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::shown::{KernelCounter, Shown};

/// Begins every name of the agent but those that Prometheus gives to every process.
pub const AGENT: &str = "mtu_agent_";
/// The same of the controller.
pub(super) const CONTROLLER: &str = "mtu_agent_controller_";

/// A label, and which values it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// Which values a label may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these.
    Closed(&'static [&'static str]),
    /// What the words say; few on one node.
    Few(&'static str),
}

impl Label {
    /// One that has one of these values.
    pub const fn closed(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::Closed(values) }
    }

    /// One of whose values `what` says what they are.
    pub const fn few(name: &'static str, what: &'static str) -> Self {
        Self { name, values: Values::Few(what) }
    }
}

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its whole name.
    pub name: Cow<'static, str>,
    /// Its type, as Prometheus calls it.
    pub kind: &'static str,
    /// Its labels.
    pub labels: Vec<Label>,
    /// What it means.
    pub help: &'static str,
}

/// A registry that knows what is in it.
#[derive(Debug)]
pub struct Catalog {
    pub(super) registry: Registry,
    pub(super) described: Vec<Described>,
    prefix: &'static str,
}

impl Catalog {
    /// An empty one, whose names will begin with `prefix`.
    pub(super) fn new(prefix: &'static str) -> Self {
        Self::on(&Registry::new(), prefix)
    }

    /// Adds to a registry that somebody else has as well.
    pub fn on(registry: &Registry, prefix: &'static str) -> Self {
        Self { registry: registry.clone(), described: Vec::new(), prefix }
    }

    /// What each of them is.
    pub fn described(self) -> Vec<Described> {
        self.described
    }

    /// Gauges whose label values come and go.
    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        labels: [Label; N],
        help: &'static str,
    ) -> Shown<N> {
        let opts = self.describe(name, "gauge", &labels, help);
        Shown::new(self.register(GaugeVec::new(opts, &labels.map(|label| label.name))))
    }

    /// A gauge that has no sample while its value is unknown.
    pub(super) fn gauge(&mut self, name: &str, help: &'static str) -> Shown<0> {
        self.gauges(name, [], help)
    }

    pub(super) fn counter(&mut self, name: &str, help: &'static str) -> IntCounter {
        let opts = self.describe(name, "counter", &[], help);
        self.register(IntCounter::with_opts(opts))
    }

    /// Counters of every value of closed labels, from 0 on: a rate sees the first event.
    pub fn counters<const N: usize>(
        &mut self,
        name: &str,
        labels: [Label; N],
        help: &'static str,
    ) -> IntCounterVec {
        let opts = self.describe(name, "counter", &labels, help);
        let counters = self.register(IntCounterVec::new(opts, &labels.map(|label| label.name)));
        let mut combinations = vec![Vec::new()];
        for label in labels {
            let values = match label.values {
                Values::Closed(values) => values,
                Values::Few(_) => &[],
            };
            let longer = |shorter: Vec<&'static str>| {
                values.iter().map(move |value| [&shorter[..], &[*value]].concat())
            };
            combinations = combinations.into_iter().flat_map(longer).collect();
        }
        for values in combinations {
            counters.with_label_values(&values);
        }
        counters
    }

    /// Counters that the kernel keeps.
    pub(super) fn kernel_counters<const N: usize>(
        &mut self,
        name: &str,
        labels: [Label; N],
        help: &'static str,
    ) -> KernelCounter<N> {
        let opts = self.describe(name, "counter", &labels, help);
        KernelCounter(self.register(IntCounterVec::new(opts, &labels.map(|label| label.name))))
    }

    /// Counters that are not there before somebody asks for them.
    pub(super) fn later_counters<const N: usize>(
        &mut self,
        name: &str,
        labels: [Label; N],
        help: &'static str,
    ) -> IntCounterVec {
        let opts = self.describe(name, "counter", &labels, help);
        self.register(IntCounterVec::new(opts, &labels.map(|label| label.name)))
    }

    /// A histogram that is not there before somebody asks for it.
    pub(super) fn later_histogram(
        &mut self,
        name: &str,
        buckets: &[f64],
        help: &'static str,
    ) -> HistogramVec {
        let Opts { name, .. } = self.describe(name, "histogram", &[], help);
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(opts, &[]))
    }

    /// A histogram without labels.
    pub fn histogram(&mut self, name: &str, buckets: &[f64], help: &'static str) -> Histogram {
        let Opts { name, .. } = self.describe(name, "histogram", &[], help);
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts))
    }

    /// A collector that has its own names.
    pub(super) fn add(&mut self, collector: impl Collector + 'static, described: Vec<Described>) {
        self.described.extend(described);
        self.registry.register(Box::new(collector)).expect("no other metric has the name");
    }

    fn describe(&mut self, name: &str, kind: &'static str, labels: &[Label], help: &'static str) -> Opts {
        let name = format!("{}{name}", self.prefix);
        let opts = Opts::new(name.clone(), help);
        self.described.push(Described { name: name.into(), kind, labels: labels.to_vec(), help });
        opts
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("names and labels are words, buckets ascend");
        self.registry.register(Box::new(metric.clone())).expect("no other metric has the name");
        metric
    }
}
