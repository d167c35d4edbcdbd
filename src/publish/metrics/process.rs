//! What Prometheus tells of every process, under the names that it gives.

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

use super::catalog::Described;
use crate::kernel::own_process::{Usage, started, usage};

type Value = fn(&Usage) -> Option<f64>;

const METRICS: [(&str, MetricType, &str, Value); 6] = [
    (
        "process_cpu_seconds_total",
        MetricType::COUNTER,
        "Time on a processor, in user and kernel mode.",
        |usage| usage.cpu.map(|cpu| cpu.as_secs_f64()),
    ),
    ("process_max_fds", MetricType::GAUGE, "How many file descriptors may be open.", |usage| {
        usage.max_open_files.map(float)
    }),
    ("process_open_fds", MetricType::GAUGE, "Open file descriptors.", |usage| usage.open_files.map(float)),
    ("process_resident_memory_bytes", MetricType::GAUGE, "Memory that is really there.", |usage| {
        usage.resident_bytes.map(float)
    }),
    ("process_threads", MetricType::GAUGE, "Threads.", |usage| usage.threads.map(float)),
    ("process_virtual_memory_bytes", MetricType::GAUGE, "Address space.", |usage| {
        usage.virtual_bytes.map(float)
    }),
];
const START: (&str, &str) =
    ("process_start_time_seconds", "When the process started, in seconds since the epoch.");

/// Reads what the process uses whenever it is asked.
pub(super) struct OwnProcess {
    descriptors: Vec<Desc>,
    /// By the wall clock as it stood when this was made: a clock that steps is no restart.
    started: Option<f64>,
}

impl OwnProcess {
    pub(super) fn new() -> Self {
        let describe = |described: Described| {
            Desc::new(described.name.into_owned(), described.help.into(), Vec::new(), [].into())
                .expect("names are words")
        };
        let descriptors = Self::described().into_iter().map(describe).collect();
        Self { descriptors, started: started().map(|started| started.as_secs_f64()) }
    }

    pub(super) fn described() -> Vec<Described> {
        let kind = |kind| if kind == MetricType::COUNTER { "counter" } else { "gauge" };
        let metrics = METRICS.into_iter().map(|(name, metric_type, help, _)| (name, kind(metric_type), help));
        let all = metrics.chain([(START.0, "gauge", START.1)]);
        all.map(|(name, kind, help)| Described { name: name.into(), kind, labels: Vec::new(), help })
            .collect()
    }
}

impl Collector for OwnProcess {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptors.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let usage = usage();
        let known = |(name, metric_type, help, value): (_, _, _, Value)| {
            Some(family(name, metric_type, help, value(&usage)?))
        };
        let start = self.started.map(|started| family(START.0, MetricType::GAUGE, START.1, started));
        METRICS.into_iter().filter_map(known).chain(start).collect()
    }
}

fn family(name: &str, metric_type: MetricType, help: &str, value: f64) -> MetricFamily {
    let mut metric = Metric::default();
    if metric_type == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    let mut family = MetricFamily::default();
    family.set_name(name.into());
    family.set_help(help.into());
    family.set_field_type(metric_type);
    family.set_metric(vec![metric]);
    family
}

#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn float(count: u64) -> f64 {
    count as f64
}
