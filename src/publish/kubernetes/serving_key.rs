//! The key and certificate that the webhook serves with, as they are in the Secret.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_rustls::rustls;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// What a Secret of type `kubernetes.io/tls` calls its certificate chain (PEM, leaf first).
pub const CERTIFICATE: &str = "tls.crt";
/// What it calls the private key (PEM).
pub const KEY: &str = "tls.key";

/// The Secret cannot be served with.
#[derive(Debug, thiserror::Error)]
pub enum ServingKeyError {
    /// It has no such entry, or that is no PEM.
    #[error("read {entry} of the webhook's Secret as PEM")]
    Pem {
        /// Which.
        entry: &'static str,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or are of no kind that TLS knows.
    #[error("serve with the certificate and key of the webhook's Secret")]
    Unusable(#[source] rustls::Error),
}

/// Reads the certificate chain and key from PEM.
pub fn serving_key(certificate: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, ServingKeyError> {
    let pem = |entry| move |source| ServingKeyError::Pem { entry, source };
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(pem(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(pem(KEY))?;
    let key = any_supported_type(&key).map_err(ServingKeyError::Unusable)?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(ServingKeyError::Unusable)?;
    Ok(Arc::new(certified))
}

/// How TLS is served with the key of the moment: each handshake takes the latest, connections that are open keep theirs.
/// While there is none, a handshake is refused.
pub fn server_config(keys: watch::Receiver<Option<Arc<CertifiedKey>>>) -> ServerConfig {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3");
    config.with_no_client_auth().with_cert_resolver(Arc::new(Latest(keys)))
}

/// Answers each handshake with the key of the moment.
#[derive(Debug)]
struct Latest(watch::Receiver<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Latest {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}
