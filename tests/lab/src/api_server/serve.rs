//! Requests in, answers out; and the sockets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{self, Handle},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::{
    admission,
    failure::Failure,
    fault::Fault,
    handle::{Reply, wants_metadata},
    record::Recorded,
    state::Shared,
    stream as events,
};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Answers a request; an error is a connection that breaks.
pub(super) async fn answer(shared: Arc<Shared>, request: Request<Bytes>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let (number, fault, released) = shared.change(|state| {
        if state.is_away {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        let recorded = Recorded::new(state.requests.len(), &parts, &body);
        let fault = state.faults.take(&recorded);
        state.requests.push(recorded);
        Ok((state.requests.len() - 1, fault, state.releases))
    })?;
    match fault {
        None | Some(Fault::AnswerLost | Fault::Stall) => {}
        Some(Fault::Status { code, retry_after }) => {
            let failure = Failure::new(code, "it was asked to fail").retry_after(retry_after);
            return Ok(shared.change(|state| {
                state.requests[number].status = Some(code);
                refusal(&failure)
            }));
        }
        Some(Fault::Reset) => return Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Hang) => {
            let is_away = |state: &super::state::State| {
                (state.is_away || state.releases != released).then_some(state.is_away)
            };
            if shared.until(is_away).await {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
        }
    }
    let mut request = shared.look().requests[number].clone();
    let admitted = admission::mutate(&shared, &mut request).await;
    let response = shared.change(|state| {
        let reply = admitted.and_then(|warned| Ok((state.handle(&mut request)?, warned)));
        let response = match reply {
            Ok((Reply::Object { code, object, warnings }, warned)) => {
                json(code, &object, &[warned, warnings].concat())
            }
            Ok((Reply::Watch(watch), _)) => {
                let events = events::begin(&shared, state, &request, watch, wants_metadata(&request));
                with_status(200).body(StreamBody::new(events.map_ok(Frame::data)).boxed_unsync())
            }
            Err(failure) => Ok(refusal(&failure)),
        };
        let response = response.expect("status and headers are valid");
        let recorded = &mut state.requests[number];
        recorded.permissions = request.permissions;
        recorded.status = Some(response.status().as_u16());
        response
    });
    match fault {
        Some(Fault::AnswerLost) => Err(io::ErrorKind::ConnectionReset.into()),
        Some(Fault::Stall) => stall(response).await,
        None | Some(Fault::Status { .. } | Fault::Reset | Fault::Hang) => Ok(response),
    }
}

/// The same answer, with half of its body and no end.
async fn stall(response: Response<Body>) -> io::Result<Response<Body>> {
    let (parts, body) = response.into_parts();
    let whole = body.collect().await?.to_bytes();
    let half = Ok(Frame::data(whole.slice(..whole.len() / 2)));
    let body = StreamBody::new(stream::iter([half]).chain(stream::pending()));
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

fn with_status(code: u16) -> http::response::Builder {
    Response::builder().status(code).header(header::CONTENT_TYPE, "application/json")
}

fn json(code: u16, object: &serde_json::Value, warnings: &[String]) -> http::Result<Response<Body>> {
    let response = warnings.iter().fold(with_status(code), |response, warning| {
        response.header(header::WARNING, format!("299 - \"{}\"", warning.replace('"', "\\\"")))
    });
    response.body(Full::from(object.to_string()).map_err(|never| match never {}).boxed_unsync())
}

fn refusal(failure: &Failure) -> Response<Body> {
    let response = match failure.text {
        Some(text) => {
            let body = Full::from(text).map_err(|never| match never {}).boxed_unsync();
            Response::builder().status(failure.code).header(header::CONTENT_TYPE, "text/plain").body(body)
        }
        None => json(failure.code, &failure.status(), &[]),
    };
    let mut response = response.expect("status and headers are valid");
    if let Some(seconds) = failure.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

#[derive(Debug)]
enum Command {
    /// Close the listener and cut the connections.
    Away,
    /// Listen again.
    Back,
}

type Orders = mpsc::UnboundedReceiver<(Command, oneshot::Sender<io::Result<SocketAddr>>)>;

/// The thread with the sockets; it ends with this. A runtime of its own, so that it turns while a test does not, and
/// by the real clock.
#[derive(Debug)]
pub(super) struct Sockets {
    orders: mpsc::UnboundedSender<(Command, oneshot::Sender<io::Result<SocketAddr>>)>,
    handle: Handle,
}

impl Sockets {
    pub(super) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (orders, received) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("api-server".into())
            .spawn(move || runtime.block_on(obey(shared, received)))?;
        Ok(Self { orders, handle })
    }

    /// A timer by the real clock.
    pub(super) fn after(&self, delay: Duration) -> tokio::task::JoinHandle<()> {
        self.handle.spawn(async move { tokio::time::sleep(delay).await })
    }

    pub(super) async fn close(&self) -> io::Result<SocketAddr> {
        self.order(Command::Away).await
    }

    pub(super) async fn listen(&self) -> io::Result<SocketAddr> {
        self.order(Command::Back).await
    }

    async fn order(&self, command: Command) -> io::Result<SocketAddr> {
        let (done, outcome) = oneshot::channel();
        let is_sent = self.orders.send((command, done));
        is_sent.map_err(io::Error::other)?;
        outcome.await.map_err(io::Error::other)?
    }
}

async fn obey(shared: Arc<Shared>, mut orders: Orders) {
    let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener: Option<TcpListener> = None;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some((Command::Away, done)) => {
                    listener = None;
                    connections.shutdown().await;
                    let _ = done.send(Ok(address));
                }
                Some((Command::Back, done)) => {
                    let bound = TcpListener::bind(address).await.and_then(|bound| {
                        address = bound.local_addr()?;
                        listener = Some(bound);
                        Ok(address)
                    });
                    let _ = done.send(bound);
                }
            },
            Ok(stream) = accept(listener.as_ref()) => {
                connections.spawn(serve(Arc::clone(&shared), stream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// Resets the connection when it is dropped, unless it has ended well.
struct Reset {
    socket: std::net::TcpStream,
    is_over: bool,
}

impl Drop for Reset {
    fn drop(&mut self) {
        if !self.is_over {
            // If it is gone already, that is what was wanted.
            let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        }
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let mut reset = Reset { socket: stream.try_clone()?, is_over: false };
    let stream = TokioIo::new(TcpStream::from_std(stream)?);
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            answer(shared, Request::from_parts(parts, body)).await
        }
    });
    let served = http1::Builder::new().serve_connection(stream, service).await;
    reset.is_over = served.is_ok();
    served.map_err(io::Error::other)
}
