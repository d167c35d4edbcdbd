//! `POST /mutate` over TLS, for API servers: they keep connections, and speak HTTP/1.1 on purpose (with HTTP/2 one
//! connection would bring all requests to one replica).

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{debug, warn};

use super::metrics::{Answer, Resource, WebhookMetrics};
use super::review::{Answered, ReviewError, answer};
use super::stream::{Patience, Patient};
use crate::domain::fleet::Values;
use crate::publish::http::{BindError, listen, serve_each};
use crate::publish::kubernetes::serving_key::server_config;

/// Where reviews are answered.
const PATH: &str = "/mutate";
/// Head of a request.
const HEAD_BYTES: usize = 16 * 1024;
/// Nearly all reviews; as many at once as there are connections.
const BODY_BYTES: usize = 256 * 1024;
/// The API server would take more. But JSON that is made for it takes 260 times its length once it is read, and with as
/// much as that the container is still within its memory, as `cargo bench --bench webhook` measures. What is longer passes
/// unchanged.
const LARGE_BODY_BYTES: usize = 512 * 1024;

/// What clients may take of the server.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at once; further ones wait in the kernel.
    connections: usize,
    /// Bodies at once that are over [`BODY_BYTES`]; further ones wait for their turn.
    large_bodies: usize,
    /// For TLS to be agreed upon.
    handshake: Duration,
    /// The API server waits for 2 s itself, and 90 s before it lets go of a connection.
    patience: Patience,
    /// For the answers that are under way when nobody new is answered any more.
    shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            large_bodies: 4,
            handshake: Duration::from_secs(5),
            patience: Patience { request: Duration::from_secs(5), idle: Duration::from_mins(2) },
            shutdown: Duration::from_secs(2),
        }
    }
}

/// Listens, and answers once it is run.
pub struct Webhook {
    listener: TcpListener,
    address: SocketAddr,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    limits: Limits,
}

struct Shared {
    values: watch::Receiver<Arc<Values>>,
    metrics: WebhookMetrics,
    large_bodies: Semaphore,
    is_leaving: AtomicBool,
}

impl Webhook {
    /// Listens at `address`; port 0 is any that is free. Each review is answered with the values of the moment, each
    /// connection served with the key of the moment; as long as there is no key, connections are closed.
    pub async fn bind(
        address: SocketAddr,
        values: watch::Receiver<Arc<Values>>,
        keys: watch::Receiver<Option<Arc<CertifiedKey>>>,
        metrics: WebhookMetrics,
    ) -> Result<Self, BindError> {
        let (listener, address) = listen(address).await?;
        let mut config = server_config(keys);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let limits = Limits::default();
        let large_bodies = Semaphore::new(limits.large_bodies);
        let shared = Shared { values, metrics, large_bodies, is_leaving: AtomicBool::new(false) };
        Ok(Self {
            listener,
            address,
            tls: TlsAcceptor::from(Arc::new(config)),
            shared: Arc::new(shared),
            limits,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then until the requests that are under way are answered, for 2 s at most. From `leaving`
    /// on each answer is the last of its connection: the next one of that API server leads to another replica.
    pub async fn run(self, leaving: impl Future<Output = ()>, shutdown: impl Future<Output = ()>) {
        let Self { listener, tls, shared, limits, .. } = self;
        let leave = async {
            leaving.await;
            shared.is_leaving.store(true, Ordering::Relaxed);
            pending::<Infallible>().await
        };
        let router = Router::new().route(PATH, post(mutate).fallback(nothing)).fallback(nothing);
        let router = router.layer(map_response_with_state(Arc::clone(&shared), last_if_leaving));
        let router = router.with_state(Arc::clone(&shared));
        let serve = |stream, watcher| serve(stream, tls.clone(), router.clone(), watcher, limits);
        tokio::select! {
            () = serve_each(listener, (limits.connections, limits.shutdown), shutdown, serve) => {}
            never = leave => match never {},
        }
    }
}

async fn last_if_leaving(State(shared): State<Arc<Shared>>, mut response: Response) -> Response {
    if shared.is_leaving.load(Ordering::Relaxed) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, router: Router, watcher: Watcher, limits: Limits) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "small answers may be held back");
    }
    let stream = match timeout(limits.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => Patient::new(stream, limits.patience),
        Ok(Err(error)) => return debug!(%error, "TLS was not agreed upon"),
        Err(_elapsed) => return debug!("a client was too slow to agree upon TLS"),
    };
    let connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection ended early");
    }
}

#[expect(clippy::disallowed_methods, reason = "how long an answer took is for the metrics alone")]
async fn mutate(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let body = match body(&shared, request).await {
        Ok(body) => body,
        Err(refused) => {
            shared.metrics.answered(Resource::Other, Answer::Malformed, Duration::ZERO);
            return refused;
        }
    };
    let began = Instant::now();
    let values = Arc::clone(&shared.values.borrow());
    match answer(&body, &values) {
        Ok(Answered { review, resource, answer, containers }) => {
            shared.metrics.answered(resource, answer, began.elapsed());
            shared.metrics.recognised(&containers);
            Json(review).into_response()
        }
        Err(error) => malformed(&shared, &error, began.elapsed()),
    }
}

/// The reason is told without its source, which may quote a secret.
fn malformed(shared: &Shared, error: &ReviewError, took: Duration) -> Response {
    warn!(%error, "a request is no review");
    shared.metrics.answered(Resource::Other, Answer::Malformed, took);
    (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
}

async fn body(shared: &Shared, request: Request) -> Result<Bytes, Response> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_large = length.is_none_or(|length: usize| length > BODY_BYTES);
    let most = if is_large { LARGE_BODY_BYTES } else { BODY_BYTES };
    let too_large =
        || (StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read, or is too large\n").into_response();
    if length.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let turns = u32::from(is_large);
    let _turn = shared.large_bodies.acquire_many(turns).await.expect("nobody closes it");
    to_bytes(request.into_body(), most).await.map_err(|_| too_large())
}

async fn nothing() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "nothing is here\n")
}
