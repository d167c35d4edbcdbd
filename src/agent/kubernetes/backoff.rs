//! How long to wait after a failure: a time between nothing and a ceiling that doubles, from a second to five minutes.
//!
//! The whole of it is drawn ("full jitter"): nodes that failed together come back apart.

use std::time::Duration;

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
    drawn: u64,
}

impl Backoff {
    pub(super) fn new(node_name: &str, purpose: &'static str) -> Self {
        Self { node_name: node_name.to_owned(), purpose, drawn: 0 }
    }

    /// After another failure, with so many in a row before it.
    pub(super) fn wait(&mut self, failures: u32) -> Duration {
        self.drawn += 1;
        let ceiling = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST);
        ceiling.mul_f64(seed(&self.node_name, (self.purpose, self.drawn)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_under_a_ceiling_that_doubles_up_to_five_minutes() {
        let mut backoff = Backoff::new("node-1", "test");
        let mut ceiling = FIRST;
        for failures in 0..40 {
            assert!(backoff.wait(failures) <= ceiling, "{ceiling:?}");
            ceiling = (ceiling * 2).min(LONGEST);
        }
        assert!(backoff.wait(0) <= FIRST);
    }

    #[test]
    fn a_thousand_nodes_that_failed_together_come_back_apart() {
        let node = |number: u32| Backoff::new(&format!("node-{number}"), "test").wait(0);
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
        assert_ne!(backoff.wait(0), backoff.wait(0));
    }
}
