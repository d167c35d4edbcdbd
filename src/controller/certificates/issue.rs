//! Makes keys and certificates: ECDSA on P-256, which every TLS client knows.

use std::net::IpAddr;
use std::str::FromStr as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use tokio_rustls::rustls::pki_types::ServerName;

use super::Hosts;
use super::x509::Authority;

/// An authority is replaced after 243 days. What it issued on its last day is over 33 days before it is.
pub(super) const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Replaced after 60 days: a cluster may be without a leader for 30.
pub(super) const SERVING_LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Certificates are valid from this long before they are made, since clocks differ.
pub(super) const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// An authority that can issue.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) authority: Authority,
    pub(super) key: KeyPair,
}

/// A certificate and its key, as PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Makes an authority.
pub(super) fn authority(now: Timestamp) -> Result<Made, rcgen::Error> {
    let mut params = params(now, later(now, AUTHORITY_LIFE));
    // Each has its own name, so that no client takes one for the other.
    params.distinguished_name.push(DnType::CommonName, format!("mtu-agent webhook CA {now:.0}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate()?;
    Ok(Made { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// Issues a serving certificate for these names.
pub(super) fn serving(signer: &Signer, hosts: &Hosts, now: Timestamp) -> Result<Made, rcgen::Error> {
    let mut params = params(now, later(now, SERVING_LIFE).min(signer.authority.validity.until));
    params.distinguished_name.push(DnType::CommonName, "mtu-agent webhook");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = hosts.names().map(alternative_name).collect::<Result<_, _>>()?;
    let issuer = Issuer::from_ca_cert_der(&signer.authority.der, &signer.key)?;
    let key = KeyPair::generate()?;
    Ok(Made { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

/// Certificates as a PEM bundle.
pub(super) fn bundle<'a>(authorities: impl IntoIterator<Item = &'a Authority>) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    let block = |authority: &Authority| Pem::new("CERTIFICATE", authority.der.to_vec());
    authorities.into_iter().map(|authority| pem::encode_config(&block(authority), config)).collect()
}

fn params(now: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    let seconds = |time: Timestamp| Duration::from_secs(time.as_second().try_into().unwrap_or(0));
    params.not_before = date_time_ymd(1970, 1, 1) + seconds(later(now, -BACKDATED));
    params.not_after = date_time_ymd(1970, 1, 1) + seconds(until);
    params.distinguished_name = DistinguishedName::new();
    params
}

fn alternative_name(host: &ServerName<'_>) -> Result<SanType, rcgen::Error> {
    match IpAddr::from_str(&host.to_str()) {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(host.to_str().as_ref().try_into()?)),
    }
}

pub(super) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).expect("a SignedDuration saturates")
}
