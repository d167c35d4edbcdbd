//! Samples that are only there while their value is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec};

/// Gauges of which exactly the last known samples are told.
#[derive(Debug)]
pub(super) struct Shown<const N: usize> {
    gauges: GaugeVec,
    told: Mutex<BTreeSet<[String; N]>>,
}

impl<const N: usize> Shown<N> {
    pub(super) fn new(gauges: GaugeVec) -> Self {
        Self { gauges, told: Mutex::default() }
    }

    /// Tells these samples and no others. One that stays is never gone in between.
    pub(super) fn replace(&self, samples: impl IntoIterator<Item = ([String; N], f64)>) {
        let samples: BTreeMap<_, _> = samples.into_iter().collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in told.iter().filter(|labels| !samples.contains_key(*labels)) {
            self.gauges.remove_label_values(gone).expect("it was told");
        }
        for (labels, value) in &samples {
            self.gauges.with_label_values(labels).set(*value);
        }
        *told = samples.into_keys().collect();
    }
}

impl Shown<0> {
    /// Tells the value, if it is known.
    pub(super) fn set(&self, value: Option<f64>) {
        self.replace(value.map(|value| ([], value)));
    }
}

/// Counters that the kernel keeps and we pass on.
#[derive(Debug)]
pub(super) struct KernelCounter<const N: usize>(pub(super) IntCounterVec);

impl<const N: usize> KernelCounter<N> {
    /// The kernel's count; `None` if it cannot be read.
    pub(super) fn set(&self, labels: [&str; N], count: Option<u64>) {
        let Some(count) = count else {
            let _was_not_there = self.0.remove_label_values(&labels);
            return;
        };
        let counter = self.0.with_label_values(&labels);
        if count < counter.get() {
            counter.reset();
        }
        counter.inc_by(count - counter.get());
    }
}
