//! The Secret and the webhook configuration in the API server: read, and changed one precondition at a time.
//!
//! A write names the resource version that it was decided on, so of two leaders one is refused and looks again. Nothing
//! but the Secret's own entries and each `caBundle` is written. The patches leave everything else, and its owners, as
//! they are, and never make an object that is not there, as server-side apply would: a webhook configuration of bundles
//! alone is none, and a Secret that is made anew would lose its certificate to a leader that thinks itself the first.

use std::iter;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::rotation::Contents;
use crate::publish::kubernetes::names::{
    CONTROLLER_MANAGER, MANAGED_BY, WEBHOOK_CONFIGURATION, WEBHOOK_SECRET,
};
use crate::publish::kubernetes::serving_key::{CERTIFICATE, KEY};

/// The Secret's entry for the bundle, newest authority first (PEM). cert-manager calls it so too.
pub(super) const AUTHORITIES: &str = "ca.crt";
/// The Secret's entry for the newest authority's key (PEM).
pub(super) const AUTHORITY_KEY: &str = "ca.key";

/// Where both objects are.
pub(super) struct Cluster {
    pub(super) secrets: Api<Secret>,
    pub(super) configurations: Api<MutatingWebhookConfiguration>,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client.clone(), namespace), configurations: Api::all(client) }
    }

    /// Makes the Secret, empty. Where there is one, nothing of it is changed: two leaders may do this at once.
    pub(super) async fn make_secret(&self) -> kube::Result<Secret> {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": WEBHOOK_SECRET, "labels": { MANAGED_BY: CONTROLLER_MANAGER } },
        });
        self.secrets
            .patch(WEBHOOK_SECRET, &PatchParams::apply(CONTROLLER_MANAGER), &Patch::Apply(secret))
            .await
    }

    /// Puts entries into the Secret that was read.
    pub(super) async fn put<const N: usize>(
        &self,
        read: &Secret,
        entries: [(&str, String); N],
    ) -> kube::Result<Secret> {
        let entries = entries.map(|(name, pem)| (name.to_owned(), json!(ByteString(pem.into_bytes()))));
        let patch = json!({
            "metadata": { "resourceVersion": read.resource_version() },
            "data": Value::Object(entries.into_iter().collect()),
        });
        self.secrets.patch(WEBHOOK_SECRET, &params(), &Patch::Merge(patch)).await
    }

    /// Puts the bundle into each webhook of the configuration that was read.
    pub(super) async fn announce(
        &self,
        read: &MutatingWebhookConfiguration,
        bundle: String,
    ) -> kube::Result<MutatingWebhookConfiguration> {
        let bundle = ByteString(bundle.into_bytes());
        let test =
            json!({ "op": "test", "path": "/metadata/resourceVersion", "value": read.resource_version() });
        let add = |webhook| {
            let path = format!("/webhooks/{webhook}/clientConfig/caBundle");
            json!({ "op": "add", "path": path, "value": bundle }) // replaces what is there
        };
        let webhooks = read.webhooks.as_ref().map_or(0, Vec::len);
        let patch = iter::once(test).chain((0..webhooks).map(add)).collect();
        let patch = serde_json::from_value(patch).expect("these are operations of RFC 6902");
        self.configurations.patch(WEBHOOK_CONFIGURATION, &params(), &Patch::Json::<()>(patch)).await
    }
}

/// What the Secret holds, by the names of its entries.
pub(super) fn contents(secret: &Secret) -> Contents {
    let entry = |name| {
        let entry = secret.data.as_ref().and_then(|data| data.get(name));
        entry.map(|entry| entry.0.clone()).unwrap_or_default()
    };
    Contents {
        authorities: entry(AUTHORITIES),
        authority_key: entry(AUTHORITY_KEY),
        certificate: entry(CERTIFICATE),
        key: entry(KEY),
    }
}

/// The bundle of each webhook.
pub(super) fn bundles(configuration: &MutatingWebhookConfiguration) -> Vec<Vec<u8>> {
    let webhooks = configuration.webhooks.iter().flatten();
    let bundle =
        |bundle: &Option<ByteString>| bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default();
    webhooks.map(|webhook| bundle(&webhook.client_config.ca_bundle)).collect()
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(CONTROLLER_MANAGER.to_owned()), ..PatchParams::default() }
}
