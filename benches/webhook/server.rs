//! The side that is measured: a process of its own, on one core.

use std::io::{self, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use kube::core::DynamicObject;
use kube::core::admission::{AdmissionRequest, AdmissionResponse, AdmissionReview};
use mtu_agent::domain::fleet::Values;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::kubernetes::serving_key::{server_config, serving_key};
use mtu_agent::webhook::{Webhook, WebhookMetrics};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::sign::CertifiedKey;

/// The words by which this program becomes a server.
const SERVE: &str = "serve";
/// Its core; the client has the other.
const CORE: usize = 0;
const CLIENTS_CORE: usize = 1;
const BETWEEN: &str = "\n=====\n";

/// What serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Webhook,
    /// A handler of axum that answers the same to everything, over the same TLS.
    Bare,
    /// The same, but it reads the review, as any webhook must.
    Reader,
}

impl Server {
    const ALL: [Self; 3] = [Self::Webhook, Self::Bare, Self::Reader];

    fn word(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Bare => "bare",
            Self::Reader => "reader",
        }
    }
}

/// A server that runs, until this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: std::net::SocketAddr,
}

impl Running {
    pub(crate) fn start(server: Server, [certificate, key]: &[String; 2]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let child = command.args([SERVE, server.word()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().context("start a server")?;
        let mut stdin = child.stdin.take().context("it has a stdin")?;
        stdin.write_all(format!("{certificate}{BETWEEN}{key}").as_bytes())?;
        drop(stdin);
        let mut line = String::new();
        io::BufRead::read_line(
            &mut io::BufReader::new(child.stdout.take().context("it has a stdout")?),
            &mut line,
        )?;
        let address = line.trim().parse().with_context(|| format!("an address in {line:?}"))?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Becomes a server, if the arguments say so.
pub(crate) fn serve_if_asked() -> Result<bool> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [first, which] = words.as_slice() else { return Ok(false) };
    if first != SERVE {
        return Ok(false);
    }
    let Some(server) = Server::ALL.into_iter().find(|server| server.word() == which) else {
        bail!("{which}?")
    };
    have(CORE)?;
    let mut pem = String::new();
    io::stdin().read_to_string(&mut pem)?;
    let (certificate, key) = pem.split_once(BETWEEN).context("a certificate and a key")?;
    let key = serving_key(certificate.as_bytes(), key.as_bytes())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match server {
            Server::Webhook => webhook(key).await,
            Server::Bare => others(key, post(yes)).await,
            Server::Reader => others(key, post(read)).await,
        }
    })?;
    Ok(true)
}

pub(crate) fn have_the_clients_core() -> Result<()> {
    have(CLIENTS_CORE)
}

fn have(core: usize) -> Result<()> {
    go_first();
    let mut cores = CpuSet::new();
    cores.set(core)?;
    sched_setaffinity(Pid::from_raw(0), &cores).with_context(|| format!("stay on core {core}"))
}

/// Before what else the machine does, which is not what is measured: without that, this bench tells how busy it is.
/// Where there is no right to, it has to be borne.
fn go_first() {
    let pid = std::process::id().to_string();
    let mut chrt = Command::new("chrt");
    let _refused =
        chrt.args(["--fifo", "--pid", "1", &pid]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// On stdout, for the process that started this one.
fn tell(address: std::net::SocketAddr) -> Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{address}")?;
    Ok(stdout.flush()?)
}

async fn webhook(key: Arc<CertifiedKey>) -> Result<()> {
    let pools = [("p".to_owned(), LinkMtu::new(1450)?)].into();
    let (_values, told) = watch::channel(Arc::new(Values { pools, ..Values::default() }));
    let (_keys, keys_seen) = watch::channel(Some(key));
    let metrics = WebhookMetrics::register(&prometheus::Registry::new());
    let webhook = Webhook::bind(([127, 0, 0, 1], 0).into(), told, keys_seen, metrics).await?;
    tell(webhook.address())?;
    webhook.run(std::future::pending(), std::future::pending()).await;
    Ok(())
}

async fn others(key: Arc<CertifiedKey>, handler: MethodRouter) -> Result<()> {
    let (_keys, keys_seen) = watch::channel(Some(key));
    let tls = TlsAcceptor::from(Arc::new(server_config(keys_seen)));
    let router = Router::new().route("/mutate", handler);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    tell(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let stream = TokioIo::new(tls.accept(stream).await?);
            http1::Builder::new().serve_connection(stream, TowerToHyperService::new(router)).await?;
            anyhow::Ok(())
        });
    }
}

async fn yes(body: Bytes) -> Json<Value> {
    drop(body);
    Json(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"allowed": true}}),
    )
}

async fn read(
    Json(review): Json<AdmissionReview<DynamicObject>>,
) -> Result<Json<AdmissionReview<DynamicObject>>, StatusCode> {
    let request: AdmissionRequest<_> = review.try_into().map_err(|_| StatusCode::BAD_REQUEST)?;
    Ok(Json(AdmissionResponse::from(&request).into_review()))
}
