//! The server's 2 MB file, served by threads of the test: no process of the lab, and nothing to wait for.

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use socket2::SockRef;

/// The size of the file that is served, whatever its path.
pub const FILE_BYTES: usize = 2_000_000;

/// Small beside the file, so that a download that hangs does so while the file is written.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Answers each connection with the file, until it is dropped.
#[derive(Debug)]
pub(super) struct HttpServer {
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

type Open = Mutex<HashMap<usize, TcpStream>>;

impl HttpServer {
    /// Listens in the network namespace of the calling thread.
    pub(super) fn listen(port: u16, ipv6: bool) -> io::Result<TcpListener> {
        let any = if ipv6 {
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
        } else {
            (Ipv4Addr::UNSPECIFIED, port).into()
        };
        TcpListener::bind(any)
    }

    /// Serves on threads that need not be in the listener's network namespace.
    pub(super) fn serve(listener: TcpListener) -> io::Result<Self> {
        let accepted = listener.try_clone()?;
        let accepting = thread::Builder::new().name("lab-http".into()).spawn(move || accept(&accepted))?;
        Ok(Self { listener, accepting: Some(accepting) })
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        // Shut down, a listener wakes its `accept` with an error, and a stream its `write`.
        drop(SockRef::from(&self.listener).shutdown(Shutdown::Both));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

fn accept(listener: &TcpListener) {
    let open = &Open::default();
    thread::scope(|connections| {
        for (id, stream) in listener.incoming().enumerate() {
            let stream = match stream {
                Ok(stream) => stream,
                // The client went before it was answered.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_shut_down) => break,
            };
            let Ok(registered) = stream.try_clone() else { break };
            locked(open).insert(id, registered);
            connections.spawn(move || {
                // A connection that fails is the client's failure: that is where the test looks.
                drop(answer(stream));
                locked(open).remove(&id);
            });
        }
        for stream in locked(open).values() {
            drop(stream.shutdown(Shutdown::Both));
        }
    });
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    // Closed with data that nobody acknowledges, a socket would keep its network namespace for minutes.
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let mut request = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&part[..length]),
        }
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {FILE_BYTES}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&vec![b'm'; FILE_BYTES])?;
    // What is left now fits into the small buffer: only a download that hung was reset.
    SockRef::from(&stream).set_linger(None)?;
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut part)? > 0 {}
    Ok(())
}

fn locked(open: &Open) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}
