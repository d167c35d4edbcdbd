//! The program, with all its parts.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use mtu_lab::agent::page;
use mtu_lab::api_server::{ApiServer, Fault};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::replica::{cluster, config_map_writes, holder, labelled, said};

#[path = "../webhook/client.rs"]
mod client;

/// `mtu-agent controller`, killed if a test fails.
struct Program {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Program {
    fn start(server: &ApiServer, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mtu-agent"))
            .args([
                "controller",
                "--listen",
                "127.0.0.1:0",
                "--webhook-listen",
                "127.0.0.1:0",
                "--identity",
                "it",
            ])
            .args(arguments)
            .env("MTU_AGENT_DRAIN", "0s")
            .env("KUBECONFIG", server.kubeconfig(None)?)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start it")?;
        let log = BufReader::new(child.stderr.take().context("it logs")?).lines();
        Ok(Self { child, log })
    }

    /// Waits for a line of its log; what is in it.
    fn until_logged(&mut self, message: &str) -> Result<Value> {
        for line in self.log.by_ref() {
            let line: Value = serde_json::from_str(&line?)?;
            if line["message"] == message {
                return Ok(line);
            }
        }
        anyhow::bail!("it ended and never logged {message:?}")
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Its exit code.
    async fn ended(mut self) -> Result<Option<i32>> {
        spawn_blocking(move || Ok(self.child.wait()?.code())).await?
    }

    /// Ends it as Kubernetes does; its exit code.
    async fn terminate(self) -> Result<Option<i32>> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _it_has_ended = self.child.kill();
        let _it_is_known_how = self.child.wait();
    }
}

#[tokio::test]
async fn it_leads_and_on_sigterm_lets_go_of_the_lease() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let program = Program::start(&server, &[])?;
    said(&server, "ci", "1450").await;
    assert_eq!(holder(&server).as_deref(), Some("it"));
    assert_eq!(program.terminate().await?, Some(0));
    assert_eq!(holder(&server), None, "it is free at once");
    let version = concat!("mtu-agent/", env!("CARGO_PKG_VERSION"));
    assert!(server.requests().iter().all(|request| request.user_agent == version));
    assert_eq!(config_map_writes(&server).len(), 1);
    Ok(())
}

/// A cluster with a webhook configuration.
async fn cluster_with_webhook() -> Result<ApiServer> {
    let server = cluster().await?;
    server.put(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mtu-agent"},
        "webhooks": [{
            "name": "pods.mtu-agent.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"url": "https://webhook.test/mutate"},
        }],
    }));
    labelled(&server, "ci", None);
    Ok(server)
}

const HOST: [&str; 2] = ["--webhook-host", "webhook.test"];

/// The CA that an API server trusts, as soon as the program serves with a certificate of it.
fn trusted(server: &ApiServer, program: &mut Program) -> Result<CertifiedKey> {
    program.until_logged("the webhook serves with a new certificate")?;
    let configuration =
        server.object("MutatingWebhookConfiguration", "", "mtu-agent").context("it is announced before")?;
    let announced: MutatingWebhookConfiguration = serde_json::from_value(configuration)?;
    let bundle = announced.webhooks.into_iter().flatten().find_map(|it| it.client_config.ca_bundle);
    let authority = CertificateDer::from_pem_slice(&bundle.context("a caBundle")?.0)?;
    Ok(CertifiedKey::new(vec![authority], Arc::clone(&client::new_key()?.key)))
}

/// An address that a line of its log tells.
fn listens(line: &Value) -> Result<SocketAddr> {
    Ok(line["listen"].as_str().context("an address")?.parse()?)
}

fn review() -> Value {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "runner-", "namespace": "ci"},
        "spec": {"containers": [{"name": "dind", "image": "docker:dind"}]},
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": "CREATE", "namespace": "ci", "object": pod, "dryRun": false, "options": null,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {"username": "somebody"},
        },
    })
}

/// What a pod is told over a new connection.
async fn told(address: SocketAddr, trusted: &CertifiedKey) -> Result<Value> {
    let response = client::Client::connect(address, trusted).await?.review(&review()).await?;
    assert_eq!(response["allowed"], true);
    let patch: Value =
        serde_json::from_slice(&serde_json::from_value::<Vec<u8>>(response["patch"].clone())?)?;
    Ok(patch[0]["value"]["mtu-agent.dev/dind-mtu"].clone())
}

async fn readiness(address: SocketAddr) -> Result<(bool, String)> {
    spawn_blocking(move || page(address, "/readyz")).await?
}

#[tokio::test]
async fn pods_are_told_by_its_webhook_what_the_reports_say() -> Result<()> {
    let server = cluster_with_webhook().await?;
    let mut program = Program::start(&server, &HOST)?;
    let address = listens(&program.until_logged("webhook started")?)?;
    said(&server, "ci", "1450").await;
    let trusted = trusted(&server, &mut program)?;
    assert_eq!(told(address, &trusted).await?, "1450");
    assert_eq!(program.terminate().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn who_is_told_to_stop_frees_the_lease_at_once_and_answers_whoever_is_still_sent_to_it() -> Result<()> {
    let server = cluster_with_webhook().await?;
    let mut program = Program::start(&server, &[&HOST[..], &["--drain", "1h"]].concat())?;
    let pages = listens(&program.until_logged("controller started")?)?;
    let address = listens(&program.until_logged("webhook started")?)?;
    said(&server, "ci", "1450").await;
    let trusted = trusted(&server, &mut program)?;
    assert_eq!(readiness(pages).await?, (true, "ok\n".into()));

    program.signal(Signal::SIGTERM)?;
    program.until_logged("the Lease is free for another replica")?;
    assert_eq!(holder(&server), None);
    assert_eq!(readiness(pages).await?, (false, "it was told to stop\n".into()));
    assert_eq!(told(address, &trusted).await?, "1450", "Services lead here for some seconds more");

    program.signal(Signal::SIGTERM)?;
    assert_eq!(program.ended().await?, Some(0), "told twice, it does not wait");
    assert!(told(address, &trusted).await.is_err());
    Ok(())
}

#[tokio::test]
async fn whoever_sits_at_its_terminal_does_not_wait_for_its_end() -> Result<()> {
    let server = cluster().await?;
    let mut program = Program::start(&server, &["--drain", "1h"])?;
    program.until_logged("webhook started")?;
    program.signal(Signal::SIGINT)?;
    assert_eq!(program.ended().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn without_a_certificate_nobody_is_sent_to_its_webhook() -> Result<()> {
    let server = cluster_with_webhook().await?;
    server.fail(usize::MAX, Fault::status(403), |request| request.path.ends_with("/secrets"));
    let mut program = Program::start(&server, &HOST)?;
    let pages = listens(&program.until_logged("controller started")?)?;
    said(&server, "ci", "1450").await;
    let unready = (false, "there is no certificate to serve the webhook with yet\n".to_owned());
    assert_eq!(readiness(pages).await?, unready, "it leads all the same");
    server.heal();
    let _ca = trusted(&server, &mut program)?;
    assert_eq!(readiness(pages).await?, (true, "ok\n".into()));
    assert_eq!(program.terminate().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn without_a_webhook_it_needs_no_certificate_and_has_nobody_to_wait_for() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let mut program = Program::start(&server, &["--certificates", "none", "--drain", "1h"])?;
    let pages = listens(&program.until_logged("controller started")?)?;
    said(&server, "ci", "1450").await;
    assert_eq!(readiness(pages).await?, (true, "ok\n".into()));
    assert_eq!(program.terminate().await?, Some(0));
    assert!(!server.requests().iter().any(|request| request.path.contains("/secrets")));
    Ok(())
}
