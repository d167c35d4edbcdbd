//! What is done with a request: reads, and which writes there are.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    access::{Account, Admission, Permission},
    failure::Failure,
    kind::{Form, Kind, Target, target},
    record::Recorded,
    selector::Selector,
    state::State,
    store::Key,
    write::{Write, merge_patch},
};

/// What is answered.
#[derive(Debug)]
pub(super) enum Reply {
    Object { code: u16, object: Value, warnings: Vec<String> },
    Watch(Watch),
}

/// What a watch asks for.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub(super) kind: Arc<Kind>,
    pub(super) namespace: String,
    pub(super) selector: Selector,
    /// Changes after this version are told; `None`: what is there is told first.
    pub(super) from: Option<u64>,
    pub(super) has_bookmarks: bool,
    pub(super) ends_initial_events: bool,
    pub(super) timeout_seconds: u64,
}

impl Reply {
    fn ok(object: Value) -> Self {
        Self::Object { code: 200, object, warnings: Vec::new() }
    }
}

impl State {
    /// Handles a request; also fills in what it needed to be allowed.
    pub(super) fn handle(&mut self, request: &mut Recorded) -> Result<Reply, Failure> {
        let account = self.account(&request.authorization)?;
        if request.method == "GET" && request.path == "/version" {
            return Ok(Reply::ok(json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.2" })));
        }
        let target = target(&self.kinds, &request.path)
            .ok_or_else(|| Failure::no_such_path(self.serves(&request.path)))?;
        let selector = Selector::parse(
            &target.kind,
            request.parameter("labelSelector"),
            request.parameter("fieldSelector"),
        )?;
        let is_one = !target.name.is_empty();
        let verb = match (request.method.as_str(), is_one) {
            ("GET", true) => "get",
            ("GET", false) if request.is_watch() => "watch",
            ("GET", false) => "list",
            ("POST", false) => "create",
            ("POST", true) if ["binding", "token"].contains(&target.subresource.as_str()) => "create",
            ("PUT", true) => "update",
            ("PATCH", true) => "patch",
            ("DELETE", true) => "delete",
            _ => {
                return Err(Failure::new(
                    405,
                    "the server does not allow this method on the requested resource",
                ));
            }
        };
        let name = if is_one { Some(target.name.as_str()) } else { selector.name() };
        let permission = Permission::new(verb, &target, name);
        request.permissions.push(permission.clone());
        if account.as_ref().is_some_and(|account| !account.may(&permission)) {
            return Err(permission.refused(&account.unwrap_or_default().user));
        }
        if request.is_write() {
            self.admit(account.as_ref(), &permission)?;
        }
        match verb {
            "get" => self.get(&target, request).map(Reply::ok),
            "list" => self.list(&target, &selector, request).map(Reply::ok),
            "watch" => self.watch(&target, selector, request).map(Reply::Watch),
            "create" => match target.subresource.as_str() {
                "binding" => self.bind(&target, request),
                "token" => self.token(&target, request),
                _ => self.create(&target, request),
            },
            "update" => self.update(&target, request),
            "patch" => self.patch(&target, request, account.as_ref()),
            _ => self.delete(&target, request),
        }
    }

    /// Whether a path is of a group and version that there are.
    fn serves(&self, path: &str) -> bool {
        self.kinds.iter().filter(|kind| !kind.is_custom()).any(|kind| {
            let root = if kind.group.is_empty() { "/api" } else { "/apis" };
            path.starts_with(&format!("{root}/{}/", kind.api_version()))
        })
    }

    fn admit(&self, account: Option<&Account>, permission: &Permission) -> Result<(), Failure> {
        let Some(policy) = &self.policy.0 else { return Ok(()) };
        let admission = Admission {
            user: account.map(|account| account.user.clone()).unwrap_or_default(),
            node: account.and_then(|account| account.node.clone()),
            permission: permission.clone(),
        };
        let name = permission.name.as_deref().unwrap_or_default();
        let what = if permission.group.is_empty() {
            permission.resource.clone()
        } else {
            format!("{}.{}", permission.resource, permission.group)
        };
        policy(&admission).map_err(|refusal| {
            Failure::new(
                403,
                format!(
                    "{what} \"{name}\" is forbidden: a ValidatingAdmissionPolicy denied request: {refusal}"
                ),
            )
        })
    }

    /// Who asks; `None` may do everything, which is whoever sends no token.
    fn account(&self, authorization: &str) -> Result<Option<Account>, Failure> {
        let Some(token) = authorization.strip_prefix("Bearer ") else { return Ok(None) };
        let account = self.accounts.get(token).cloned().ok_or_else(|| Failure::new(401, "Unauthorized"))?;
        let roles = || {
            let of_rbac = self.store.all().filter(|(key, _)| key.group == "rbac.authorization.k8s.io");
            of_rbac.map(|(_, stored)| stored.object.clone()).collect()
        };
        account.with_roles(roles).map(Some).map_err(|error| Failure::new(500, format!("{error:#}")))
    }

    fn get(&self, target: &Target, request: &Recorded) -> Result<Value, Failure> {
        let stored = self.store.get(&key(target));
        let object = &stored.ok_or_else(|| Failure::not_found(&target.kind, &target.name))?.object;
        Ok(if wants_metadata(request) { metadata_of(object) } else { object.clone() })
    }

    fn list(&self, target: &Target, selector: &Selector, request: &Recorded) -> Result<Value, Failure> {
        let kind = &target.kind;
        let most = number(request, "limit")?.filter(|limit| *limit > 0).unwrap_or(u64::MAX);
        let from = match request.parameter("continue") {
            "" => None,
            token => Some(self.continued(token)?),
        };
        let version = from.as_ref().map_or(self.store.version(), |(version, _)| *version);
        let all = self.store.list(kind, &target.namespace, selector);
        let mut rest = all.filter(|(key, _)| {
            from.as_ref()
                .is_none_or(|(_, after)| (key.namespace.as_str(), key.name.as_str()) > (&after.0, &after.1))
        });
        let metadata = wants_metadata(request);
        let mut items = Vec::new();
        let mut last = None;
        for (key, object) in rest.by_ref().take(usize::try_from(most).unwrap_or(usize::MAX)) {
            let mut one = if metadata { metadata_of(object) } else { object.clone() };
            if let Some(fields) = one.as_object_mut().filter(|_| !kind.is_custom() && !metadata) {
                fields.retain(|field, _| field != "apiVersion" && field != "kind");
            }
            items.push(one);
            last = Some(key.clone());
        }
        let remaining = rest.count();
        let mut page = json!({ "resourceVersion": version.to_string() });
        if let Some(last) = last.filter(|_| remaining > 0) {
            page["continue"] = format!("{version}:{}/{}", last.namespace, last.name).into();
            if selector.is_all() {
                page["remainingItemCount"] = remaining.into();
            }
        }
        let (api_version, name) = if metadata {
            ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
        } else {
            (kind.api_version(), format!("{}List", kind.name))
        };
        Ok(json!({ "kind": name, "apiVersion": api_version, "metadata": page, "items": items }))
    }

    /// Where a list goes on: its version, and the namespace and name of the last object that was told.
    fn continued(&self, token: &str) -> Result<(u64, (String, String)), Failure> {
        let parsed = token.split_once(':').and_then(|(version, last)| {
            let (namespace, name) = last.split_once('/')?;
            Some((version.parse::<u64>().ok()?, (namespace.to_owned(), name.to_owned())))
        });
        let parsed = parsed.ok_or_else(|| Failure::new(400, "continue key is not valid"))?;
        if self.store.since(parsed.0).is_none() {
            let message = "The provided continue parameter is too old to display a consistent list result.";
            return Err(Failure::new(410, message));
        }
        Ok(parsed)
    }

    fn watch(&self, target: &Target, selector: Selector, request: &Recorded) -> Result<Watch, Failure> {
        let from = number(request, "resourceVersion")?.filter(|version| *version > 0);
        let has_initial_events = request.parameter("sendInitialEvents") == "true";
        let has_bookmarks = request.parameter("allowWatchBookmarks") == "true";
        let matching = request.parameter("resourceVersionMatch");
        if has_initial_events && matching != "NotOlderThan" {
            let message = "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
                           NotOlderThan";
            return Err(Failure::new(422, message));
        }
        if !has_initial_events && !matching.is_empty() {
            let message = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless \
                           sendInitialEvents is provided";
            return Err(Failure::new(422, message));
        }
        if from.is_some_and(|version| version > self.store.version()) {
            let message = format!("Too large resource version, current: {}", self.store.version());
            return Err(Failure::new(504, message).retry_after(Some(1)));
        }
        Ok(Watch {
            kind: Arc::clone(&target.kind),
            namespace: target.namespace.clone(),
            selector,
            from: from.filter(|_| !has_initial_events),
            has_bookmarks,
            ends_initial_events: has_initial_events && has_bookmarks,
            timeout_seconds: number(request, "timeoutSeconds")?.unwrap_or(1800),
        })
    }

    fn create(&mut self, target: &Target, request: &Recorded) -> Result<Reply, Failure> {
        if !request.content_type.starts_with("application/json")
            && !request.content_type.starts_with("application/yaml")
        {
            return Err(Failure::new(415, "the body of the request was in an unknown format"));
        }
        let write = Write::of(target, request)?;
        let (object, warnings) = self.store_new(&write, request.body.clone())?;
        Ok(Reply::Object { code: 201, object, warnings })
    }

    fn update(&mut self, target: &Target, request: &Recorded) -> Result<Reply, Failure> {
        let write = Write::of(target, request)?;
        if request.body["metadata"]["name"] != target.name.as_str() {
            let message = "the name of the object does not match the name on the URL";
            return Err(Failure::new(400, message));
        }
        let is_unconditional = request.body["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty);
        if is_unconditional && (target.kind.is_custom() || target.kind.is("Lease")) {
            let error =
                "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update".to_owned();
            return Err(Failure::invalid(&target.kind, &target.name, &[error]));
        }
        let (object, warnings) = self.store_changed(&write, request.body.clone())?;
        Ok(Reply::Object { code: 200, object, warnings })
    }

    fn patch(
        &mut self,
        target: &Target,
        request: &mut Recorded,
        account: Option<&Account>,
    ) -> Result<Reply, Failure> {
        let write = Write::of(target, request)?;
        let live = self.store.get(&key(target)).map(|stored| stored.object.clone());
        let content_type = request.content_type.split(';').next().unwrap_or_default().to_owned();
        if content_type != "application/apply-patch+yaml" && write.force {
            return Err(Failure::new(
                422,
                "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be \
                                          specified for non-apply patch",
            ));
        }
        let patched = match content_type.as_str() {
            "application/apply-patch+yaml" => {
                if live.is_none() && target.subresource.is_empty() {
                    let permission = Permission::new("create", target, Some(&target.name));
                    request.permissions.push(permission.clone());
                    if let Some(account) = account.filter(|account| !account.may(&permission)) {
                        return Err(permission.refused(&account.user));
                    }
                }
                let (code, object) = self.store_applied(&write, &request.body)?;
                return Ok(Reply::Object { code, object, warnings: Vec::new() });
            }
            "application/merge-patch+json" => live.map(|live| Ok(merge_patch(live, &request.body))),
            "application/strategic-merge-patch+json" if !matches!(target.kind.form, Form::Custom(_)) => {
                live.map(|live| Ok(merge_patch(live, &request.body)))
            }
            "application/json-patch+json" => live.map(|mut live| {
                let patch: json_patch::Patch = serde_json::from_value(request.body.clone())
                    .map_err(|error| Failure::new(400, format!("json patch: {error}")))?;
                let patched = json_patch::patch(&mut live, &patch);
                patched.map_err(|error| {
                    Failure::new(422, format!("the server rejected our request: {error}"))
                })?;
                Ok(live)
            }),
            _ => {
                let message = "the body of the request was in an unknown format - accepted media types include: \
                               application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(Failure::new(415, message));
            }
        };
        let patched = patched.ok_or_else(|| Failure::not_found(&target.kind, &target.name))??;
        let (object, warnings) = self.store_changed(&write, patched)?;
        Ok(Reply::Object { code: 200, object, warnings })
    }

    fn delete(&mut self, target: &Target, request: &Recorded) -> Result<Reply, Failure> {
        let (kind, name) = (&target.kind, target.name.as_str());
        let key = key(target);
        let metadata =
            &self.store.get(&key).ok_or_else(|| Failure::not_found(kind, name))?.object["metadata"];
        for field in ["uid", "resourceVersion"] {
            let wanted = &request.body["preconditions"][field];
            if !wanted.is_null() && *wanted != metadata[field] {
                let what = format!("{field} in precondition: {wanted}, in object meta: {}", metadata[field]);
                return Err(Failure::precondition(kind, name, &what));
            }
        }
        let details =
            json!({ "name": name, "group": kind.group, "kind": kind.plural, "uid": metadata["uid"] });
        if request.parameter("dryRun") != "All" && request.body["dryRun"].is_null() {
            self.store.remove(&key);
        }
        Ok(Reply::ok(
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details }),
        ))
    }

    /// Puts a pod on a node.
    fn bind(&mut self, target: &Target, request: &Recorded) -> Result<Reply, Failure> {
        let stored = self.store.get(&key(target));
        let stored = stored.ok_or_else(|| Failure::not_found(&target.kind, &target.name))?;
        let mut pod = stored.object.clone();
        let ownership = stored.ownership.clone();
        if let Some(node) = pod["spec"]["nodeName"].as_str() {
            let message = format!("pod {} is already assigned to node \"{node}\"", target.name);
            return Err(Failure::new(409, message));
        }
        let named = &request.body["metadata"]["name"];
        if *named != target.name.as_str() {
            return Err(Failure::new(400, "name in URL does not match name in Binding object"));
        }
        let bound_to = request.body["target"]["kind"].as_str().unwrap_or_default();
        if !["", "Node"].contains(&bound_to) {
            let message =
                format!("target.kind: Unsupported value: \"{bound_to}\": supported values: \"Node\"");
            return Err(Failure::new(500, message));
        }
        let node = request.body["target"]["name"].as_str().filter(|node| !node.is_empty());
        let error = "target.name: Required value".to_owned();
        pod["spec"]["nodeName"] =
            node.ok_or_else(|| Failure::invalid(&target.kind, &target.name, &[error]))?.into();
        for (key, value) in request.body["metadata"]["annotations"].as_object().into_iter().flatten() {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        self.store.put(&target.kind, key(target), pod, ownership);
        let object =
            json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
        Ok(Reply::Object { code: 201, object, warnings: Vec::new() })
    }

    /// Makes a token of a service account, which may do what the roles that are stored then allow.
    fn token(&mut self, target: &Target, request: &Recorded) -> Result<Reply, Failure> {
        if self.store.get(&key(target)).is_none() {
            return Err(Failure::not_found(&target.kind, &target.name));
        }
        let mut account = Account::stored(&target.namespace, &target.name);
        let claims = self.claims(target, &request.body["spec"]["boundObjectRef"])?;
        account.node = claims["node"]["name"].as_str().map(str::to_owned);
        let payload =
            json!({ "sub": account.user, "jti": self.accounts.len(), "kubernetes.io": claims }).to_string();
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload));
        self.accounts.insert(token.clone(), account);
        let object = json!({
            "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
            "metadata": { "name": target.name, "namespace": target.namespace }, "spec": request.body["spec"],
            "status": { "token": token, "expirationTimestamp": "2100-01-01T00:00:00Z" },
        });
        Ok(Reply::Object { code: 201, object, warnings: Vec::new() })
    }
}

impl State {
    /// What a token says of whom it is for, and of the pod that it is bound to.
    fn claims(&self, target: &Target, bound: &Value) -> Result<Value, Failure> {
        let mut claims = json!({ "namespace": target.namespace, "serviceaccount": { "name": target.name } });
        let Some(pod) = bound["name"].as_str().filter(|_| bound["kind"] == "Pod") else { return Ok(claims) };
        let kind = |name: &str| self.kinds.iter().find(|kind| kind.is(name)).expect("it is built in");
        let of = |kind_name: &str, namespace: &str, name: &str| {
            let stored = self.store.get(&Key::new(kind(kind_name), namespace, name));
            stored.map(|stored| stored.object.clone())
        };
        let pod = of("Pod", &target.namespace, pod).ok_or_else(|| Failure::not_found(kind("Pod"), pod))?;
        if pod["spec"]["serviceAccountName"] != target.name.as_str() {
            return Err(Failure::new(
                400,
                "cannot bind token for serviceaccount to pod running with different one",
            ));
        }
        claims["pod"] = json!({ "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] });
        if let Some(name) = pod["spec"]["nodeName"].as_str() {
            let uid = of("Node", "", name).map(|node| node["metadata"]["uid"].clone());
            claims["node"] = json!({ "name": name, "uid": uid });
        }
        Ok(claims)
    }
}

pub(super) fn key(target: &Target) -> Key {
    Key::new(&target.kind, &target.namespace, &target.name)
}

pub(super) fn wants_metadata(request: &Recorded) -> bool {
    request.accept.contains("as=PartialObjectMetadata")
}

pub(super) fn metadata_of(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

fn number(request: &Recorded, parameter: &str) -> Result<Option<u64>, Failure> {
    let text = request.parameter(parameter);
    let parsed = (!text.is_empty()).then(|| text.parse().map_err(|_| text)).transpose();
    parsed.map_err(|text| Failure::new(400, format!("{parameter}: Invalid value: \"{text}\"")))
}
