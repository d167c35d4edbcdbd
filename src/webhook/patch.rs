//! A JSON patch that applies.
//!
//! One that does not refuses the object, whatever the webhook's failurePolicy: so nothing is added to a map or list
//! that is not there.

use std::collections::BTreeMap;

use json_patch::jsonptr::{PointerBuf, Token};
use json_patch::{AddOperation, Patch, PatchOperation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// Which list of a pod a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Containers,
    InitContainers,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
        }
    }
}

/// Additions, in their order.
#[derive(Debug, Default)]
pub(super) struct Additions(Vec<PatchOperation>);

impl Additions {
    /// Adds annotations that the object does not have, or not with these values.
    pub(super) fn annotations(&mut self, metadata: &ObjectMeta, wanted: &[(&str, String)]) {
        let Some(present) = &metadata.annotations else {
            let all: BTreeMap<_, _> = wanted.iter().map(|(key, value)| (*key, value)).collect();
            if !all.is_empty() {
                self.add(["metadata", "annotations"], json!(all));
            }
            return;
        };
        for (key, value) in wanted {
            if present.get(*key) != Some(value) {
                self.add(["metadata", "annotations", key], json!(value));
            }
        }
    }

    /// Inserts into a list of the container with this index; into a new one, if it has `none`.
    pub(super) fn insert(&mut self, of: (List, usize), list: &str, has_none: bool, at: usize, value: Value) {
        let (containers, index) = of;
        let path = ["spec", containers.name(), &index.to_string(), list];
        if has_none {
            self.add(path, json!([value]));
        } else {
            let at = at.to_string();
            self.add(path.into_iter().chain([at.as_str()]), value);
        }
    }

    fn add<'t>(&mut self, path: impl IntoIterator<Item = &'t str>, value: Value) {
        let path = PointerBuf::from_tokens(path.into_iter().map(Token::new));
        self.0.push(PatchOperation::Add(AddOperation { path, value }));
    }

    pub(super) fn into_patch(self) -> Patch {
        Patch(self.0)
    }
}
