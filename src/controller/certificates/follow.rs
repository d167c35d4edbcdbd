//! Every replica: what the Secret holds is what is served, as soon as it is there.

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_rustls::rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::cluster::contents;
use super::rotation::Contents;
use super::x509::{Authority, Validity};
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::WEBHOOK_SECRET;
use crate::publish::kubernetes::serving_key::serving_key;

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
    let mut secrets = pin!(watch_object(secrets, WEBHOOK_SECRET).default_backoff());
    while let Some(seen) = secrets.next().await {
        match seen {
            Ok(Some(secret)) => take(&contents(&secret), keys, expiry),
            Ok(None) if keys.borrow().is_some() => {
                warn!(
                    namespace,
                    secret = WEBHOOK_SECRET,
                    "the webhook's Secret is gone; its last key is served on"
                );
            }
            Ok(None) => info!(namespace, secret = WEBHOOK_SECRET, "the webhook's Secret is not there yet"),
            Err(error) => {
                let error = with_sources(&error);
                warn!(
                    namespace,
                    secret = WEBHOOK_SECRET,
                    error,
                    "cannot watch the webhook's Secret; trying again"
                );
            }
        }
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
