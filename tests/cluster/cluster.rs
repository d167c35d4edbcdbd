//! The cluster that a test runs on, and how it waits there.

use std::{
    fmt::Debug,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

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
    net::lookup_host,
    sync::{Mutex, MutexGuard},
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

/// Ports that are nobody's by chance: below those that the kernel gives to whoever connects.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// Of a network that is nobody's (RFC 5737): nothing is ever sent there.
const FAR_AWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What tests make on a real cluster has the same names: one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cluster, as its administrator sees it.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    kubeconfig: Kubeconfig,
    /// Part of the name of all that this test makes.
    pub(crate) unique: String,
    directory: TempDir,
    /// Addresses of this host by which the API server may reach it, the likeliest first.
    pub(crate) addresses: Vec<IpAddr>,
    /// Where the controller serves the webhook on this host.
    pub(crate) webhook_port: u16,
    /// Dropped with the cluster: then it is another's turn.
    turn: Option<MutexGuard<'static, ()>>,
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
        let mut cluster = Self::new(kubeconfig).await?;
        cluster.turn = Some(TURN.lock().await);
        cluster.addresses = addresses(&cluster.client_config().await?.cluster_url).await?;
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
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
        let mut ports = std::iter::repeat_with(|| fastrand::u16(PORTS)).take(PORTS.len());
        Ok(Self {
            client: client(kubeconfig.clone()).await?,
            kubeconfig,
            unique: format!("mtu-agent-test-{:08x}", fastrand::u32(..)),
            addresses: vec![LOOPBACK],
            webhook_port: ports.find(is_free).context("find a port that is free")?,
            directory,
            turn: None,
        })
    }

    async fn client_config(&self) -> Result<Config> {
        config(self.kubeconfig.clone()).await
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
    Ok(Client::try_from(config(kubeconfig).await?)?)
}

async fn config(kubeconfig: Kubeconfig) -> Result<Config> {
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Where an API server reaches this host: by the address that this host has towards it. One that is here may yet be in
/// a container, whose loopback is another.
async fn addresses(api_server: &hyper::Uri) -> Result<Vec<IpAddr>> {
    let host = api_server.host().context("the API server's URL has a host")?.trim_matches(['[', ']']);
    let mut found = lookup_host((host, 443)).await.with_context(|| format!("look {host} up"))?;
    let server = found.next().with_context(|| format!("{host} has an address"))?.ip();
    let here = |server: IpAddr| {
        let any =
            if server.is_ipv4() { SocketAddr::from(([0; 4], 0)) } else { SocketAddr::from(([0; 16], 0)) };
        let socket = UdpSocket::bind(any).ok()?;
        // Nothing is sent: the kernel only looks for the way.
        socket.connect((server, 443)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let outward = here(if server.is_loopback() { FAR_AWAY } else { server });
    let both = if server.is_loopback() { [Some(LOOPBACK), outward] } else { [outward, Some(LOOPBACK)] };
    let mut addresses: Vec<_> = both.into_iter().flatten().collect();
    addresses.dedup();
    Ok(addresses)
}

/// Waits by a watch until an object is as asked, and returns it.
pub(crate) async fn wait_for<K>(api: &Api<K>, name: &str, what: &str, is_it: impl Fn(&K) -> bool) -> Result<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let found = watch_until(api, name, what, |object: Option<&K>| object.is_some_and(&is_it)).await?;
    found.context("it was there")
}

/// Waits by a watch until an object is gone.
pub(crate) async fn wait_for_absence<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_until(api, name, "the end", |object: Option<&K>| object.is_none()).await.map(drop)
}

/// A watch that an API server ends, or cannot serve now, is begun anew.
async fn watch_until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    is_so: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut last = None;
    let watch = async {
        let mut pace = interval(PACE);
        loop {
            pace.tick().await;
            match await_condition(api.clone(), name, &is_so).await {
                Ok(object) => return object,
                Err(error) => last = Some(error),
            }
        }
    };
    match timeout(PATIENCE, watch).await {
        Ok(object) => Ok(object),
        Err(_elapsed) => bail!("waited in vain for {what} of {name}; the last watch: {last:?}"),
    }
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

#[tokio::test]
async fn an_api_server_that_is_here_is_offered_the_loopback_first_and_one_that_is_not_last() -> Result<()> {
    let here = addresses(&"https://127.0.0.1:6443".parse()?).await?;
    assert_eq!(here.first(), Some(&LOOPBACK));
    let elsewhere = addresses(&"https://198.51.100.7".parse()?).await?;
    assert_eq!(elsewhere.last(), Some(&LOOPBACK));
    assert!(here.iter().chain(&elsewhere).all(|address| !address.is_unspecified()), "{here:?} {elsewhere:?}");
    Ok(())
}
