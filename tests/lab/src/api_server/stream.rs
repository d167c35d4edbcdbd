//! A watch: what happens, as it happens.

use std::{collections::VecDeque, io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    failure::Failure,
    handle::{Watch, metadata_of},
    record::Recorded,
    state::{Cut, Shared, State, Watching},
};

/// Ends the watch in the books when the connection lets go of it.
struct Registered {
    shared: Arc<Shared>,
    request: usize,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.change(|state| state.watches.remove(&self.request));
    }
}

struct Turn {
    registered: Registered,
    watch: Watch,
    metadata: bool,
    /// What was told up to this version.
    told: u64,
    pending: VecDeque<Bytes>,
    changes: watch::Receiver<()>,
    cuts: u64,
    until: Pin<Box<tokio::time::Sleep>>,
    is_over: bool,
}

/// Begins a watch; the state is locked by whoever asks.
pub(super) fn begin(
    shared: &Arc<Shared>,
    state: &mut State,
    request: &Recorded,
    watch: Watch,
    metadata: bool,
) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let watching = Watching {
        request: request.number,
        path: request.path.clone(),
        field_selector: request.parameter("fieldSelector").to_owned(),
        user_agent: request.user_agent.clone(),
        authorization: request.authorization.clone(),
    };
    state.watches.insert(request.number, watching);
    let mut turn = Turn {
        registered: Registered { shared: Arc::clone(shared), request: request.number },
        metadata,
        told: watch.from.unwrap_or(state.store.version()),
        pending: VecDeque::new(),
        changes: shared.changes(),
        cuts: state.cuts,
        until: Box::pin(tokio::time::sleep(Duration::from_secs(watch.timeout_seconds))),
        watch,
        is_over: false,
    };
    turn.tell_initial(state);
    stream::unfold(turn, |mut turn| async move { turn.next().await.map(|chunk| (chunk, turn)) })
}

impl Turn {
    fn tell_initial(&mut self, state: &State) {
        if self.watch.from.is_some() {
            return;
        }
        let objects = state.store.list(&self.watch.kind, &self.watch.namespace, &self.watch.selector);
        let objects: Vec<_> = objects.map(|(_, object)| object.clone()).collect();
        for object in objects {
            self.tell("ADDED", object);
        }
        if self.watch.ends_initial_events {
            self.bookmark(state.store.version(), &json!({ "k8s.io/initial-events-end": "true" }));
        }
    }

    fn tell(&mut self, event: &str, object: Value) {
        let object = if self.metadata { metadata_of(&object) } else { object };
        self.push(&json!({ "type": event, "object": object }));
    }

    fn bookmark(&mut self, version: u64, annotations: &Value) {
        let kind = &self.watch.kind;
        let mut object = json!({
            "kind": kind.name, "apiVersion": kind.api_version(),
            "metadata": { "resourceVersion": version.to_string(), "annotations": annotations },
        });
        if self.metadata {
            object = metadata_of(&object);
        }
        self.push(&json!({ "type": "BOOKMARK", "object": object }));
    }

    fn push(&mut self, event: &Value) {
        self.pending.push_back(format!("{event}\n").into());
    }

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            if let Err(broken) = self.catch_up() {
                self.is_over = true;
                return Some(Err(broken));
            }
            if self.pending.is_empty() && !self.is_over {
                tokio::select! {
                    changed = self.changes.changed() => changed.ok()?,
                    () = &mut self.until => self.is_over = true,
                }
            }
        }
    }

    fn catch_up(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.registered.shared);
        let state = shared.look();
        if state.is_away {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match state.cut.filter(|_| state.cuts != self.cuts) {
            Some(Cut::Break) => return Err(io::ErrorKind::ConnectionReset.into()),
            Some(Cut::End) => self.is_over = true,
            Some(Cut::Gone) => self.gone(&state),
            None => match state.store.since(self.told) {
                None => self.gone(&state),
                Some(changes) => {
                    for change in changes {
                        let Watch { kind, namespace, selector, .. } = &self.watch;
                        if let Some((event, object)) = change.told(kind, namespace, selector) {
                            self.tell(event, object);
                        } else if change.key.is_none() && self.watch.has_bookmarks {
                            self.bookmark(change.version, &json!({}));
                        }
                    }
                    self.told = state.store.version();
                }
            },
        }
        Ok(())
    }

    fn gone(&mut self, state: &State) {
        let message = format!("too old resource version: {} ({})", self.told, state.store.version());
        self.push(&json!({ "type": "ERROR", "object": Failure::new(410, message).status() }));
        self.is_over = true;
    }
}
