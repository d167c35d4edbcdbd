//! How long to wait after a failure: a time between nothing and a ceiling that doubles, from a second to five minutes.
//!
//! The whole of it is drawn ("full jitter"): nodes that failed together come back apart.

use std::time::Duration;

use kube::runtime::utils::Backoff as Resettable;

use crate::agent::spread::seed;

/// The ceiling after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The highest ceiling; nobody is obeyed who asks for more either.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// The waits of one node for one purpose.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    node_name: String,
    purpose: &'static str,
    ceiling: Duration,
    drawn: u64,
}

impl Backoff {
    pub(super) fn new(node_name: &str, purpose: &'static str) -> Self {
        Self { node_name: node_name.to_owned(), purpose, ceiling: FIRST, drawn: 0 }
    }

    /// After another failure in a row.
    pub(super) fn wait(&mut self) -> Duration {
        self.drawn += 1;
        let wait = self.ceiling.mul_f64(seed(&self.node_name, (self.purpose, self.drawn)));
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        wait
    }

    /// After a success.
    pub(super) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

/// For a watch.
impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait())
    }
}

impl Resettable for Backoff {
    fn reset(&mut self) {
        self.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_under_a_ceiling_that_doubles_up_to_five_minutes() {
        let mut backoff = Backoff::new("node-1", "test");
        let mut ceiling = FIRST;
        for _ in 0..20 {
            assert!(backoff.wait() <= ceiling, "{ceiling:?}");
            ceiling = (ceiling * 2).min(LONGEST);
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }

    #[test]
    fn a_thousand_nodes_that_failed_together_come_back_apart() {
        let node = |number: u32| Backoff::new(&format!("node-{number}"), "test").wait();
        let mut tenths = [0; 10];
        for wait in (0..1000).map(node) {
            let tenth = usize::try_from(wait.as_millis() / 100).expect("it is small");
            tenths[tenth.min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (50..200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn a_node_draws_anew_after_each_failure() {
        let mut backoff = Backoff::new("node-1", "test");
        let first = backoff.wait();
        backoff.reset();
        assert_ne!(backoff.wait(), first);
    }
}
