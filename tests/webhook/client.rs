//! An API server's side: TLS with the webhook's certificate as the only one that is trusted, HTTP/1.1, connections
//! that are kept.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use mtu_agent::publish::kubernetes::serving_key::serving_key;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What the certificates are for.
pub(crate) const NAME: &str = "webhook.test";

/// A key that signed its own certificate.
pub(crate) fn new_key() -> Result<Arc<CertifiedKey>> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    Ok(serving_key(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())?)
}

/// A connection over TLS, if the server's certificate is that of `key`.
pub(crate) async fn connect(address: SocketAddr, key: &CertifiedKey) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(key.cert[0].to_vec()))?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let mut config =
        config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream = TcpStream::connect(address).await.context("connect")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(NAME)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.context("agree upon TLS")
}

/// A connection for any number of requests, one after the other.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr, key: &CertifiedKey) -> Result<Self> {
        let stream = connect(address, key).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        drop(tokio::spawn(connection));
        Ok(Self(sender))
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        self.0.ready().await.context("the connection is closed")?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", NAME)
            .header("content-type", "application/json");
        let response = self.0.send_request(request.body(Full::new(body))?).await.context("send a request")?;
        let status = response.status();
        Ok((status, response.into_body().collect().await.context("read the answer")?.to_bytes()))
    }

    /// The `response` of a review.
    pub(crate) async fn review(&mut self, review: &Value) -> Result<Value> {
        let (status, body) = self.send(Method::POST, "/mutate", serde_json::to_vec(review)?.into()).await?;
        anyhow::ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
        let mut review: Value = serde_json::from_slice(&body)?;
        Ok(review["response"].take())
    }
}
