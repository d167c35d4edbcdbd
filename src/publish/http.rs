//! What the agent tells over HTTP: `/metrics`, `/healthz`, `/readyz`, `/v1/survey`, `/v1/events` and, for people, `/`;
//! the controller tells the first three.
//!
//! One request for each connection, and every connection ends in bounded time: clients come every few seconds at
//! most, and one that is slow, or wants to harm, must not keep the others out for long.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

pub mod controller;
mod events;
mod pulse;
mod routes;
mod status;

pub use pulse::Pulse;
pub use routes::Pages;
pub use status::Status;

/// How long to wait when no connection can be accepted (no file descriptor is free, …).
const BREATHER: Duration = Duration::from_secs(1);
/// Requests are a line and a few headers; hyper takes no less than this.
const REQUEST_BYTES: usize = 8192;

/// What one client may take of the server.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Connections at once; further ones wait in the kernel.
    connections: usize,
    /// For the head of a request to arrive.
    head: Duration,
    /// For the whole connection.
    connection: Duration,
    /// For the answers that are under way when the server shuts down.
    shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(30),
            shutdown: Duration::from_secs(1),
        }
    }
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else does.
    #[error("{address} is in use: end the process that listens there, or give another address to listen at")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// It is not this host's.
    #[error("no link that is up has the address {}: give one of this host to listen at, or bring its link up (lo for 127.0.0.1)", address.ip())]
    NotHere {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("listen at {address}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Listens, and serves once it is run.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
}

impl Server {
    /// Listens at `address`; port 0 is any that is free.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let (listener, address) = listen(address).await?;
        Ok(Self { listener, address, limits: Limits::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; then no longer than a second, for the answers that are under way.
    pub async fn run(self, status: Arc<Status>, pages: Pages, shutdown: impl Future<Output = ()>) {
        let router = routes::router(Arc::clone(&status), pages);
        let shutdown = async {
            shutdown.await;
            status.stop();
        };
        self.serve(router, shutdown).await;
    }

    async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let Self { listener, limits, .. } = self;
        let answer = |stream, watcher| answer(stream, router.clone(), watcher, limits);
        serve_each(listener, (limits.connections, limits.shutdown), shutdown, answer).await;
    }
}

/// Serves whoever connects, so many at once, until `shutdown`; then what is under way, for so long at most.
pub(crate) async fn serve_each<S: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    (connections, grace): (usize, Duration),
    shutdown: impl Future<Output = ()>,
    serve: impl Fn(TcpStream, Watcher) -> S,
) {
    let slots = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (slot, stream) = accept(&listener, &slots) => {
                let served = serve(stream, graceful.watcher());
                connections.spawn(async move {
                    served.await;
                    drop(slot);
                });
            }
            // Whatever ended is let go of: a set keeps it otherwise.
            Some(_ended) = connections.join_next() => {}
        }
    }
    drop(listener);
    if timeout(grace, graceful.shutdown()).await.is_err() {
        debug!(connections = connections.len(), "not all answers were taken before the shutdown");
    }
}

/// Listens at `address`, and says where that is: port 0 is any that is free.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let refused = |source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            BindError::InUse { address }
        } else if source.kind() == io::ErrorKind::AddrNotAvailable {
            BindError::NotHere { address }
        } else {
            BindError::Refused { address, source }
        }
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

/// Waits for one of the `slots`, and then for a client.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("nobody closes it");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (slot, stream),
            Err(error) if is_of_one_client(&error) => debug!(%error, "a client left before it was accepted"),
            Err(error) => {
                warn!(%error, "no connection can be accepted");
                sleep(BREATHER).await;
            }
        }
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    let kinds =
        [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused];
    kinds.contains(&error.kind())
}

async fn answer(stream: TcpStream, router: Router, watcher: Watcher, limits: Limits) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(REQUEST_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(limits.connection, watcher.watch(connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection ended early"),
        Err(_elapsed) => debug!("a client was too slow to take its answer"),
    }
}

#[cfg(test)]
mod tests;
