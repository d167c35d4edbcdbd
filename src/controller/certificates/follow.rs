//! Every replica: what the Secret holds is what is served, as soon as it is there.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::RECKON_INTERVAL;
use super::cluster::contents;
use super::rotation::Contents;
use super::x509::{Authority, Validity};
use crate::controller::watch::pause;
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::WEBHOOK_SECRET;
use crate::publish::kubernetes::serving_key::serving_key;
use crate::publish::kubernetes::watch::heard;

/// When the certificates end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    /// That which this replica serves with.
    pub serving: Option<Timestamp>,
    /// The newest CA.
    pub authority: Option<Timestamp>,
}

/// Keeps the key that the webhook serves with as the Secret has it, in memory alone. The last good one stays when the
/// Secret is gone or garbled. Never ends; it may be dropped at any time.
pub async fn follow(
    client: Client,
    namespace: &str,
    keys: &watch::Sender<Option<Arc<CertifiedKey>>>,
    expiry: &watch::Sender<Expiry>,
) {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    loop {
        let told = watch_object(secrets.clone(), WEBHOOK_SECRET);
        let mut changes = pin!(heard("the webhook's key", told, pause));
        while let Ok(Some(seen)) = timeout(RECKON_INTERVAL, changes.next()).await {
            match seen {
                Some(secret) => take(&contents(&secret), keys, expiry),
                None if keys.borrow().is_some() => {
                    warn!(
                        namespace,
                        secret = WEBHOOK_SECRET,
                        "the webhook's Secret is gone; its last key stays"
                    );
                }
                None => {
                    info!(namespace, secret = WEBHOOK_SECRET, "the webhook's Secret is not there yet");
                }
            }
        }
        // Nothing for long: a request that nobody answers is waited for without end by kube, so it is asked anew.
    }
}

/// Takes what the Secret holds, where it can be used.
fn take(secret: &Contents, keys: &watch::Sender<Option<Arc<CertifiedKey>>>, expiry: &watch::Sender<Expiry>) {
    if let Some(newest) = Authority::bundle(&secret.authorities).first() {
        expiry.send_if_modified(|expiry| replace(&mut expiry.authority, Some(newest.validity.until)));
    }
    if secret.certificate.is_empty() && secret.key.is_empty() {
        info!(secret = WEBHOOK_SECRET, "no serving certificate has been issued yet");
        return;
    }
    let key = match serving_key(&secret.certificate, &secret.key) {
        Ok(key) => key,
        Err(error) => {
            let error = with_sources(&error);
            warn!(
                secret = WEBHOOK_SECRET,
                error, "the webhook's Secret cannot be served with; the last key stays"
            );
            return;
        }
    };
    let until = key.cert.first().and_then(Validity::of).map(|validity| validity.until);
    let news = keys.send_if_modified(|served| {
        let news = served.as_ref().is_none_or(|served| served.cert != key.cert);
        if news {
            *served = Some(key);
        }
        news
    });
    if news {
        info!(until = until.map(tracing::field::display), "the webhook serves with a new certificate");
        expiry.send_if_modified(|expiry| replace(&mut expiry.serving, until));
    }
}

fn replace<T: PartialEq>(held: &mut T, new: T) -> bool {
    let news = *held != new;
    *held = new;
    news
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::certificates::{Hosts, issue};

    fn contents() -> Contents {
        let now = "2026-03-01T12:00:00Z".parse().expect("it is a time");
        let made = issue::authority(now).expect("a CA can be made");
        let authorities = made.certificate.into_bytes();
        let authority = Authority::bundle(&authorities).remove(0);
        let key = rcgen::KeyPair::from_pem(&made.key).expect("it is a key");
        let hosts = Hosts::new(["webhook.svc".to_owned()]).expect("it is a name");
        let issued =
            issue::serving(&issue::Signer { authority, key }, &hosts, now).expect("it can be issued");
        Contents {
            authorities,
            authority_key: made.key.into_bytes(),
            certificate: issued.certificate.into_bytes(),
            key: issued.key.into_bytes(),
        }
    }

    #[test]
    fn what_cannot_be_served_changes_nothing() {
        let (keys, key) = watch::channel(None);
        let (expiries, expiry) = watch::channel(Expiry::default());
        let [good, other] = [contents(), contents()];
        take(&good, &keys, &expiries);
        let (served, ends) = (key.borrow().clone(), *expiry.borrow());
        assert_eq!(ends.serving, Some("2026-05-30T12:00:00Z".parse().expect("it is a time")));
        assert_eq!(ends.authority, Some("2027-03-01T12:00:00Z".parse().expect("it is a time")));
        let Contents { key: other_key, .. } = other;
        for bad in [
            Contents::default(),
            Contents { certificate: Vec::new(), ..good.clone() },
            Contents { certificate: b"garbage".to_vec(), ..good.clone() },
            Contents { key: Vec::new(), ..good.clone() },
            Contents { key: other_key, ..good.clone() },
            Contents { authorities: b"garbage".to_vec(), ..good.clone() },
        ] {
            take(&bad, &keys, &expiries);
            let is_same =
                key.borrow().as_ref().zip(served.as_ref()).is_some_and(|(now, then)| Arc::ptr_eq(now, then));
            assert!(is_same);
            assert_eq!(*expiry.borrow(), ends);
        }
    }

    #[test]
    fn the_same_certificate_again_is_no_news() {
        let (keys, mut key) = watch::channel(None);
        let expiries = watch::Sender::new(Expiry::default());
        let good = contents();
        take(&good, &keys, &expiries);
        assert!(key.has_changed().expect("there is a sender"));
        key.mark_unchanged();
        take(&good, &keys, &expiries);
        assert!(!key.has_changed().expect("there is a sender"));
    }
}
