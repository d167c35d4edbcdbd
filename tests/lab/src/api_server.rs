//! An API server that knows what a real one knows of the objects of `mtu-agent`, and refuses what a real one refuses.
//!
//! It keeps objects, versions, owners and the ownership of fields; it serves lists in pages and watches; it checks
//! permissions; it records each request, and fails on purpose. Mutating webhooks are called for pods and their bindings; a function stands
//! for the policies. It schedules nothing. A custom kind
//! is there once its `CustomResourceDefinition` is stored, and is checked by the schema in it.
//!
//! Two ways lead to it: [`ApiServer::client`] and [`ApiServer::kubeconfig`] over real sockets, and
//! [`ApiServer::client_in_process`] without any, for tests in tokio's paused time, where a socket that is waited for
//! counts as idle. It lives on a thread of its own, and ends when it is dropped.

mod access;
mod admission;
mod check;
mod failure;
mod fault;
mod fields;
mod handle;
mod kind;
mod record;
mod schema;
mod selector;
mod serve;
mod state;
mod store;
mod stream;
mod write;

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use kube::{
    Client, Config,
    client::{Body, retry::RetryPolicy},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt as _, retry::RetryLayer, service_fn};

use self::{
    access::Account,
    check::{Unknown, check, decode},
    kind::Kind,
    serve::{Sockets, answer},
    state::{Policy, Shared, State},
    store::Key,
};
pub use self::{
    access::{Admission, Permission},
    fault::Fault,
    record::Recorded,
    state::{Cut, Watching},
};

/// Whoever waits so long on a busy machine has waited in vain.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that runs.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    sockets: Sockets,
    address: SocketAddr,
    directory: TempDir,
}

impl ApiServer {
    /// Starts one with the namespaces that every cluster has, and those of `mtu-agent`. It listens in the network
    /// namespace of the thread that calls.
    pub async fn start() -> Result<Self> {
        let shared = Arc::new(Shared::new());
        let sockets = Sockets::start(Arc::clone(&shared)).context("start the API server's thread")?;
        let address = sockets.listen().await.context("listen on a port of the loopback")?;
        let directory = TempDir::new().context("make a directory for kubeconfig files")?;
        let server = Self { shared, sockets, address, directory };
        for namespace in ["default", "kube-system", "mtu-agent", "mtu-agent-controller"] {
            server.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client over a socket, which may do everything.
    pub fn client(&self) -> Client {
        Client::try_from(self.config(None)).expect("the configuration is a plain one")
    }

    /// A client over a socket, with a token of [`Self::authorize`].
    pub fn client_of(&self, token: &str) -> Client {
        Client::try_from(self.config(Some(token))).expect("the configuration is a plain one")
    }

    fn config(&self, token: Option<&str>) -> Config {
        let mut config = Config::new(self.url().parse().expect("it is a URL"));
        config.auth_info.token = token.map(Into::into);
        config
    }

    /// A client without sockets, with the retries that kube's own has: for paused time. With a token of
    /// [`Self::authorize`], or none to be allowed everything.
    pub fn client_in_process(&self, token: Option<&str>) -> Client {
        let service = ServiceBuilder::new().layer(RetryLayer::new(RetryPolicy::default()));
        Client::new(service.service(self.in_process(token)).map_err(BoxError::from), "default")
    }

    /// As [`Self::client_in_process`], for somebody who has switched kube's own retries off.
    pub fn client_in_process_without_retries(&self, token: Option<&str>) -> Client {
        Client::new(self.in_process(token), "default")
    }

    fn in_process(
        &self,
        token: Option<&str>,
    ) -> impl Service<
        Request<Body>,
        Response = Response<serve::Body>,
        Error = BoxError,
        Future: Send + 'static,
    > + Clone
    + Send
    + use<> {
        let shared = Arc::clone(&self.shared);
        let authorization =
            token.map(|token| HeaderValue::try_from(format!("Bearer {token}")).expect("it is a token"));
        service_fn(move |request: Request<Body>| {
            let (shared, authorization) = (Arc::clone(&shared), authorization.clone());
            async move {
                let (mut parts, body) = request.into_parts();
                if let Some(authorization) = authorization {
                    parts.headers.insert(header::AUTHORIZATION, authorization);
                }
                let body = body.collect().await.map_err(BoxError::from)?.to_bytes();
                answer(shared, Request::from_parts(parts, body)).await.map_err(BoxError::from)
            }
        })
    }

    /// A kubeconfig file, for a process; with a token of [`Self::authorize`], or none to be allowed everything.
    pub fn kubeconfig(&self, token: Option<&str>) -> Result<PathBuf> {
        let user = token.map_or_else(|| json!({}), |token| json!({ "token": token }));
        let content = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "mock",
            "clusters": [{ "name": "mock", "cluster": { "server": self.url() } }],
            "users": [{ "name": "mock", "user": user }],
            "contexts": [{ "name": "mock", "context": { "cluster": "mock", "user": "mock" } }],
        });
        let path = self.directory.path().join(format!("kubeconfig-{}", token.unwrap_or("everything")));
        fs::write(&path, content.to_string()).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Where the files are that belong to this server.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Has a token stand for a service account, which may do what roles in the manifests (YAML documents) allow that
    /// bindings in them give to it.
    pub fn authorize(&self, token: &str, namespace: &str, account: &str, manifests: &str) -> Result<()> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(manifests).context("read the manifests as YAML")?;
        let account = Account::bound(namespace, account, &documents)?;
        self.shared.change(|state| state.accounts.insert(token.to_owned(), account));
        Ok(())
    }

    /// Has a function stand for the admission policies: it is asked before each write, and refuses with a message.
    pub fn admit(&self, policy: impl Fn(&Admission) -> Result<(), String> + Send + 'static) {
        self.shared.change(|state| state.policy = Policy(Some(Box::new(policy))));
    }

    /// Stores an object as it is, the status too, as if somebody else had written it; returns what is stored.
    ///
    /// # Panics
    ///
    /// If the real server would refuse it.
    pub fn put(&self, mut object: Value) -> Value {
        self.shared.change(|state| {
            let text = |pointer: &str| {
                object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
            };
            let kind = kind(state, &text("/kind"));
            let (name, namespace) = (text("/metadata/name"), text("/metadata/namespace"));
            assert_eq!(
                kind.is_namespaced,
                !namespace.is_empty(),
                "whether {} {name} has a namespace",
                kind.name
            );
            decode(&kind, &mut object, Unknown::Refused).expect("a test stores what is of its kind");
            write::default(&kind, &mut object);
            check(&kind, &object).expect("a test stores what is valid");
            let key = Key::new(&kind, &namespace, &name);
            let stored = state.store.get(&key);
            let ownership = stored.map(|stored| stored.ownership.clone()).unwrap_or_default();
            let uid = stored.map(|stored| stored.object["metadata"]["uid"].clone());
            if object["metadata"]["uid"].is_null() {
                object["metadata"]["uid"] = uid.unwrap_or_else(|| state.store.uid().into());
            }
            let mut after = ownership;
            after.update(&Value::Null, &object, write::somebody());
            state.put(&kind, key, object, after)
        })
    }

    /// Deletes an object, and what it owns; whether it was there.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> bool {
        self.shared.change(|state| {
            let key = Key::new(&self::kind(state, kind), namespace, name);
            state.store.remove(&key).is_some()
        })
    }

    /// An object; the namespace is empty for kinds that have none.
    pub fn object(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let state = self.shared.look();
        let key = Key::new(&self::kind(&state, kind), namespace, name);
        state.store.get(&key).map(|stored| stored.object.clone())
    }

    /// All objects of a kind, sorted by namespace and name.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let state = self.shared.look();
        let kind = self::kind(&state, kind);
        state
            .store
            .list(&kind, "", &selector::Selector::default())
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// All requests so far, in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.look().requests.clone()
    }

    /// All requests so far that are no reads, in order.
    pub fn writes(&self) -> Vec<Recorded> {
        self.shared.look().requests.iter().filter(|request| request.is_write()).cloned().collect()
    }

    /// What requests of a token have needed to be allowed; of all requests, if none is given.
    pub fn used_permissions(&self, token: Option<&str>) -> BTreeSet<Permission> {
        let wanted = token.map(|token| format!("Bearer {token}"));
        let state = self.shared.look();
        let of_token = state
            .requests
            .iter()
            .filter(|request| wanted.as_ref().is_none_or(|wanted| *wanted == request.authorization));
        of_token.flat_map(|request| request.permissions.clone()).collect()
    }

    /// The first request, of those that came and those to come, that is as asked.
    pub async fn wait_for(&self, what: &str, is_it: impl Fn(&Recorded) -> bool) -> Recorded {
        self.wait_until(what, |requests| requests.iter().find(|request| is_it(request)).cloned()).await
    }

    /// Waits until the requests so far are as asked.
    pub async fn wait_until<T>(&self, what: &str, answer: impl Fn(&[Recorded]) -> Option<T>) -> T {
        self.patient(what, self.shared.until(|state| answer(&state.requests))).await
    }

    /// Waits until an object is as asked, and returns it; the namespace is empty for kinds that have none.
    pub async fn wait_for_object(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Value {
        let found = |state: &State| {
            let key = Key::new(&self::kind(state, kind), namespace, name);
            state.store.get(&key).map(|stored| stored.object.clone()).filter(|object| is_it(object))
        };
        self.patient(&format!("{kind} {namespace}/{name} as it is asked for"), self.shared.until(found)).await
    }

    /// Waits until an object is not there.
    pub async fn wait_for_absence(&self, kind: &str, namespace: &str, name: &str) {
        let is_absent = |state: &State| {
            let key = Key::new(&self::kind(state, kind), namespace, name);
            state.store.get(&key).is_none().then_some(())
        };
        self.patient(&format!("no {kind} {namespace}/{name}"), self.shared.until(is_absent)).await;
    }

    /// Watches that are established.
    pub fn watches(&self) -> Vec<Watching> {
        self.shared.look().watches.values().cloned().collect()
    }

    /// Waits until the established watches are as asked.
    pub async fn wait_for_watches<T>(&self, what: &str, answer: impl Fn(&[Watching]) -> Option<T>) -> T {
        let answer = |state: &State| answer(&state.watches.values().cloned().collect::<Vec<_>>());
        self.patient(what, self.shared.until(answer)).await
    }

    /// Waits until somebody watches this path.
    pub async fn wait_for_watch(&self, path: &str) -> Watching {
        let what = format!("a watch of {path}");
        self.wait_for_watches(&what, |watches| watches.iter().find(|watch| watch.path == path).cloned()).await
    }

    /// Has the next requests that match fail. Faults that were asked for earlier come first.
    pub fn fail(&self, times: usize, fault: Fault, matches: impl Fn(&Recorded) -> bool + Send + 'static) {
        self.shared.change(|state| state.faults.add(times, Box::new(matches), fault));
    }

    /// Waits until every fault that was asked for has happened.
    pub async fn wait_for_faults(&self) {
        let is_exhausted = |state: &State| state.faults.is_exhausted().then_some(());
        self.patient("all faults to happen", self.shared.until(is_exhausted)).await;
    }

    /// Forgets the faults that are still to come.
    pub fn heal(&self) {
        self.shared.change(|state| state.faults.clear());
    }

    /// Handles the requests that hang.
    pub fn release(&self) {
        self.shared.change(|state| state.releases += 1);
    }

    /// Ends all watches.
    pub fn drop_watches(&self, cut: Cut) {
        self.shared.change(|state| {
            state.cuts += 1;
            state.cut = Some(cut);
            if cut == Cut::Gone {
                state.store.forget_changes();
            }
        });
    }

    /// Tells the version to all watches that may get bookmarks.
    pub fn bookmark(&self) {
        self.shared.change(|state| state.store.bookmark());
    }

    /// Closes the port and cuts all connections.
    pub async fn away(&self) -> Result<()> {
        self.shared.change(|state| state.is_away = true);
        self.sockets.close().await.context("close the port")?;
        Ok(())
    }

    /// Listens again, on the same port. A real one that was started anew knows no change from before, so a watch from an
    /// earlier version is told 410.
    pub async fn back(&self) -> Result<()> {
        self.shared.change(|state| state.store.forget_changes());
        let address = self.sockets.listen().await.context("listen again")?;
        ensure!(address == self.address, "it listens on {address} and not on {}", self.address);
        self.shared.change(|state| state.is_away = false);
        Ok(())
    }

    /// Waits by the real clock, also where the test's is paused.
    async fn patient<T>(&self, what: &str, wait: impl Future<Output = T>) -> T {
        let expired = self.sockets.after(PATIENCE);
        let abort = expired.abort_handle();
        let outcome = tokio::select! {
            outcome = wait => outcome,
            _ = expired => panic!("waited in vain for {what}; requests so far:\n{}", self.told()),
        };
        abort.abort();
        outcome
    }

    fn told(&self) -> String {
        let line = |request: &Recorded| {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&request.query).finish();
            let status = request.status.map_or("-".to_owned(), |status| status.to_string());
            format!("{:4} {status:>3} {} {}?{query}\n", request.number, request.method, request.path)
        };
        self.shared.look().requests.iter().map(line).collect()
    }
}

fn kind(state: &State, name: &str) -> Arc<Kind> {
    let kind = state.kinds.iter().find(|kind| kind.is(name));
    Arc::clone(kind.unwrap_or_else(|| panic!("the server knows no kind {name}; is its definition stored?")))
}

#[cfg(test)]
mod tests;
