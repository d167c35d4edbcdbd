//! The webhook's certificates against an API server, as its clients see them: a TLS handshake that trusts nothing but
//! what the webhook configuration says.
//!
//! Time is tokio's paused one, the wall clock with it; that of the wall can be set.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use mtu_agent::controller::certificates::{Expiry, Hosts, follow, keep};
use mtu_agent::publish::kubernetes::serving_key::server_config;
use mtu_lab::api_server::{ApiServer, Cut, Fault, Recorded};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::time_provider::TimeProvider;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

const NAMESPACE: &str = "mtu-agent-controller";
const HOST: &str = "mtu-agent-webhook.mtu-agent-controller.svc";
const SECRET: &str = "mtu-agent-webhook";
const SECRET_PATH: &str = "/api/v1/namespaces/mtu-agent-controller/secrets/mtu-agent-webhook";
const CONFIGURATION_PATH: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/mtu-agent";
const CONFIGURATIONS_PATH: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const TOKEN: &str = "controller";
/// All that this needs to be allowed.
const ROLES: &str = r"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: certificates}
rules:
- {apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations], resourceNames: [mtu-agent], verbs: [get, list, watch, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: certificates}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: certificates}
subjects: [{kind: ServiceAccount, name: mtu-agent-controller, namespace: mtu-agent-controller}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: certificates, namespace: mtu-agent-controller}
rules:
- {apiGroups: [''], resources: [secrets], resourceNames: [mtu-agent-webhook], verbs: [get, list, watch, create, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: certificates, namespace: mtu-agent-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: certificates}
subjects: [{kind: ServiceAccount, name: mtu-agent-controller, namespace: mtu-agent-controller}]
";
const DAY: SignedDuration = SignedDuration::from_hours(24);

static START: LazyLock<Timestamp> = LazyLock::new(|| "2026-03-01T12:00:00Z".parse().expect("it is a time"));

/// A clock on the wall, which goes as the monotonic one does until somebody sets it.
#[derive(Debug)]
struct Wall {
    origin: Instant,
    set_by_seconds: AtomicI64,
}

impl Wall {
    #[expect(clippy::disallowed_methods, reason = "time is paused: this is the test's own")]
    fn new() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), set_by_seconds: AtomicI64::new(0) })
    }

    fn now(&self) -> Timestamp {
        let set_by = SignedDuration::from_secs(self.set_by_seconds.load(Ordering::Relaxed));
        *START + self.origin.elapsed() + set_by
    }

    fn set_forward(&self, by: SignedDuration) {
        self.set_by_seconds.fetch_add(by.as_secs(), Ordering::Relaxed);
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.now().as_second().try_into().expect("after 1970");
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

struct Cluster {
    api: ApiServer,
    wall: Arc<Wall>,
}

impl Cluster {
    async fn start() -> Self {
        let api = ApiServer::start().await.expect("an API server starts");
        api.authorize(TOKEN, NAMESPACE, "mtu-agent-controller", ROLES).expect("the roles are right");
        Self { api, wall: Wall::new() }
    }

    /// With the webhook configuration, and one replica that leads and serves.
    async fn serving() -> (Self, Replica) {
        let cluster = Self::start().await;
        cluster.apply_configuration();
        let mut replica = cluster.replica();
        replica.lead(true);
        replica.key().await;
        (cluster, replica)
    }

    /// As a manifest: it has no bundle.
    fn apply_configuration(&self) -> Value {
        let webhook = |name: &str, resources: Value| {
            json!({
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
                "timeoutSeconds": 2,
                "namespaceSelector": { "matchLabels": { "mtu-agent.dev/inject": "enabled" } },
                "clientConfig": { "service": { "namespace": NAMESPACE, "name": "mtu-agent-webhook", "path": "/mutate" } },
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources,
                    "scope": "Namespaced",
                }],
            })
        };
        self.api.put(json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": "mtu-agent", "labels": { "app.kubernetes.io/name": "mtu-agent" } },
            "webhooks": [
                webhook("pods.mtu-agent.dev", json!(["pods"])),
                webhook("bindings.mtu-agent.dev", json!(["pods/binding", "bindings"])),
            ],
        }))
    }

    fn delete_configuration(&self) {
        assert!(self.api.delete("MutatingWebhookConfiguration", "", "mtu-agent"));
    }

    async fn configuration(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.api.wait_for_object("MutatingWebhookConfiguration", "", "mtu-agent", is_it).await
    }

    fn put_secret(&self, data: &Value) {
        self.api.put(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": SECRET, "namespace": NAMESPACE },
            "type": "Opaque", "data": data,
        }));
    }

    fn secret(&self) -> Value {
        self.api.object("Secret", NAMESPACE, SECRET).expect("there is a Secret")
    }

    /// What the webhooks trust: both the same.
    fn bundle(&self) -> Vec<u8> {
        let configuration = self.api.object("MutatingWebhookConfiguration", "", "mtu-agent");
        let [first, second] = &bundles(&configuration.expect("there is a configuration"))[..] else {
            panic!("there are two webhooks");
        };
        assert_eq!(first, second);
        first.clone()
    }

    fn replica(&self) -> Replica {
        let (leads, leading) = watch::channel(false);
        let (key_sender, keys) = watch::channel(None);
        let (expiry_sender, expiry) = watch::channel(Expiry::default());
        let wall = Arc::clone(&self.wall);
        let client = self.api.client_in_process(Some(TOKEN));
        let hosts = Hosts::new([HOST.to_owned(), "192.0.2.1".to_owned()]).expect("they are names");
        let keeps = {
            let client = client.clone();
            tokio::spawn(async move { keep(client, NAMESPACE, &hosts, leading, move || wall.now()).await })
        };
        let follows =
            tokio::spawn(async move { follow(client, NAMESPACE, &key_sender, &expiry_sender).await });
        Replica { leads, keys, expiry, tasks: [keeps, follows] }
    }

    /// As an API server does: it trusts the webhooks' bundle alone.
    async fn connect(&self, replica: &Replica) -> io::Result<Connection> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&self.bundle()) {
            roots.add(root.expect("a bundle is PEM")).expect("it is a CA");
        }
        let wall: Arc<dyn TimeProvider> = self.wall.clone();
        let config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), wall);
        let config = config.with_safe_default_protocol_versions().expect("ring has what TLS needs");
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let (near, far) = duplex(1 << 16);
        let host = ServerName::try_from(HOST).expect("it is a name");
        let acceptor = TlsAcceptor::from(Arc::new(server_config(replica.keys.clone())));
        let connector = TlsConnector::from(Arc::new(config));
        let (client, server) = tokio::join!(connector.connect(host, near), acceptor.accept(far));
        Ok(Connection { client: client?, server: server? })
    }

    /// The certificate that an API server is shown, and accepts.
    async fn accepted(&self, replica: &Replica) -> CertificateDer<'static> {
        let connection = self.connect(replica).await.expect("the API server accepts what is served");
        let shown = connection.client.get_ref().1.peer_certificates().expect("it was shown one");
        shown[0].clone().into_owned()
    }

    /// The clock is set forward, no more than one renewal leaves time for, and all is renewed that is due.
    async fn pass(&self, replica: &mut Replica, days: i32) {
        assert!(days <= 29, "a cluster without a leader for longer than this has its certificates end");
        self.wall.set_forward(DAY * days);
        let then = self.wall.now() + 29 * DAY;
        let lasts = |expiry: &Expiry| expiry.serving.is_some_and(|serving| serving > then);
        replica.expiry.wait_for(lasts).await.expect("the replica follows");
    }

    /// Until two thirds of the first CA's life are over.
    async fn pass_until_the_ca_is_due(&self, replica: &mut Replica) {
        for _ in 0..8 {
            self.pass(replica, 29).await;
        }
        assert_eq!(authorities(&self.bundle()), 1);
        self.wall.set_forward(12 * DAY);
    }
}

struct Replica {
    leads: watch::Sender<bool>,
    keys: watch::Receiver<Option<Arc<CertifiedKey>>>,
    expiry: watch::Receiver<Expiry>,
    tasks: [JoinHandle<()>; 2],
}

impl Replica {
    fn lead(&self, leads: bool) {
        self.leads.send(leads).expect("the replica listens");
    }

    /// The key that it serves with, once it has one.
    async fn key(&mut self) -> CertificateDer<'static> {
        leaf(self.keys.wait_for(Option::is_some).await.expect("the replica follows").as_ref())
    }

    /// The key that it serves with after this one.
    async fn key_after(&mut self, last: &CertificateDer<'static>) -> CertificateDer<'static> {
        let is_new = |key: &Option<Arc<CertifiedKey>>| key.is_none() || leaf(key.as_ref()) != *last;
        leaf(self.keys.wait_for(is_new).await.expect("the replica follows").as_ref())
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Connection {
    client: client::TlsStream<DuplexStream>,
    server: server::TlsStream<DuplexStream>,
}

impl Connection {
    /// Whether a word still gets across, both ways.
    async fn is_open(&mut self) -> bool {
        let mut word = [0; 4];
        self.client.write_all(b"ping").await.is_ok()
            && self.client.flush().await.is_ok()
            && self.server.read_exact(&mut word).await.is_ok()
            && self.server.write_all(b"pong").await.is_ok()
            && self.server.flush().await.is_ok()
            && self.client.read_exact(&mut word).await.is_ok()
            && &word == b"pong"
    }
}

fn leaf(key: Option<&Arc<CertifiedKey>>) -> CertificateDer<'static> {
    key.expect("a key that was there stays").cert[0].clone()
}

fn bytes(value: &Value) -> Vec<u8> {
    serde_json::from_value::<ByteString>(value.clone()).map(|bytes| bytes.0).unwrap_or_default()
}

fn bundles(configuration: &Value) -> Vec<Vec<u8>> {
    let webhooks = configuration["webhooks"].as_array().expect("it has webhooks");
    webhooks.iter().map(|webhook| bytes(&webhook["clientConfig"]["caBundle"])).collect()
}

fn authorities(bundle: &[u8]) -> usize {
    CertificateDer::pem_slice_iter(bundle).count()
}

fn have_authorities(configuration: &Value, number: usize) -> bool {
    bundles(configuration).iter().all(|bundle| authorities(bundle) == number)
}

/// What a write was, in a word.
fn word(request: &Recorded) -> &'static str {
    let entries = |name: &str| !request.body["data"][name].is_null();
    match (request.path.as_str(), request.content_type.as_str()) {
        (SECRET_PATH, "application/apply-patch+yaml") => "make the Secret",
        (SECRET_PATH, "application/merge-patch+json") if entries("ca.key") => "make a CA",
        (SECRET_PATH, "application/merge-patch+json") if entries("tls.key") => "issue",
        (SECRET_PATH, "application/merge-patch+json") if entries("ca.crt") => "forget a CA",
        (CONFIGURATION_PATH, "application/json-patch+json") => "announce",
        other => panic!("{other:?} is not among what is written"),
    }
}

fn words(requests: &[Recorded]) -> Vec<&'static str> {
    requests.iter().map(word).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_start_makes_what_is_needed_in_the_order_in_which_it_is_needed() {
    let cluster = Cluster::start().await;
    let before = cluster.apply_configuration();
    let mut replica = cluster.replica();
    replica.lead(true);
    let key = replica.key().await;
    assert_eq!(cluster.accepted(&replica).await, key);

    let writes = cluster.api.writes();
    assert_eq!(words(&writes), ["make the Secret", "make a CA", "announce", "issue"]);
    for write in &writes {
        assert_eq!((write.field_manager(), write.parameter("force")), ("mtu-agent-controller", ""));
    }
    assert_eq!(
        writes[0].body,
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": SECRET, "labels": { "app.kubernetes.io/managed-by": "mtu-agent-controller" } },
        })
    );
    let keys = |of: &Value| of.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&writes[1].body["data"]), ["ca.crt", "ca.key"]);
    assert_eq!(keys(&writes[3].body["data"]), ["tls.crt", "tls.key"]);
    for put in [&writes[1], &writes[3]] {
        assert_eq!(keys(&put.body["metadata"]), ["resourceVersion"], "two leaders must not both be heard");
    }
    let bundle = cluster.secret()["data"]["ca.crt"].clone();
    let add = |webhook: usize| json!({ "op": "add", "path": format!("/webhooks/{webhook}/clientConfig/caBundle"), "value": bundle });
    let version = &before["metadata"]["resourceVersion"];
    let test = json!({ "op": "test", "path": "/metadata/resourceVersion", "value": version });
    assert_eq!(writes[2].body, json!([test, add(0), add(1)]));

    let mut after = cluster.configuration(|_| true).await;
    let mut expected = before.clone();
    for webhook in 0..2 {
        expected["webhooks"][webhook]["clientConfig"]["caBundle"] = bundle.clone();
    }
    expected["metadata"] = after["metadata"].take();
    after["metadata"] = expected["metadata"].clone();
    assert_eq!(after, expected, "nothing else of the configuration has changed");
}

#[tokio::test(start_paused = true)]
async fn it_uses_the_permissions_that_it_is_given_and_no_other() {
    let (cluster, _replica) = Cluster::serving().await;
    cluster.api.wait_for_watch(CONFIGURATIONS_PATH).await;
    let used = cluster.api.used_permissions(Some(TOKEN));
    let used: BTreeSet<_> = used
        .iter()
        .map(|used| {
            let namespace = used.namespace.as_deref().unwrap_or_default();
            (used.verb.as_str(), used.resource.as_str(), namespace, used.name.as_deref().unwrap_or_default())
        })
        .collect();
    let secrets =
        ["get", "list", "watch", "create", "patch"].map(|verb| (verb, "secrets", NAMESPACE, SECRET));
    let configurations = ["get", "list", "watch", "patch"];
    let configurations = configurations.map(|verb| (verb, "mutatingwebhookconfigurations", "", "mtu-agent"));
    assert_eq!(used, secrets.into_iter().chain(configurations).collect());
}

#[tokio::test(start_paused = true)]
async fn a_restart_serves_the_same_certificate_and_writes_nothing() {
    let (cluster, mut replica) = Cluster::serving().await;
    let key = replica.key().await;
    drop(replica);
    cluster.api.wait_for_watches("nobody to watch", |watches| watches.is_empty().then_some(())).await;
    let written = cluster.api.writes().len();

    let mut replica = cluster.replica();
    replica.lead(true);
    assert_eq!(replica.key().await, key);
    cluster.api.wait_for_watch(CONFIGURATIONS_PATH).await; // it has looked, and found nothing to do
    assert_eq!(cluster.api.writes().len(), written);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_follows_and_writes_nothing() {
    let (cluster, mut leader) = Cluster::serving().await;
    let key = leader.key().await;
    let mut other = cluster.replica();
    assert_eq!(other.key().await, key);
    assert_eq!(cluster.accepted(&other).await, key);
    cluster.pass(&mut leader, 29).await;
    cluster.pass(&mut leader, 29).await;
    cluster.wall.set_forward(3 * DAY);
    let renewed = leader.key_after(&key).await;
    assert_eq!(other.key_after(&key).await, renewed);
    assert_eq!(words(&cluster.api.writes()[4..]), ["issue"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_a_handshake_is_refused_and_with_one_the_next_is_not() {
    let cluster = Cluster::start().await;
    cluster.apply_configuration();
    let mut replica = cluster.replica();
    assert!(cluster.connect(&replica).await.is_err());
    replica.lead(true);
    replica.key().await;
    cluster.connect(&replica).await.expect("now there is one");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_is_served_at_once_and_drops_no_connection() {
    let (cluster, mut replica) = Cluster::serving().await;
    let first = replica.key().await;
    let mut open = cluster.connect(&replica).await.expect("it is accepted");
    let bundle = cluster.bundle();
    cluster.wall.set_forward(61 * DAY);
    let second = replica.key_after(&first).await;
    assert_eq!(cluster.accepted(&replica).await, second);
    assert!(open.is_open().await, "who is connected stays so");
    assert_eq!(cluster.bundle(), bundle);
    let expiry = *replica.expiry.borrow();
    assert!(expiry.serving.expect("it serves") > *START + 150 * DAY);
    assert!(expiry.authority.expect("there is a CA") < *START + 366 * DAY);
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_is_trusted_before_it_is_needed_and_the_old_one_stays_until_it_is_over() {
    let (cluster, mut replica) = Cluster::serving().await;
    cluster.pass_until_the_ca_is_due(&mut replica).await;
    let written = cluster.api.writes().len();
    let old = replica.key().await;
    let mut open = cluster.connect(&replica).await.expect("it is accepted");

    cluster.configuration(|configuration| have_authorities(configuration, 2)).await;
    let announced = cluster.wall.now();
    assert_eq!(cluster.accepted(&replica).await, old, "what was served is served on, and still trusted");
    let new = replica.key_after(&old).await;
    assert!(
        cluster.wall.now() >= announced + SignedDuration::from_secs(60),
        "every API server has heard of it"
    );
    assert_eq!(cluster.accepted(&replica).await, new);
    assert!(open.is_open().await);
    assert_eq!(words(&cluster.api.writes()[written..]), ["make a CA", "announce", "issue"]);

    for _ in 0..4 {
        cluster.pass(&mut replica, 29).await;
    }
    assert_eq!(authorities(&cluster.bundle()), 2);
    cluster.pass(&mut replica, 10).await;
    cluster.configuration(|configuration| have_authorities(configuration, 1)).await;
    cluster.connect(&replica).await.expect("the old CA is missed by nobody");
}

#[tokio::test(start_paused = true)]
async fn another_leader_goes_on_where_the_last_one_stopped() {
    let (cluster, mut first) = Cluster::serving().await;
    let mut second = cluster.replica();
    cluster.pass_until_the_ca_is_due(&mut first).await;
    let written = cluster.api.writes().len();
    let old = first.key().await;
    cluster.configuration(|configuration| have_authorities(configuration, 2)).await;
    first.lead(false);
    second.lead(true);
    let new = second.key_after(&old).await;
    assert_eq!(first.key_after(&old).await, new);
    for replica in [&first, &second] {
        assert_eq!(cluster.accepted(replica).await, new);
    }
    assert_eq!(words(&cluster.api.writes()[written..]), ["make a CA", "announce", "issue"]);
}

#[tokio::test(start_paused = true)]
async fn two_who_think_that_they_lead_end_with_one_certificate_that_is_trusted() {
    let cluster = Cluster::start().await;
    cluster.apply_configuration();
    let mut replicas = [cluster.replica(), cluster.replica()];
    for replica in &replicas {
        replica.lead(true);
    }
    let both = |watches: &[_]| (watches.len() == 6).then_some(());
    cluster.api.wait_for_watches("both to have nothing left to do", both).await;
    let pem = bytes(&cluster.secret()["data"]["tls.crt"]);
    let issued = CertificateDer::from_pem_slice(&pem).expect("it is a certificate");
    for replica in &mut replicas {
        replica
            .keys
            .wait_for(|key| key.is_some() && leaf(key.as_ref()) == issued)
            .await
            .expect("the replica follows");
        assert_eq!(cluster.accepted(replica).await, issued);
    }
    let done = cluster.api.writes().into_iter().filter(|write| write.status == Some(200));
    let done: Vec<_> = done.map(|write| word(&write)).collect();
    assert_eq!(done.iter().filter(|word| **word == "make a CA").count(), 1, "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_lost_or_garbled_is_made_anew_while_the_last_key_is_served() {
    let (cluster, mut replica) = Cluster::serving().await;
    let garbage = json!(ByteString(b"garbage".to_vec()));
    let garbled = json!({ "ca.crt": garbage, "ca.key": garbage, "tls.crt": garbage, "tls.key": garbage });
    for lost in [Some(garbled), Some(json!({})), None] {
        let last = replica.key().await;
        match &lost {
            Some(data) => cluster.put_secret(data),
            None => assert!(cluster.api.delete("Secret", NAMESPACE, SECRET)),
        }
        cluster.configuration(|configuration| have_authorities(configuration, 2)).await;
        assert_eq!(cluster.accepted(&replica).await, last);
        let new = replica.key_after(&last).await;
        assert_eq!(cluster.accepted(&replica).await, new, "{lost:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_not_there_is_not_made_and_gets_its_bundle_when_it_comes() {
    let cluster = Cluster::start().await;
    let mut replica = cluster.replica();
    replica.lead(true);
    let key = replica.key().await;
    cluster.api.wait_for_watch(CONFIGURATIONS_PATH).await;
    assert_eq!(words(&cluster.api.writes()), ["make the Secret", "make a CA", "issue"]);

    for _ in 0..2 {
        cluster.apply_configuration();
        cluster.configuration(|configuration| have_authorities(configuration, 1)).await;
        assert_eq!(cluster.accepted(&replica).await, key);
        cluster.apply_configuration();
        cluster.configuration(|configuration| have_authorities(configuration, 1)).await;
        assert_eq!(cluster.accepted(&replica).await, key);
        cluster.delete_configuration();
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_api_server_answers_all_is_well_in_the_end() {
    type Matches = fn(&Recorded) -> bool;
    let everything: [Matches; 4] = [
        Recorded::is_write,
        |request| request.path == SECRET_PATH,
        |request| request.path == CONFIGURATION_PATH,
        Recorded::is_watch,
    ];
    for matches in everything {
        for fault in [
            Fault::status(409),
            Fault::status(500),
            Fault::Status { code: 429, retry_after: Some(7) },
            Fault::Reset,
            Fault::AnswerLost,
            Fault::Hang,
        ] {
            let cluster = Cluster::start().await;
            cluster.apply_configuration();
            cluster.api.fail(3, fault, matches);
            let mut replica = cluster.replica();
            replica.lead(true);
            replica.key().await;
            cluster.connect(&replica).await.expect("it is trusted");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_its_watches_broke_it_hears_again() {
    for cut in [Cut::End, Cut::Break, Cut::Gone] {
        let (cluster, replica) = Cluster::serving().await;
        cluster.api.wait_for_watch(CONFIGURATIONS_PATH).await;
        cluster.api.drop_watches(cut);
        cluster.apply_configuration();
        cluster.configuration(|configuration| have_authorities(configuration, 1)).await;
        cluster.connect(&replica).await.expect("it is trusted");
    }
}

/// With cert-manager, nobody is ever told that they lead.
#[tokio::test(start_paused = true)]
async fn what_cert_manager_makes_is_served_and_nothing_is_written() {
    let (made, mut maker) = Cluster::serving().await;
    let cluster = Cluster::start().await;
    let mut replica = cluster.replica();
    for _ in 0..2 {
        cluster.put_secret(&made.secret()["data"]);
        let key = maker.key().await;
        replica
            .keys
            .wait_for(|served| served.is_some() && leaf(served.as_ref()) == key)
            .await
            .expect("it follows");
        made.wall.set_forward(61 * DAY);
        maker.key_after(&key).await;
    }
    assert_eq!(cluster.api.writes().len(), 0);
}
