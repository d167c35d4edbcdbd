//! All that the server knows, and who is told when it changes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    access::{Account, Admission},
    fault::Faults,
    kind::{Kind, built_ins},
    record::Recorded,
    store::Store,
};

/// How a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server ends it in good order, as it does with every watch in time.
    End,
    /// The connection breaks in the middle.
    Break,
    /// With 410 Gone; and all that happened before is forgotten, so that a watch from an earlier version is told the
    /// same.
    Gone,
}

/// A watch that is established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Number of its request.
    pub request: usize,
    /// Its path.
    pub path: String,
    /// Its `fieldSelector`.
    pub field_selector: String,
    /// Its `User-Agent`.
    pub user_agent: String,
    /// Its `Authorization`.
    pub authorization: String,
}

/// What stands for the admission policies: a refusal is told.
#[derive(Default)]
pub(super) struct Policy(pub(super) Option<Box<Admit>>);

type Admit = dyn Fn(&Admission) -> Result<(), String> + Send;

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Policy({})", self.0.is_some())
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) kinds: Vec<Arc<Kind>>,
    pub(super) store: Store,
    pub(super) requests: Vec<Recorded>,
    pub(super) faults: Faults,
    pub(super) policy: Policy,
    /// By bearer token.
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) watches: BTreeMap<usize, Watching>,
    pub(super) is_away: bool,
    /// Grows whenever what hangs is let go.
    pub(super) releases: u64,
    /// Grows whenever all watches are cut.
    pub(super) cuts: u64,
    pub(super) cut: Option<Cut>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let state = State { kinds: built_ins(), ..State::default() };
        Self { state: Mutex::new(state), changed: watch::Sender::new(()) }
    }

    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and wakes everybody who waits for that.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.look());
        self.changed.send_replace(());
        changed
    }

    /// Whoever subscribes before they look miss nothing.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until the state is as asked.
    pub(super) async fn until<T>(&self, mut answer: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.changes();
        loop {
            if let Some(answer) = answer(&self.look()) {
                return answer;
            }
            changes.changed().await.expect("the sender lives as long as what is borrowed here");
        }
    }
}
