//! A connection that is patient between requests and not during one.
//!
//! API servers keep connections for 90 s without a request. One that the server closes just as a request comes is an
//! error to them, and with `failurePolicy: Ignore` a pod that is not looked at: so the server waits longer than they
//! do. A request that has begun ends soon, or the connection does, whether the client is slow to write or to read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long one waits for the other side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first byte of a request to the last one of its answer. For the first request, from the start.
    pub(super) request: Duration,
    /// From there to the next request.
    pub(super) idle: Duration,
}

/// A stream that fails with [`io::ErrorKind::TimedOut`] when the other side takes too long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    inner: S,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// An answer was written, and nothing was read since.
    Idle,
    Reading,
    /// What was written is not yet flushed.
    Writing,
}

impl<S> Patient<S> {
    pub(super) fn new(inner: S, patience: Patience) -> Self {
        Self { inner, patience, timer: Box::pin(sleep(patience.request)), phase: Phase::Reading }
    }

    fn enter(&mut self, phase: Phase) {
        let patience = match (self.phase, phase) {
            (Phase::Idle, Phase::Reading) => Some(self.patience.request),
            (Phase::Writing, Phase::Idle) => Some(self.patience.idle),
            (Phase::Idle | Phase::Reading | Phase::Writing, _) => None,
        };
        if let Some(patience) = patience {
            self.timer.set(sleep(patience));
        }
        self.phase = phase;
    }

    /// `outcome`, but no longer pending than the patience lasts.
    fn bounded<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match outcome {
            Poll::Pending => self.timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.enter(Phase::Reading);
        }
        self.bounded(context, outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(context, bytes);
        if matches!(outcome, Poll::Ready(Ok(_))) {
            self.enter(Phase::Writing);
        }
        self.bounded(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(context);
        if matches!(outcome, Poll::Ready(Ok(()))) && self.phase == Phase::Writing {
            self.enter(Phase::Idle);
        }
        self.bounded(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(context);
        self.bounded(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    const REQUEST: Duration = Duration::from_secs(5);
    const IDLE: Duration = Duration::from_secs(100);
    /// What the other side takes between two bytes.
    const MOMENT: Duration = Duration::from_secs(2);

    fn pair(buffer: usize) -> (Patient<DuplexStream>, DuplexStream) {
        let (server, client) = duplex(buffer);
        (Patient::new(server, Patience { request: REQUEST, idle: IDLE }), client)
    }

    fn is_timed_out<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::TimedOut)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_byte_by_byte_ends_the_connection() {
        let (mut server, mut client) = pair(64);
        let slow = async {
            while client.write_u8(b'x').await.is_ok() {
                sleep(MOMENT).await;
            }
        };
        let read = async move {
            let mut all = Vec::new();
            is_timed_out(server.read_to_end(&mut all).await)
        };
        let (timed_out, ()) = timeout(REQUEST + MOMENT, async { tokio::join!(read, slow) })
            .await
            .expect("a byte now and then does not extend it");
        assert!(timed_out);
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_it_waits_longer_and_then_as_long_as_at_first() {
        let (mut server, mut client) = pair(64);
        client.write_u8(b'q').await.expect("it is open");
        server.read_u8().await.expect("a request came");
        server.write_u8(b'a').await.expect("it is taken");
        server.flush().await.expect("it is taken");
        assert!(timeout(IDLE / 2, server.read_u8()).await.is_err(), "it still waits");
        client.write_u8(b'q').await.expect("it is open");
        server.read_u8().await.expect("another request came");
        let rest = timeout(REQUEST + MOMENT, server.read_u8()).await.expect("it does not wait as long again");
        assert!(is_timed_out(rest));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_its_answer_ends_the_connection() {
        let (mut server, _client) = pair(1);
        let written = timeout(REQUEST + MOMENT, server.write_all(b"answer")).await;
        assert!(is_timed_out(written.expect("it does not wait for ever")));
    }
}
