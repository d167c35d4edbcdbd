//! What to do next so that the webhook always serves a certificate that the API server accepts. Pure.
//!
//! The Secret holds the truth; the bundle of the webhook configuration follows it; a certificate of a new authority
//! comes last. One step at a time, each found anew from what is there, so that whoever leads next goes on from
//! wherever the last leader was interrupted:
//!
//! ```text
//!          Secret                                      webhook configuration
//!   0      ca A        tls by A                        A
//!   1      ca B, A     tls by A     two thirds of A    A         MakeAuthority
//!   2      ca B, A     tls by A                        B, A      Announce
//!   3      ca B, A     tls by B     SETTLED later      B, A      Issue
//!   4      ca B        tls by B     A is over          B, A      Forget
//!   5      ca B        tls by B                        B         Announce
//! ```
//!
//! An authority leaves only when it is over, and with it all that it has ever issued: no replica, however late, can
//! serve what is no longer trusted. It is the key of an authority that goes at once, when the next one comes.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::Hosts;
use super::issue::{self, Signer, later};
use super::x509::{Authority, Validity};
use crate::publish::kubernetes::serving_key::serving_key;

/// API servers, of which there may be several, hear of a new bundle within this time.
pub(super) const SETTLED: SignedDuration = SignedDuration::from_secs(60);
/// Authorities in a bundle.
const GENERATIONS: usize = 2;

/// What the Secret holds. PEM; empty where it has no such entry.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) authorities: Vec<u8>,
    pub(super) authority_key: Vec<u8>,
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// Why something is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// There is none.
    Absent,
    /// What there is cannot be used: it is garbled, over, or for other names.
    Unusable,
    /// Two thirds of its life are over.
    Due,
    /// There is a newer authority.
    Rotated,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "there was none",
            Self::Unusable => "the last one cannot be used",
            Self::Due => "two thirds of its life are over",
            Self::Rotated => "there is a newer CA",
        })
    }
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Make an authority, and put it before this one in the Secret.
    MakeAuthority { beside: Option<Authority>, why: Why },
    /// Put this bundle into every webhook of the configuration.
    Announce { bundle: String },
    /// Issue a serving certificate.
    Issue { signer: Box<Signer>, why: Why },
    /// Put this bundle, without what is over, into the Secret.
    Forget { bundle: String },
    /// Nothing, until then.
    Wait { until: Timestamp },
}

/// What one leader remembers. All of it may be lost.
#[derive(Debug)]
pub(super) struct Rotation {
    hosts: Hosts,
    /// The newest authority, since when every webhook has been seen to trust it.
    trusted: Option<(Authority, Timestamp)>,
}

impl Rotation {
    pub(super) fn new(hosts: Hosts) -> Self {
        Self { hosts, trusted: None }
    }

    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The next step, from the Secret and the bundle of each webhook. No configuration: nobody calls the webhook.
    ///
    /// The Secret must have been read after the configuration. Then the bundle to announce is never older than what
    /// the configuration holds.
    pub(super) fn next(&mut self, secret: &Contents, webhooks: Option<&[Vec<u8>]>, now: Timestamp) -> Step {
        let authorities = Authority::bundle(&secret.authorities);
        let newest = authorities.first().and_then(|newest| {
            let key = KeyPair::from_pem(str::from_utf8(&secret.authority_key).ok()?).ok()?;
            (newest.has(&key) && newest.validity.holds(now)).then_some((newest, key))
        });
        let make_authority = |why| Step::MakeAuthority { beside: self.beside(secret, webhooks, now), why };
        let (newest, key) = match newest {
            None if secret.authorities.is_empty() => return make_authority(Why::Absent),
            None => return make_authority(Why::Unusable),
            Some((newest, _)) if newest.validity.due() <= now => return make_authority(Why::Due),
            Some(newest) => newest,
        };

        let lasting = authorities.iter().filter(|authority| authority.validity.holds(now)).take(GENERATIONS);
        let lasting: Vec<_> = lasting.cloned().collect();
        let bundle = issue::bundle(&lasting);
        if lasting.len() < authorities.len() {
            return Step::Forget { bundle };
        }
        if let Some(step) = self.announce(newest, bundle, webhooks, now) {
            return step;
        }

        let chain = chain(secret);
        let accepted_by = |authority: &Authority| authority.vouches_for(&chain, &self.hosts, now);
        let validity = chain.first().and_then(Validity::of);
        let why = match validity {
            None if secret.certificate.is_empty() => Some(Why::Absent),
            None => Some(Why::Unusable),
            Some(_) if !lasting.iter().any(accepted_by) => Some(Why::Unusable),
            Some(_) if !accepted_by(newest) => Some(Why::Rotated),
            Some(validity) if validity.due() <= now => Some(Why::Due),
            Some(_) => None,
        };
        // With an older authority there may be replicas that serve by it, whatever became of the Secret since.
        let settled = self.trusted.as_ref().filter(|_| lasting.len() > 1);
        let settled = settled.map_or(now, |(_, since)| later(*since, SETTLED));
        match (why, validity) {
            (Some(_), _) if now < settled => Step::Wait { until: settled },
            (Some(why), _) => {
                let authority = newest.clone();
                Step::Issue { signer: Box::new(Signer { authority, key }), why }
            }
            (None, validity) => {
                let due = validity.map(|validity| validity.due());
                let over = lasting.iter().skip(1).map(|old| old.validity.until);
                let due = due.into_iter().chain(over).fold(newest.validity.due(), Timestamp::min);
                Step::Wait { until: due }
            }
        }
    }

    /// Sees to it that every webhook has the bundle, and notes since when.
    fn announce(
        &mut self,
        newest: &Authority,
        bundle: String,
        webhooks: Option<&[Vec<u8>]>,
        now: Timestamp,
    ) -> Option<Step> {
        let has_bundle = |webhook: &Vec<u8>| webhook == bundle.as_bytes();
        if webhooks.is_some_and(|webhooks| webhooks.iter().all(has_bundle)) {
            let trusted = self.trusted.take().filter(|(seen, since)| seen == newest && *since <= now);
            self.trusted = trusted.or_else(|| Some((newest.clone(), now)));
            return None;
        }
        self.trusted = None;
        webhooks.map(|_| Step::Announce { bundle })
    }

    /// The authority that stays trusted beside a new one: that of the certificate which is served, if it is known.
    /// When the Secret was lost, replicas go on with what they have, and the configuration still knows whose it is.
    fn beside(&self, secret: &Contents, webhooks: Option<&[Vec<u8>]>, now: Timestamp) -> Option<Authority> {
        let configured = webhooks.into_iter().flatten().flat_map(|bundle| Authority::bundle(bundle));
        let known = Authority::bundle(&secret.authorities).into_iter().chain(configured);
        let mut known: Vec<_> = known.filter(|authority| authority.validity.holds(now)).collect();
        let chain = chain(secret);
        let issuer = known.iter().position(|authority| authority.vouches_for(&chain, &self.hosts, now));
        (!known.is_empty()).then(|| known.swap_remove(issuer.unwrap_or(0)))
    }
}

/// The chain that can be served; empty if none can.
fn chain(secret: &Contents) -> Vec<CertificateDer<'static>> {
    serving_key(&secret.certificate, &secret.key).map(|key| key.cert.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
