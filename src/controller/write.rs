//! What the leader writes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::{timeout, timeout_at};
use tracing::{debug, warn};

use super::config_maps::Write;
use super::events::{Key, Told};
use super::lease::{Leadership, Unconfirmed};
use super::seen::SeenConfigMap;
use crate::domain::error::with_sources;
use crate::publish::kubernetes::names::{CONFIG_MAP, CONTROLLER_MANAGER};
use crate::publish::metrics::controller::{ConfigMapWrite, EventTold};

/// For an Event to be taken.
const EVENT_PATIENCE: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    /// The ConfigMap of a namespace, as it is now.
    ConfigMap { namespace: String, written: Result<Option<SeenConfigMap>, WriteError> },
    /// An Event.
    Event { key: Key, result: EventTold },
}

/// A ConfigMap is as it was. It is tried again in the next window.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// Another replica may be the leader.
    #[error("the ConfigMap {CONFIG_MAP} is left to the leader")]
    NotLeader(#[from] Unconfirmed),
    /// The API server refuses it, or is away.
    #[error("write the ConfigMap {CONFIG_MAP}")]
    Refused(#[source] kube::Error),
    /// No answer as long as this replica surely leads.
    #[error("write the ConfigMap {CONFIG_MAP}: no answer in time")]
    Late,
}

impl WriteError {
    pub(super) fn result(&self) -> ConfigMapWrite {
        match self {
            Self::NotLeader(_) => ConfigMapWrite::NotLeader,
            Self::Refused(_) | Self::Late => ConfigMapWrite::Failed,
        }
    }
}

/// Who writes.
#[derive(Clone)]
pub(super) struct Writer {
    client: Client,
    leadership: Leadership,
    identity: String,
}

impl Writer {
    pub(super) fn new(client: &Client, leadership: Leadership, identity: &str) -> Self {
        Self { client: client.clone(), leadership, identity: identity.into() }
    }

    /// Writes a ConfigMap, if the Lease says that this replica may.
    pub(super) async fn config_map(self, namespace: String, write: Write) -> Done {
        let written = self.write(&namespace, write).await;
        Done::ConfigMap { namespace, written }
    }

    async fn write(&self, namespace: &str, write: Write) -> Result<Option<SeenConfigMap>, WriteError> {
        let until = self.leadership.confirm().await?;
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let written = async {
            match write {
                Write::Apply(content) => {
                    let params = PatchParams::apply(CONTROLLER_MANAGER).force();
                    let patch = Patch::Apply(content.applied_to(namespace));
                    Ok(Some(SeenConfigMap::of(api.patch(CONFIG_MAP, &params, &patch).await?)))
                }
                Write::Delete { uid, resource_version } => {
                    let only_this = Preconditions { uid, resource_version };
                    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
                    match api.delete(CONFIG_MAP, &params).await {
                        Ok(_) => Ok(None),
                        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                        Err(error) => Err(error),
                    }
                }
            }
        };
        let written = timeout_at(until.into(), written).await;
        written.map_err(|_elapsed| WriteError::Late)?.map_err(WriteError::Refused)
    }

    /// Tells an Event. That needs no leader but for economy: the API server takes each name once.
    pub(super) async fn event(self, key: Key, told: Told, at: Timestamp) -> Done {
        let api = Api::<Event>::namespaced(self.client, &told.namespace);
        let event = told.event(at, &self.identity);
        let params = PostParams::default();
        let result = match timeout(EVENT_PATIENCE, api.create(&params, &event)).await {
            Ok(Ok(_)) => EventTold::Created,
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => EventTold::Known,
            // The namespace is gone or ends, or a name is none. 429 is too many requests.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 403 | 404 | 422) => {
                debug!(pod = ?event.regarding, error = %status, "an Event is refused");
                EventTold::Refused
            }
            Ok(Err(error)) => {
                warn!(error = %with_sources(&error), "an Event could not be told; it is tried again");
                EventTold::Failed
            }
            Err(_elapsed) => EventTold::Failed,
        };
        Done::Event { key, result }
    }
}
