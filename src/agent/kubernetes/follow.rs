//! What a watch of the API server tells, kept: while nobody answers, what was told last stays.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::pin;

use futures_util::{Stream, StreamExt as _};
use kube::runtime::watcher::Event;
use tokio::sync::watch;

/// Little of each object, by what tells it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known<V> {
    /// As they were told last.
    pub(super) all: BTreeMap<String, V>,
    /// Whether that is all of them: somebody has answered once.
    pub(super) is_listed: bool,
}

impl<V> Default for Known<V> {
    fn default() -> Self {
        Self { all: BTreeMap::new(), is_listed: false }
    }
}

/// Keeps what one watch tells.
pub(super) struct Keeper<T, V> {
    /// What matters of an object; `None` if it is not to be told apart.
    of: fn(T) -> Option<(String, V)>,
    /// A list that is being read, and not known before its end.
    listed: BTreeMap<String, V>,
    known: watch::Sender<Known<V>>,
}

impl<T, V: PartialEq> Keeper<T, V> {
    pub(super) fn new(of: fn(T) -> Option<(String, V)>, known: watch::Sender<Known<V>>) -> Self {
        Self { of, listed: BTreeMap::new(), known }
    }

    /// For as long as there are any.
    pub(super) async fn follow(mut self, events: impl Stream<Item = Event<T>>) {
        let mut events = pin!(events);
        while let Some(event) = events.next().await {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event<T>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(told) => self.listed.extend((self.of)(told)),
            Event::InitDone => {
                let listed = Known { all: std::mem::take(&mut self.listed), is_listed: true };
                self.known.send_if_modified(|known| {
                    *known != listed && {
                        *known = listed;
                        true
                    }
                });
            }
            Event::Apply(told) => {
                let Some((key, value)) = (self.of)(told) else { return };
                self.known.send_if_modified(|known| match known.all.entry(key) {
                    Entry::Occupied(known) if *known.get() == value => false,
                    known @ (Entry::Occupied(_) | Entry::Vacant(_)) => {
                        known.insert_entry(value);
                        true
                    }
                });
            }
            Event::Delete(told) => {
                let Some((key, _)) = (self.of)(told) else { return };
                self.known.send_if_modified(|known| known.all.remove(&key).is_some());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_replaces_all_at_once_and_changes_that_do_not_matter_wake_nobody() {
        let (known, mut seen) = watch::channel(Known::default());
        let mut keeper = Keeper::new(|(key, value): (&str, u32)| Some((key.to_owned(), value)), known);
        let mut hear = |event| {
            keeper.handle(event);
            let is_news = seen.has_changed().expect("the keeper is there");
            let known = seen.borrow_and_update();
            let all = known.all.iter().map(|(key, value)| format!("{key}{value}")).collect::<Vec<_>>();
            (is_news, all.join(" "), known.is_listed)
        };
        assert_eq!(hear(Event::Init), (false, String::new(), false));
        assert_eq!(hear(Event::InitApply(("a", 1))), (false, String::new(), false));
        assert_eq!(hear(Event::InitDone), (true, "a1".into(), true));
        assert_eq!(hear(Event::Apply(("a", 1))), (false, "a1".into(), true));
        assert_eq!(hear(Event::Apply(("a", 2))), (true, "a2".into(), true));
        assert_eq!(hear(Event::Apply(("b", 1))), (true, "a2 b1".into(), true));
        assert_eq!(hear(Event::Delete(("a", 2))), (true, "b1".into(), true));
        assert_eq!(hear(Event::Init), (false, "b1".into(), true), "the last ones stay while a list is read");
        assert_eq!(hear(Event::InitApply(("c", 1))), (false, "b1".into(), true));
        assert_eq!(hear(Event::InitDone), (true, "c1".into(), true));
    }

    #[test]
    fn an_empty_list_is_news_once() {
        let (known, seen) = watch::channel(Known::<()>::default());
        let mut keeper = Keeper::new(|key: String| Some((key, ())), known);
        keeper.handle(Event::Init);
        keeper.handle(Event::InitDone);
        assert!(seen.borrow().is_listed && seen.has_changed().expect("the keeper is there"));
    }
}
