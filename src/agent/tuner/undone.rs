//! How often what a plan wrote was undone, by whoever wants it otherwise.

use std::time::Instant;

use crate::domain::mtu::LinkMtu;
use crate::domain::strife::Strife;
use crate::publish::tune::Step;

/// Of one link, or of the clamp of one namespace.
#[derive(Debug, Default)]
pub(super) struct Undone {
    pub(super) strife: Strife,
    given: Option<LinkMtu>,
}

impl Undone {
    /// It was written.
    pub(super) fn written(&mut self, step: &Step, now: Instant) {
        let change = match step {
            Step::Link { link, to } => Some((link.was, *to)),
            Step::Clamp(_) => None,
        };
        self.changed(change, now);
    }

    /// A link that still had what it was given is lowered since less is safe now: nobody undid anything.
    fn changed(&mut self, link: Option<(LinkMtu, LinkMtu)>, now: Instant) {
        let is_as_given = link.is_some_and(|(from, _)| self.given.is_some_and(|given| from <= given));
        if !is_as_given {
            self.strife.written(now);
        }
        self.given = link.map(|(_, to)| to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::clock;
    use crate::domain::strife::TIMES;
    use crate::domain::topology::sample::mtu;

    #[test]
    fn what_is_set_back_counts_and_what_falls_further_does_not() {
        let (now, mut undone) = (clock(), Undone::default());
        undone.changed(Some((mtu(1500), mtu(1450))), now);
        for to in (1400..1450).rev() {
            undone.changed(Some((mtu(to + 1), mtu(to))), now);
        }
        for _ in 1..TIMES {
            assert!(!undone.strife.is_on(now));
            undone.changed(Some((mtu(1500), mtu(1400))), now);
        }
        assert!(undone.strife.is_on(now));
    }

    #[test]
    fn a_clamp_that_is_written_was_always_undone() {
        let (now, mut undone) = (clock(), Undone::default());
        (0..TIMES).for_each(|_| undone.changed(None, now));
        assert!(undone.strife.is_on(now));
    }
}
