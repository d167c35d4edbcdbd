//! What is done before an object is stored.

use std::sync::Arc;

use k8s_openapi::jiff;
use serde_json::{Map, Value, json};

use super::{
    check::{Unknown, check, decode},
    failure::Failure,
    fields::{Owner, Ownership, missing_key},
    handle::key,
    kind::{Kind, Target},
    record::Recorded,
    state::State,
    store::Key,
};

/// A write, and who asks for it.
#[derive(Debug)]
pub(super) struct Write {
    target: Target,
    owner: Owner,
    unknown: Unknown,
    is_dry_run: bool,
    pub(super) force: bool,
}

impl Write {
    pub(super) fn of(target: &Target, request: &Recorded) -> Result<Self, Failure> {
        if !request.body.is_object() && !request.body.is_array() {
            return Err(Failure::new(400, "the body of the request is no object"));
        }
        let manager = match request.field_manager() {
            // `kubectl/v1.30 …` is kubectl.
            "" => request.user_agent.split('/').next().unwrap_or_default(),
            manager => manager,
        };
        if manager.len() > 128 {
            return Err(Failure::new(422, "fieldManager: Too long: may not be more than 128 bytes"));
        }
        let unknown = match request.parameter("fieldValidation") {
            "" | "Warn" | "Ignore" => Unknown::Dropped,
            "Strict" => Unknown::Refused,
            other => {
                return Err(Failure::new(422, format!("fieldValidation: Unsupported value: \"{other}\"")));
            }
        };
        if request.is_apply() && request.field_manager().is_empty() {
            let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for \
                           apply patch";
            return Err(Failure::new(422, message));
        }
        Ok(Self {
            owner: Owner {
                manager: manager.to_owned(),
                is_apply: request.is_apply(),
                subresource: target.subresource.clone(),
            },
            target: target.clone(),
            unknown,
            is_dry_run: request.parameter("dryRun") == "All",
            force: request.parameter("force") == "true",
        })
    }

    fn kind(&self) -> &Arc<Kind> {
        &self.target.kind
    }

    fn is_status(&self) -> bool {
        self.target.subresource == "status"
    }
}

impl State {
    pub(super) fn store_new(
        &mut self,
        write: &Write,
        mut object: Value,
    ) -> Result<(Value, Vec<String>), Failure> {
        self.name(write, &mut object)?;
        let mut ownership = Ownership::default();
        let (object, dropped) = self.made(write, object)?;
        ownership.update(&json!({}), &object, write.owner.clone());
        Ok((self.keep(write, object, ownership), warnings(&dropped)))
    }

    /// Checks the identity of an object that is to be made, and gives it the name that it asks for.
    fn name(&self, write: &Write, object: &mut Value) -> Result<(), Failure> {
        let kind = write.kind();
        write.identify(object)?;
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| !version.is_empty()) {
            return Err(Failure::new(400, "resourceVersion should not be set on objects to be created"));
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
            if prefix.is_empty() {
                let error = "metadata.name: Required value: name or generateName is required".to_owned();
                return Err(Failure::invalid(kind, "", &[error]));
            }
            let name = format!("{prefix}{:05}", self.store.version());
            object["metadata"]["name"] = name.into();
        } else if self.store.get(&Key::new(kind, &write.target.namespace, name)).is_some() {
            return Err(Failure::already_exists(kind, name));
        }
        Ok(())
    }

    /// What a new object is given, and whether it may be.
    fn made(&mut self, write: &Write, mut object: Value) -> Result<(Value, Vec<String>), Failure> {
        let kind = write.kind();
        if kind.is_namespaced {
            self.check_namespace(write)?;
        }
        if kind.has_status {
            object.as_object_mut().expect("its identity was checked").remove("status");
        }
        let dropped = decode(kind, &mut object, write.unknown)?;
        default(kind, &mut object);
        check(kind, &object)?;
        let metadata = &mut object["metadata"];
        metadata["uid"] = self.store.uid().into();
        metadata["creationTimestamp"] = now().into();
        if kind.is_custom() {
            metadata["generation"] = 1.into();
        }
        Ok((object, dropped))
    }

    fn check_namespace(&self, write: &Write) -> Result<(), Failure> {
        let name = write.target.namespace.as_str();
        let kind = self.kinds.iter().find(|kind| kind.is("Namespace")).expect("it is built in");
        let namespace = self.store.get(&Key::new(kind, "", name));
        let namespace = namespace.ok_or_else(|| Failure::not_found(kind, name))?;
        if !namespace.object["metadata"]["deletionTimestamp"].is_null() {
            let message = format!(
                "{} \"{}\" is forbidden: unable to create new content in namespace {name} because it is being terminated",
                write.kind().qualified(),
                write.target.name
            );
            let cause = json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }]);
            return Err(Failure::new(403, message).with_details("causes", cause));
        }
        Ok(())
    }

    pub(super) fn store_changed(
        &mut self,
        write: &Write,
        object: Value,
    ) -> Result<(Value, Vec<String>), Failure> {
        let (kind, name) = (write.kind(), write.target.name.as_str());
        let stored = self.store.get(&key(&write.target)).ok_or_else(|| Failure::not_found(kind, name))?;
        let live = stored.object.clone();
        let mut ownership = stored.ownership.clone();
        let (object, dropped) = write.changed(&live, object, write.unknown)?;
        if object == live {
            return Ok((live, warnings(&dropped)));
        }
        ownership.update(&live, &object, write.owner.clone());
        Ok((self.keep(write, object, ownership), warnings(&dropped)))
    }

    pub(super) fn store_applied(&mut self, write: &Write, applied: &Value) -> Result<(u16, Value), Failure> {
        let (kind, name) = (write.kind(), write.target.name.as_str());
        if applied["apiVersion"].as_str().is_none_or(str::is_empty)
            || applied["kind"].as_str().is_none_or(str::is_empty)
        {
            return Err(Failure::new(400, "apiVersion and kind must be set in an apply patch"));
        }
        if !applied["metadata"]["managedFields"].is_null() {
            return Err(Failure::new(400, "metadata.managedFields must be nil"));
        }
        if let Some(key) = missing_key(applied) {
            let message = format!(
                "failed to create typed patch object: associative list with keys has an element that omits key field \
                 \"{key}\""
            );
            return Err(Failure::new(500, message));
        }
        let mut identified = applied.clone();
        write.identify(&mut identified)?;
        decode(kind, &mut identified, Unknown::NotDeclared)?;
        let configuration = write.configuration(applied);
        let stored = self
            .store
            .get(&key(&write.target))
            .map(|stored| (stored.object.clone(), stored.ownership.clone()));
        let is_new = stored.is_none();
        if is_new && !write.target.subresource.is_empty() {
            return Err(Failure::not_found(kind, name));
        }
        if is_new && applied["metadata"]["name"].is_null() {
            return Err(Failure::new(
                400,
                "the name of the object was undeterminable: name must be provided",
            ));
        }
        let wanted_uid = &applied["metadata"]["uid"];
        if is_new && !wanted_uid.is_null() {
            let what = format!(
                "uid mismatch: the provided object specified uid {wanted_uid}, and no existing object was found"
            );
            return Err(Failure::precondition(kind, name, &what));
        }
        let empty =
            json!({ "apiVersion": kind.api_version(), "kind": kind.name, "metadata": { "name": name } });
        let (live, owned) = stored.unwrap_or_else(|| (empty, Ownership::default()));
        let (mut merged, mut ownership) = (live.clone(), owned.clone());
        ownership
            .apply(&mut merged, write.owner.clone(), &configuration, write.force)
            .map_err(|conflicts| conflict(&conflicts))?;
        if is_new {
            write.identify(&mut merged)?;
            let (object, _) = self.made(write, merged)?;
            return Ok((201, self.keep(write, object, ownership)));
        }
        for field in ["uid", "resourceVersion"] {
            let wanted = &applied["metadata"][field];
            if !wanted.is_null() {
                merged["metadata"][field] = wanted.clone();
            }
        }
        let (object, _) = write.changed(&live, merged, Unknown::Dropped)?;
        if object == live && ownership == owned {
            return Ok((200, live));
        }
        Ok((200, self.keep(write, object, ownership)))
    }

    /// Stores an object, unless this is a dry run.
    fn keep(&mut self, write: &Write, object: Value, ownership: Ownership) -> Value {
        if write.is_dry_run {
            return object;
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = Key::new(write.kind(), &write.target.namespace, &name);
        let object = self.put(write.kind(), key.clone(), object, ownership);
        self.store.collect(&key);
        object
    }

    /// Stores an object; a definition defines its kind.
    pub(super) fn put(&mut self, kind: &Arc<Kind>, key: Key, object: Value, ownership: Ownership) -> Value {
        if kind.is("CustomResourceDefinition") {
            for defined in Kind::defined_by(&object) {
                self.kinds.retain(|kind| (&kind.group, &kind.plural) != (&defined.group, &defined.plural));
                self.kinds.push(Arc::new(defined));
            }
        }
        if kind.is("Namespace") {
            self.put_account(&key.name);
        }
        self.store.put(kind, key, object, ownership)
    }

    /// As the controller manager does: no pod is admitted to a namespace without it.
    fn put_account(&mut self, namespace: &str) {
        let kind = self.kinds.iter().find(|kind| kind.is("ServiceAccount")).map(Arc::clone);
        let kind = kind.expect("it is built in");
        let key = Key::new(&kind, namespace, "default");
        if self.store.get(&key).is_none() {
            let metadata = json!({ "name": "default", "namespace": namespace, "uid": self.store.uid() });
            let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata });
            self.store.put(&kind, key, account, Ownership::default());
        }
    }
}

impl Write {
    /// An object must be of the kind, in the namespace and of the name that the path says. What it leaves out is
    /// filled in.
    fn identify(&self, object: &mut Value) -> Result<(), Failure> {
        let (kind, target) = (self.kind(), &self.target);
        if !object.is_object() {
            return Err(Failure::new(400, "the body of the request is no object"));
        }
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        let api_version = kind.api_version();
        for (field, wanted) in [("apiVersion", api_version.as_str()), ("kind", kind.name.as_str())] {
            match object[field].as_str().unwrap_or_default() {
                "" if !kind.is_custom() => object[field] = wanted.into(),
                given if given == wanted => {}
                given => {
                    let message =
                        format!("the {field} in the data ({given}) does not match the expected ({wanted})");
                    return Err(Failure::new(400, message));
                }
            }
        }
        for (field, wanted) in [("namespace", target.namespace.as_str()), ("name", target.name.as_str())] {
            let given = object["metadata"][field].as_str().unwrap_or_default();
            if !given.is_empty() && given != wanted && !wanted.is_empty()
                || (field == "namespace" && given != wanted && !given.is_empty())
            {
                let message = format!(
                    "the {field} of the object ({given}) does not match the {field} on the URL ({wanted})"
                );
                return Err(Failure::new(400, message));
            }
            if !wanted.is_empty() {
                object["metadata"][field] = wanted.into();
            }
        }
        Ok(())
    }

    /// What of an applied object this write is about: all but the status, or only that.
    fn configuration(&self, applied: &Value) -> Value {
        let mut configuration = applied.clone();
        let Some(fields) = configuration.as_object_mut() else { return configuration };
        if self.is_status() {
            fields.retain(|field, _| field == "status");
        } else if self.kind().has_status {
            fields.remove("status");
        }
        configuration
    }

    /// What becomes of an object that is stored.
    fn changed(
        &self,
        live: &Value,
        mut object: Value,
        unknown: Unknown,
    ) -> Result<(Value, Vec<String>), Failure> {
        let (kind, name) = (self.kind(), self.target.name.as_str());
        self.identify(&mut object)?;
        let version = object["metadata"]["resourceVersion"].clone();
        if version.as_str().is_some_and(|version| !version.is_empty())
            && version != live["metadata"]["resourceVersion"]
        {
            return Err(Failure::modified(kind, name));
        }
        let uid = &object["metadata"]["uid"];
        if !uid.is_null() && *uid != live["metadata"]["uid"] {
            let what = format!("UID in precondition: {uid}, UID in object meta: {}", live["metadata"]["uid"]);
            return Err(Failure::precondition(kind, name, &what));
        }
        let mut object = if self.is_status() {
            let mut changed = live.clone();
            set_or_remove(&mut changed, "status", object.get("status"));
            changed
        } else {
            if kind.has_status {
                set_or_remove(&mut object, "status", live.get("status"));
            }
            object
        };
        for field in ["resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp"] {
            set_or_remove(&mut object["metadata"], field, live["metadata"].get(field));
        }
        object["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
        let dropped = decode(kind, &mut object, unknown)?;
        default(kind, &mut object);
        check(kind, &object)?;
        if live["immutable"] == true
            && (object["data"] != live["data"] || object["immutable"] != live["immutable"])
        {
            let error = "data: Forbidden: field is immutable when `immutable` is set".to_owned();
            return Err(Failure::invalid(kind, name, &[error]));
        }
        if kind.is("Secret") && object["type"] != live["type"] {
            return Err(Failure::invalid(
                kind,
                name,
                &["type: Invalid value: field is immutable".to_owned()],
            ));
        }
        if kind.is_custom() && object["spec"] != live["spec"] {
            let generation = live["metadata"]["generation"].as_u64().unwrap_or_default();
            object["metadata"]["generation"] = (generation + 1).into();
        }
        Ok((object, dropped))
    }
}

/// As RFC 7386 has it; the built-in lists are not merged by key.
pub(super) fn merge_patch(mut object: Value, patch: &Value) -> Value {
    json_patch::merge(&mut object, patch);
    object
}

/// What the server itself fills in.
pub(super) fn default(kind: &Kind, object: &mut Value) {
    if kind.is("Namespace") {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = object["metadata"]["name"].clone();
        if object["status"]["phase"].is_null() {
            object["status"] = json!({ "phase": "Active" });
        }
    }
    if kind.is("Pod") && object["status"]["phase"].is_null() {
        object["status"]["phase"] = "Pending".into();
    }
    if kind.is("Secret") && object["type"].is_null() {
        object["type"] = "Opaque".into();
    }
    if kind.is("MutatingWebhookConfiguration") {
        for webhook in object["webhooks"].as_array_mut().into_iter().flatten() {
            fill(webhook, "timeoutSeconds", &json!(10));
            fill(webhook, "failurePolicy", &json!("Fail"));
            fill(webhook, "matchPolicy", &json!("Equivalent"));
            fill(webhook, "reinvocationPolicy", &json!("Never"));
            fill(webhook, "namespaceSelector", &json!({}));
            fill(webhook, "objectSelector", &json!({}));
            for rule in webhook["rules"].as_array_mut().into_iter().flatten() {
                fill(rule, "scope", &json!("*"));
            }
        }
    }
    if kind.is("CustomResourceDefinition") {
        let conditions = ["NamesAccepted", "Established"].map(|condition| {
            json!({ "type": condition, "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": null })
        });
        object["status"] = json!({ "conditions": conditions });
    }
}

fn fill(object: &mut Value, field: &str, value: &Value) {
    if object[field].is_null() {
        object[field] = value.clone();
    }
}

fn conflict(conflicts: &[(String, String)]) -> Failure {
    let count = conflicts.len();
    let plural = if count == 1 { "" } else { "s" };
    let told: Vec<_> =
        conflicts.iter().map(|(path, manager)| format!("conflict with \"{manager}\": {path}")).collect();
    let causes: Vec<_> = conflicts
        .iter()
        .map(|(path, manager)| {
            let message = format!("conflict with \"{manager}\"");
            json!({ "reason": "FieldManagerConflict", "message": message, "field": path })
        })
        .collect();
    let message = format!("Apply failed with {count} conflict{plural}: {}", told.join(", "));
    Failure::new(409, message).with_details("causes", causes.into())
}

fn set_or_remove(object: &mut Value, field: &str, value: Option<&Value>) {
    let Some(map) = object.as_object_mut() else { return };
    match value {
        Some(value) => drop(map.insert(field.to_owned(), value.clone())),
        None => drop::<Option<Value>>(Map::remove(map, field)),
    }
}

fn warnings(dropped: &[String]) -> Vec<String> {
    dropped.iter().map(|field| format!("unknown field \"{field}\"")).collect()
}

/// For `creationTimestamp`.
fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Who writes what a test stores.
pub(super) fn somebody() -> Owner {
    Owner { manager: "somebody".to_owned(), is_apply: false, subresource: String::new() }
}
