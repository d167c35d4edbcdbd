//! What is known of all objects of one kind: no more of each than is needed, kept while the API server is away.

use std::collections::{BTreeMap, BTreeSet};

/// What a watch tells. `None` in the place of an object: there is nothing of interest in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change<V> {
    /// All objects will be listed.
    Listing,
    /// One of them.
    Listed(String, Option<V>),
    /// Those were all.
    Complete,
    /// An object is new, or is another now.
    Set(String, Option<V>),
    /// It was deleted.
    Gone(String),
}

/// The objects as they were last seen.
#[derive(Debug)]
pub(super) struct Mirror<V> {
    known: BTreeMap<String, V>,
    /// Names that were listed, while a listing is under way: the others stay until it is complete.
    listed: Option<BTreeSet<String>>,
    is_synced: bool,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), listed: None, is_synced: false }
    }
}

impl<V: PartialEq> Mirror<V> {
    /// Takes a change over; tells whether anything is another now.
    pub(super) fn take(&mut self, change: Change<V>) -> bool {
        match change {
            Change::Listing => {
                self.listed = Some(BTreeSet::new());
                false
            }
            Change::Listed(name, object) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(name.clone());
                }
                self.set(name, object)
            }
            Change::Complete => {
                let before = self.known.len();
                if let Some(listed) = self.listed.take() {
                    self.known.retain(|name, _| listed.contains(name));
                }
                let was_synced = std::mem::replace(&mut self.is_synced, true);
                !was_synced || self.known.len() != before
            }
            Change::Set(name, object) => self.set(name, object),
            Change::Gone(name) => self.set(name, None),
        }
    }

    /// Takes what is known of an object by other means; tells whether it is another now.
    pub(super) fn set(&mut self, name: String, object: Option<V>) -> bool {
        let Some(object) = object else { return self.known.remove(&name).is_some() };
        if self.known.get(&name) == Some(&object) {
            return false;
        }
        self.known.insert(name, object);
        true
    }

    /// The objects by name.
    pub(super) fn known(&self) -> &BTreeMap<String, V> {
        &self.known
    }

    /// Whether all of them were listed once.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(changes: &[Change<u32>]) -> Mirror<u32> {
        let mut mirror = Mirror::default();
        for change in changes {
            mirror.take(change.clone());
        }
        mirror
    }

    fn names(mirror: &Mirror<u32>) -> Vec<(&str, u32)> {
        mirror.known().iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }

    fn listed(name: &str, value: u32) -> Change<u32> {
        Change::Listed(name.into(), Some(value))
    }

    #[test]
    fn it_is_synced_when_all_were_listed_and_stays_so() {
        let changes = [Change::Listing, listed("a", 1), Change::Complete, Change::Listing, listed("a", 2)];
        for (taken, is_synced) in [(0, false), (2, false), (3, true), (5, true)] {
            assert_eq!(mirror(&changes[..taken]).is_synced(), is_synced, "{taken}");
        }
    }

    #[test]
    fn what_a_new_listing_does_not_name_is_gone_when_it_is_complete_and_not_before() {
        let first = [Change::Listing, listed("a", 1), listed("b", 1), Change::Complete];
        let again = [&first[..], &[Change::Listing, listed("b", 2)]].concat();
        assert_eq!(names(&mirror(&again)), [("a", 1), ("b", 2)]);
        let complete = [&again[..], &[Change::Complete]].concat();
        assert_eq!(names(&mirror(&complete)), [("b", 2)]);
    }

    #[test]
    fn a_listing_that_begins_anew_forgets_what_it_had_listed() {
        let changes = [
            Change::Listing,
            listed("a", 1),
            Change::Complete,
            Change::Listing,
            listed("a", 1),
            Change::Listing,
            listed("b", 1),
            Change::Complete,
        ];
        assert_eq!(names(&mirror(&changes)), [("b", 1)]);
    }

    #[test]
    fn what_changes_nothing_is_told_apart() {
        let mut mirror = mirror(&[Change::Listing, listed("a", 1), listed("b", 1), Change::Complete]);
        for (change, is_change) in [
            (Change::Set("a".into(), Some(1)), false),
            (Change::Set("a".into(), Some(2)), true),
            (Change::Gone("c".into()), false),
            (Change::Gone("b".into()), true),
            (Change::Listing, false),
            (listed("a", 2), false),
            (Change::Complete, false),
        ] {
            assert_eq!(mirror.take(change.clone()), is_change, "{change:?}");
        }
    }

    #[test]
    fn changes_are_taken_one_by_one() {
        let set = |name: &str, value| Change::Set(name.to_owned(), value);
        let changes = [
            set("a", Some(1)),
            set("b", Some(1)),
            set("a", Some(2)),
            Change::Gone("b".into()),
            set("c", None),
        ];
        assert_eq!(names(&mirror(&changes)), [("a", 2)]);
        assert!(
            names(&mirror(&[set("a", Some(1)), set("a", None)])).is_empty(),
            "it is of no interest any more"
        );
    }
}
