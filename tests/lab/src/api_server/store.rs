//! The objects, their versions, and what has happened to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::{Value, json};

use super::{fields::Ownership, kind::Kind, selector::Selector};

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            group: kind.group.clone(),
            plural: kind.plural.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn is_of(&self, kind: &Kind) -> bool {
        self.group == kind.group && self.plural == kind.plural
    }
}

#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) kind: Arc<Kind>,
    pub(super) object: Value,
    pub(super) ownership: Ownership,
}

/// What has happened to one object; or, with neither, a bookmark.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) key: Option<Key>,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Stored>,
    changes: Vec<Change>,
    version: u64,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    made: u64,
    uids: BTreeSet<String>,
}

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }

    /// The objects of a kind in a namespace, or in all if it is empty, sorted.
    pub(super) fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        selector: &'a Selector,
    ) -> impl Iterator<Item = (&'a Key, &'a Value)> {
        let first = Key::new(kind, namespace, "");
        let here = self.objects.range(first..).take_while(move |(key, _)| {
            key.is_of(kind) && (namespace.is_empty() || key.namespace == namespace)
        });
        here.map(|(key, stored)| (key, &stored.object)).filter(|(_, object)| selector.matches(object))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Key, &Stored)> {
        self.objects.iter()
    }

    /// Changes after a version, or `None` if some of them are forgotten.
    pub(super) fn since(&self, version: u64) -> Option<&[Change]> {
        let from = self.changes.partition_point(|change| change.version <= version);
        (version >= self.forgotten).then(|| &self.changes[from..])
    }

    pub(super) fn forget_changes(&mut self) {
        self.changes.clear();
        self.forgotten = self.version;
    }

    /// Has every watch that may get one told the version.
    pub(super) fn bookmark(&mut self) {
        self.version += 1;
        self.changes.push(Change { version: self.version, key: None, before: None, after: None });
    }

    /// A new UID.
    pub(super) fn uid(&mut self) -> String {
        self.made += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.made)
    }

    /// Stores an object under the next version.
    pub(super) fn put(
        &mut self,
        kind: &Arc<Kind>,
        key: Key,
        mut object: Value,
        ownership: Ownership,
    ) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.uids.insert(uid(&object));
        let stored = Stored { kind: Arc::clone(kind), object: object.clone(), ownership };
        let before = self.objects.insert(key.clone(), stored).map(|stored| stored.object);
        let after = Some(object.clone());
        self.changes.push(Change { version: self.version, key: Some(key), before, after });
        object
    }

    /// Deletes an object, what is in it if it is a namespace, and what nobody owns any more.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut stored = self.objects.remove(key)?;
        self.version += 1;
        stored.object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push(Change {
            version: self.version,
            key: Some(key.clone()),
            before: Some(stored.object.clone()),
            after: None,
        });
        if stored.kind.is("Namespace") {
            let inside = self.objects.keys().filter(|other| other.namespace == key.name).cloned();
            for inside in inside.collect::<Vec<_>>() {
                self.remove(&inside);
            }
        }
        let gone = uid(&stored.object);
        self.uids.remove(&gone);
        let owned =
            self.objects.iter().filter(|(_, other)| owners(&other.object).any(|owner| *owner == gone));
        for key in owned.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.collect(&key);
        }
        Some(stored.object)
    }

    /// Deletes an object if it has owners none of which is there.
    pub(super) fn collect(&mut self, key: &Key) {
        let Some(stored) = self.objects.get(key) else { return };
        let has_owners = owners(&stored.object).next().is_some();
        if has_owners && !owners(&stored.object).any(|owner| self.uids.contains(owner)) {
            self.remove(key);
        }
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.filter_map(|owner| owner["uid"].as_str())
}

impl Change {
    /// What a watch is told of it: the type of the event and the object; `None` if it is none of its business.
    pub(super) fn told(
        &self,
        kind: &Kind,
        namespace: &str,
        selector: &Selector,
    ) -> Option<(&'static str, Value)> {
        let key = self.key.as_ref()?;
        if !key.is_of(kind) || !(namespace.is_empty() || key.namespace == namespace) {
            return None;
        }
        let selected =
            |object: &Option<Value>| object.as_ref().is_some_and(|object| selector.matches(object));
        let object = self.after.as_ref().or(self.before.as_ref())?;
        match (selected(&self.before), selected(&self.after)) {
            (false, false) => None,
            (false, true) => Some(("ADDED", object.clone())),
            (true, true) => Some(("MODIFIED", object.clone())),
            (true, false) => {
                // As it was when it was selected last, with the version of what happened.
                let mut last = self.before.clone()?;
                last["metadata"]["resourceVersion"] = json!(self.version.to_string());
                Some(("DELETED", last))
            }
        }
    }
}
