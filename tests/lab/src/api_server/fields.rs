//! Who owns which field, and server-side apply. Pure.
//!
//! A field is a leaf: a scalar, an empty map, or a list without a merge key, which is owned as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    /// The item of a list whose merge key has this value.
    Item(String),
}

type Path = Vec<Step>;

/// What one manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    owner: Owner,
    fields: BTreeSet<Path>,
}

/// A manager by one way of writing. The same manager owns apart what it applied, what it updated, and what it did by
/// a subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) manager: String,
    pub(super) is_apply: bool,
    pub(super) subresource: String,
}

/// The owners of the fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ownership(Vec<Entry>);

impl Ownership {
    /// Merges what is applied into the object.
    ///
    /// # Errors
    ///
    /// The fields, and whose they are, that others own with another value.
    pub(super) fn apply(
        &mut self,
        object: &mut Value,
        owner: Owner,
        wanted: &Value,
        force: bool,
    ) -> Result<(), Vec<(String, String)>> {
        let fields = leaves(wanted);
        let conflicts: Vec<_> = self.conflicts(object, &owner, wanted, &fields);
        if !conflicts.is_empty() && !force {
            return Err(conflicts.into_iter().map(|(path, manager)| (shown(&path), manager)).collect());
        }
        for entry in self.0.iter_mut().filter(|entry| entry.owner != owner) {
            for (path, _) in &conflicts {
                entry.fields.remove(path);
            }
        }
        let earlier = self.0.iter().find(|entry| entry.owner == owner).map(|entry| entry.fields.clone());
        self.0.retain(|entry| entry.owner != owner);
        let earlier = earlier.unwrap_or_default();
        let mut left_out: Vec<_> = earlier.difference(&fields).collect();
        // The key of an item last: by it the item is found.
        left_out.sort_by_key(|path| is_merge_key(path));
        for path in left_out {
            let is_below = fields.iter().any(|field| field.starts_with(path));
            if !is_below && !self.0.iter().any(|entry| entry.fields.contains(path)) {
                remove(object, path);
            }
        }
        // In order, since that of new items is kept.
        for path in &in_order(wanted) {
            let new = get(wanted, path).expect("a leaf is there");
            if !is_same(get(object, path), Some(new)) {
                set(object, path, new);
            }
        }
        self.0.push(Entry { owner, fields });
        self.forget_absent(object);
        Ok(())
    }

    fn conflicts(
        &self,
        object: &Value,
        owner: &Owner,
        wanted: &Value,
        fields: &BTreeSet<Path>,
    ) -> Vec<(Path, String)> {
        let others = self.0.iter().filter(|entry| entry.owner != *owner);
        let shared = others.flat_map(|entry| {
            entry.fields.intersection(fields).map(|path| (path.clone(), entry.owner.manager.clone()))
        });
        shared.filter(|(path, _)| !is_same(get(object, path), get(wanted, path))).collect()
    }

    /// Whoever changes a field otherwise owns it from then on, and nobody else does.
    pub(super) fn update(&mut self, before: &Value, after: &Value, owner: Owner) {
        let changed: BTreeSet<_> =
            leaves(after).into_iter().filter(|path| get(before, path) != get(after, path)).collect();
        for entry in &mut self.0 {
            entry.fields.retain(|path| !changed.contains(path));
        }
        match self.0.iter_mut().find(|entry| entry.owner == owner) {
            Some(entry) => entry.fields.extend(changed),
            None => self.0.push(Entry { owner, fields: changed }),
        }
        self.forget_absent(after);
    }

    fn forget_absent(&mut self, object: &Value) {
        for entry in &mut self.0 {
            entry.fields.retain(|path| get(object, path).is_some());
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }
}

/// An empty map says that there is one, and not what is in it.
fn is_same(live: Option<&Value>, wanted: Option<&Value>) -> bool {
    let is_any_map =
        live.is_some_and(Value::is_object) && wanted.is_some_and(|value| *value == Value::Object(Map::new()));
    is_any_map || live == wanted
}

/// What nobody owns, because it names the object or is the server's.
const NOT_OWNED: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "generateName",
];

fn leaves(object: &Value) -> BTreeSet<Path> {
    in_order(object).into_iter().collect()
}

fn in_order(object: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect(object, &mut Vec::new(), &mut found);
    found.retain(|path| match path.as_slice() {
        [Step::Key(top)] => top != "apiVersion" && top != "kind",
        [Step::Key(top), Step::Key(key), ..] => top != "metadata" || !NOT_OWNED.contains(&key.as_str()),
        _ => true,
    });
    found
}

fn collect(value: &Value, path: &mut Path, found: &mut Vec<Path>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                path.push(Step::Key(key.clone()));
                collect(value, path, found);
                path.pop();
            }
        }
        Value::Array(items) if merge_key(path).is_some() && !items.is_empty() => {
            let key = merge_key(path).expect("it was just found");
            for item in items {
                path.push(Step::Item(item[key].as_str().unwrap_or_default().to_owned()));
                collect(item, path, found);
                path.pop();
            }
        }
        Value::Object(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_) => {
            if !path.is_empty() && !value.is_null() {
                found.push(path.clone());
            }
        }
    }
}

/// The key that an item of such a list lacks, which cannot be merged then.
pub(super) fn missing_key(object: &Value) -> Option<&'static str> {
    let lists = [("/webhooks", "name"), ("/metadata/ownerReferences", "uid"), ("/status/conditions", "type")];
    let lacks = |list: &Value, key: &str| {
        list.as_array().is_some_and(|items| items.iter().any(|item| item.get(key).is_none()))
    };
    let found =
        lists.into_iter().find(|(list, key)| object.pointer(list).is_some_and(|list| lacks(list, key)));
    found.map(|(_, key)| key)
}

/// What tells the items of a list apart; `None` if the list is one value.
fn merge_key(path: &[Step]) -> Option<&'static str> {
    match path {
        [Step::Key(list)] if list == "webhooks" => Some("name"),
        [Step::Key(metadata), Step::Key(list)] if metadata == "metadata" && list == "ownerReferences" => {
            Some("uid")
        }
        [Step::Key(status), Step::Key(list)] if status == "status" && list == "conditions" => Some("type"),
        _ => None,
    }
}

fn is_merge_key(path: &[Step]) -> bool {
    match path {
        [list @ .., Step::Item(_), Step::Key(key)] => merge_key(list) == Some(key),
        _ => false,
    }
}

fn get<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().enumerate().try_fold(object, |value, (depth, step)| match step {
        Step::Key(key) => value.get(key),
        Step::Item(name) => {
            let key = merge_key(&path[..depth])?;
            value.as_array()?.iter().find(|item| item[key] == name.as_str())
        }
    })
}

fn set(object: &mut Value, path: &[Step], new: &Value) {
    let mut at = object;
    for (depth, step) in path.iter().enumerate() {
        at = match step {
            Step::Key(key) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut().expect("it was just made one").entry(key).or_insert(Value::Null)
            }
            Step::Item(name) => {
                let key = merge_key(&path[..depth]).expect("only such lists have items");
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                let items = at.as_array_mut().expect("it was just made one");
                let position =
                    items.iter().position(|item| item[key] == name.as_str()).unwrap_or_else(|| {
                        items.push(json!({ key: name }));
                        items.len() - 1
                    });
                &mut items[position]
            }
        };
    }
    at.clone_from(new);
}

/// Removes a field, and what is empty then around it.
fn remove(object: &mut Value, path: &[Step]) {
    remove_at(object, path, 0);
}

fn remove_at(value: &mut Value, path: &[Step], depth: usize) {
    let is_last = depth + 1 == path.len();
    match &path[depth] {
        Step::Key(key) => {
            let Some(map) = value.as_object_mut() else { return };
            if let Some(inner) = map.get_mut(key).filter(|_| !is_last) {
                remove_at(inner, path, depth + 1);
            }
            if is_last || map.get(key).is_some_and(is_empty) {
                map.remove(key);
            }
        }
        Step::Item(name) => {
            let Some(key) = merge_key(&path[..depth]) else { return };
            let Some(items) = value.as_array_mut() else { return };
            if let Some(item) = items.iter_mut().find(|item| item[key] == name.as_str()).filter(|_| !is_last)
            {
                remove_at(item, path, depth + 1);
            }
            items.retain(|item| !is_empty(item));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// As the real server names a field in a conflict: `.data.DIND_MTU`, `.webhooks[name="x"].clientConfig.caBundle`.
fn shown(path: &[Step]) -> String {
    let step = |(depth, step): (usize, &Step)| match step {
        Step::Key(key) => format!(".{key}"),
        Step::Item(name) => format!("[{}=\"{name}\"]", merge_key(&path[..depth]).unwrap_or_default()),
    };
    path.iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests;
