//! What certificates say, and whether the API server would accept them.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, PublicKeyData as _};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier as _;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::Hosts;

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let [from, until] = [parsed.validity.not_before, parsed.validity.not_after].map(timestamp);
        Some(Self { from, until })
    }

    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }

    /// After two thirds: a third is left to whoever is late.
    pub(super) fn due(&self) -> Timestamp {
        let third = SignedDuration::from_secs(self.until.duration_since(self.from).as_secs() / 3);
        self.until.saturating_sub(third).expect("a SignedDuration saturates")
    }
}

/// A certificate that others are issued with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) der: CertificateDer<'static>,
    pub(super) validity: Validity,
    public_key: Vec<u8>,
}

impl Authority {
    fn read(der: CertificateDer<'static>) -> Option<Self> {
        let validity = Validity::of(&der)?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let public_key = parsed.is_ca().then(|| parsed.public_key().raw.to_vec())?;
        Some(Self { der, validity, public_key })
    }

    /// Those of a PEM bundle, in its order, up to the first that is none.
    pub(super) fn bundle(pem: &[u8]) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem).map_while(|der| Self::read(der.ok()?)).collect()
    }

    pub(super) fn has(&self, key: &KeyPair) -> bool {
        key.subject_public_key_info() == self.public_key
    }

    /// Whether a server with this chain is accepted, under each of these names, by whoever trusts this alone.
    pub(super) fn vouches_for(&self, chain: &[CertificateDer<'_>], hosts: &Hosts, now: Timestamp) -> bool {
        let mut roots = RootCertStore::empty();
        let Some((leaf, rest)) = chain.split_first() else { return false };
        if !self.validity.holds(now) || roots.add(self.der.clone()).is_err() {
            return false;
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.expect("there is a root, and no revocation list to be wrong");
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)));
        hosts.names().all(|host| verifier.verify_server_cert(leaf, rest, host, &[], now).is_ok())
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX) // ASN.1 ends a day after jiff does
}
