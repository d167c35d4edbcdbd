//! The program, with all its parts.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use mtu_lab::api_server::ApiServer;
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

    /// Ends it as Kubernetes does; its exit code.
    async fn terminate(mut self) -> Result<Option<i32>> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        spawn_blocking(move || Ok(self.child.wait()?.code())).await?
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

#[tokio::test]
async fn pods_are_told_by_its_webhook_what_the_reports_say() -> Result<()> {
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
    let mut program = Program::start(&server, &["--webhook-host", "webhook.test"])?;
    let started = program.until_logged("webhook started")?;
    let address: SocketAddr = started["listen"].as_str().context("an address")?.parse()?;
    said(&server, "ci", "1450").await;
    let is_announced = |object: &Value| object["webhooks"][0]["clientConfig"]["caBundle"].is_string();
    let announced =
        server.wait_for_object("MutatingWebhookConfiguration", "", "mtu-agent", is_announced).await;
    let announced: MutatingWebhookConfiguration = serde_json::from_value(announced)?;
    let bundle = announced.webhooks.into_iter().flatten().find_map(|it| it.client_config.ca_bundle);
    let authority = CertificateDer::from_pem_slice(&bundle.context("a caBundle")?.0)?;
    let is_issued = |object: &Value| object["data"]["tls.crt"].as_str().is_some_and(|it| !it.is_empty());
    server.wait_for_object("Secret", "mtu-agent-controller", "mtu-agent-webhook", is_issued).await;
    program.until_logged("the webhook serves with a new certificate")?;
    let trusted = CertifiedKey::new(vec![authority], Arc::clone(&client::new_key()?.key));
    let mut client = client::Client::connect(address, &trusted).await?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "runner-", "namespace": "ci"},
        "spec": {"containers": [{"name": "dind", "image": "docker:dind"}]},
    });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": "CREATE", "namespace": "ci", "object": pod, "dryRun": false, "options": null,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "userInfo": {"username": "somebody"},
        },
    });
    let response = client.review(&review).await?;
    assert_eq!(response["allowed"], true);
    let patch: Value =
        serde_json::from_slice(&serde_json::from_value::<Vec<u8>>(response["patch"].clone())?)?;
    assert_eq!(patch[0]["value"]["mtu-agent.dev/dind-mtu"], "1450");
    assert_eq!(program.terminate().await?, Some(0));
    Ok(())
}
