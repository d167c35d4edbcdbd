//! The cluster that a test runs on, and how it waits there.

use std::{fmt::Debug, fs, net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::LocalSet,
    time::{interval, timeout},
};

use crate::install;

/// Whoever waits so long for one thing has waited in vain.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// A test that takes longer is ended, so that what it made is taken away.
const WHOLE_TEST: Duration = Duration::from_mins(4);
/// Minor version of Kubernetes 1 that has all that `mtu-agent` builds on.
const OLDEST: u32 = 30;
/// Between two looks at what no watch tells.
const PACE: Duration = Duration::from_millis(100);

/// A cluster, as its administrator sees it.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    kubeconfig: Kubeconfig,
    /// Part of the name of all that this test makes.
    pub(crate) unique: String,
    directory: TempDir,
    /// Where the controller serves the webhook on this host.
    pub(crate) webhook_port: u16,
}

/// Installs on the cluster, runs the test, and takes away what was made, however the test has ended.
pub(crate) async fn on<T, F>(cluster: Cluster, test: T) -> Result<()>
where
    T: FnOnce(Arc<Cluster>) -> F,
    F: Future<Output = Result<()>> + 'static,
{
    let cluster = Arc::new(cluster);
    install::check_vacancy(&cluster).await?;
    let test = test(Arc::clone(&cluster));
    let installed = Arc::clone(&cluster);
    // A task of its own, so that its panic ends nothing else.
    let tasks = LocalSet::new();
    let outcome = tasks.spawn_local(async move {
        let whole = async {
            install::install(&installed).await.context("install")?;
            test.await
        };
        timeout(WHOLE_TEST, whole)
            .await
            .with_context(|| format!("the test took longer than {WHOLE_TEST:?}"))?
    });
    let outcome = tasks.run_until(outcome).await;
    if !matches!(outcome, Ok(Ok(()))) {
        cluster.tell_logs();
    }
    let removed = install::remove(&cluster).await.context("take away what the test made");
    match outcome {
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        Ok(outcome) => outcome.and(removed),
    }
}

impl Cluster {
    /// That of `KUBECONFIG`, which must be given: no cluster is taken by accident.
    pub(crate) async fn of_kubeconfig() -> Result<Self> {
        let kubeconfig = Kubeconfig::from_env().context("read the file that KUBECONFIG names")?;
        let Some(kubeconfig) = kubeconfig else {
            bail!(
                "KUBECONFIG is not set: this test needs the kubeconfig of an administrator of a real cluster"
            );
        };
        let cluster = Self::new(kubeconfig).await?;
        let version =
            cluster.client.apiserver_version().await.context("ask the API server for its version")?;
        let minor: u32 = version.minor.trim_end_matches('+').parse().context("read the version")?;
        ensure!(
            minor >= OLDEST,
            "the API server is Kubernetes {}: it takes 1.{OLDEST} or later, for policies and tokens that name a node",
            version.git_version
        );
        Ok(cluster)
    }

    pub(crate) async fn new(kubeconfig: Kubeconfig) -> Result<Self> {
        let directory = TempDir::new().context("make a directory")?;
        let listener = TcpListener::bind("127.0.0.1:0").context("find a port that is free")?;
        Ok(Self {
            client: client(kubeconfig.clone()).await?,
            kubeconfig,
            unique: format!("mtu-agent-test-{:08x}", fastrand::u32(..)),
            webhook_port: listener.local_addr()?.port(),
            directory,
        })
    }

    /// A name that only this test has.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.unique)
    }

    /// A path that only this test has.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    #[expect(clippy::print_stderr, reason = "a test that fails tells why")]
    fn tell_logs(&self) {
        for entry in fs::read_dir(self.directory.path()).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let log = fs::read_to_string(entry.path()).unwrap_or_default();
                eprintln!("== {}\n{log}", entry.path().display());
            }
        }
    }

    /// A kubeconfig file for whoever has this token.
    pub(crate) fn kubeconfig_of(&self, name: &str, token: &str) -> Result<PathBuf> {
        let path = self.path(&format!("kubeconfig-{name}"));
        fs::write(&path, serde_json::to_string(&self.with_token(token)?)?)?;
        Ok(path)
    }

    /// A client for whoever has this token.
    pub(crate) async fn client_of(&self, token: &str) -> Result<Client> {
        client(serde_json::from_value(self.with_token(token)?)?).await
    }

    fn with_token(&self, token: &str) -> Result<Value> {
        let current = self.kubeconfig.current_context.as_deref().context("a current context")?;
        let context = self.kubeconfig.contexts.iter().find(|context| context.name == current);
        let cluster = &context.and_then(|it| it.context.as_ref()).context("the current context")?.cluster;
        let cluster = self.kubeconfig.clusters.iter().find(|it| it.name == *cluster);
        let cluster = cluster.and_then(|it| it.cluster.as_ref()).context("the current context's cluster")?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        }))
    }
}

async fn client(kubeconfig: Kubeconfig) -> Result<Client> {
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Waits by a watch until an object is as asked, and returns it.
pub(crate) async fn wait_for<K>(api: &Api<K>, name: &str, what: &str, is_it: impl Fn(&K) -> bool) -> Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&is_it);
    let found = timeout(PATIENCE, await_condition(api.clone(), name, condition)).await;
    let found = found.with_context(|| format!("waited in vain for {what} of {name}"))?;
    found.with_context(|| format!("watch {name}"))?.context("it was there")
}

/// Waits by a watch until an object is gone.
pub(crate) async fn wait_for_absence<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let condition = |object: Option<&K>| object.is_none();
    let gone = timeout(PATIENCE, await_condition(api.clone(), name, condition)).await;
    gone.with_context(|| format!("waited in vain for {name} to go"))?
        .with_context(|| format!("watch {name}"))?;
    Ok(())
}

/// Asks until there is an answer. For what the API server has not heard of yet although it is stored, such as roles,
/// policies and webhooks: it follows them by watches of its own, and no watch tells how far it is.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let answer = async {
        let mut pace = interval(PACE);
        loop {
            pace.tick().await;
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
        }
    };
    timeout(PATIENCE, answer).await.with_context(|| format!("waited in vain until {what}"))?
}
