//! The thread of the guards, and which namespaces have one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Instant;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tracing::{debug, warn};

use super::guard::{Guard, Shared};
use crate::agent::clock;
use crate::domain::answer::Rules;
use crate::domain::error::with_sources;
use crate::domain::link::Ifindex;
use crate::kernel::clamp_watch::{ClampSocket, ClampWatch};
use crate::kernel::link_events::LinkSocket;
use crate::kernel::netns::NetnsFile;
use crate::kernel::process_end::ProcessEnd;
use crate::kernel::procfs;
use crate::publish::metrics::Metrics;
use crate::publish::tune::{Ledger, NetnsId};

/// A namespace that is to be guarded.
#[derive(Debug)]
pub struct Order {
    /// The way into it. It is not kept, or the namespace would live as long.
    pub netns: NetnsFile,
    /// What people call it.
    pub called: String,
    /// How its new links are to be answered, if they are.
    pub links: Option<Rules>,
    /// Whether it is told when somebody touches the clamp.
    pub clamp: bool,
    /// Processes in it. A guarded namespace does not end by itself when those do, and so says nothing either.
    pub witnesses: Vec<u32>,
}

/// What guards see and others act upon.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Somebody touched a clamp.
    pub touched: Arc<Notify>,
    /// A process has ended: all is to be looked at again.
    pub ended: Arc<Notify>,
    /// What somebody else wants otherwise is left alone until then.
    pub contested: Arc<Mutex<Contested>>,
}

/// By namespace: a link, or else the clamp.
pub type Contested = BTreeMap<(NetnsId, Option<Ifindex>), Instant>;

impl News {
    pub(super) fn contested(&self) -> MutexGuard<'_, Contested> {
        self.contested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_contested(&self, what: (NetnsId, Option<Ifindex>), now: Instant) -> bool {
        self.contested().get(&what).is_some_and(|until| now < *until)
    }

    /// The clamp of a namespace was touched. While it is left alone, nobody has to look.
    fn touch(&self, netns: NetnsId, now: Instant) {
        if !self.is_contested((netns, None), now) {
            self.touched.notify_one();
        }
    }
}

/// The guards at work. Dropped, they end.
#[derive(Debug)]
pub struct Guards {
    words: mpsc::UnboundedSender<Word>,
}

#[derive(Debug)]
enum Word {
    Order(Vec<Order>),
    Withdraw(BTreeSet<NetnsId>, blocking::Sender<()>),
}

impl Guards {
    /// Starts their thread; nothing is guarded yet.
    pub fn start(ledger: Arc<Ledger>, metrics: Arc<Metrics>, news: News) -> io::Result<Self> {
        let (words, spoken) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let shared = Rc::new(Shared { ledger, metrics, news, is_unrecorded: Cell::default() });
            LocalSet::new().block_on(&runtime, keep(spoken, shared));
        };
        thread::Builder::new().name("tuner".to_owned()).spawn(work)?;
        Ok(Self { words })
    }

    /// From now on these namespaces are guarded, and no others.
    pub fn order(&self, orders: Vec<Order>) {
        self.words.send(Word::Order(orders)).expect("the thread ends after this");
    }

    /// Leaves these namespaces alone. When it returns, nothing is written there any more.
    pub fn withdraw(&self, namespaces: BTreeSet<NetnsId>) {
        let (done, is_done) = blocking::channel();
        self.words.send(Word::Withdraw(namespaces, done)).expect("the thread ends after this");
        is_done.recv().expect("the thread ends after this");
    }
}

/// Who stands in one namespace.
#[derive(Default)]
struct Post {
    links: Option<(watch::Sender<Rules>, Task)>,
    clamp: Option<Task>,
    witness: Option<(u32, Task)>,
}

/// Ends when it is dropped, at one of its awaits.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn keep(mut spoken: mpsc::UnboundedReceiver<Word>, shared: Rc<Shared>) {
    let mut posts: BTreeMap<NetnsId, Post> = BTreeMap::new();
    while let Some(word) = spoken.recv().await {
        match word {
            Word::Order(orders) => {
                let mut left = std::mem::take(&mut posts);
                for order in orders {
                    let id = NetnsId::of(&order.netns);
                    let post = left.remove(&id).unwrap_or_default();
                    posts.insert(id, post.follow(order, &shared));
                }
            }
            Word::Withdraw(namespaces, done) => {
                for post in namespaces.iter().filter_map(|netns| posts.remove(netns)) {
                    if let Some((_rules, mut task)) = post.links {
                        task.0.abort();
                        let _it_was_aborted = (&mut task.0).await;
                    }
                }
                let _nobody_waits_any_more = done.send(());
            }
        }
        shared.metrics.tuned_namespaces(posts.values().filter(|post| post.links.is_some()).count());
    }
}

impl Post {
    fn follow(self, order: Order, shared: &Rc<Shared>) -> Self {
        let Order { netns, called, links, clamp, witnesses } = order;
        let has_ended = |task: &Task| task.0.is_finished();
        let links = links.and_then(|rules| match self.links.filter(|(_, task)| !has_ended(task)) {
            Some((told, task)) => {
                told.send_if_modified(|old| {
                    let is_news = *old != rules;
                    *old = rules;
                    is_news
                });
                Some((told, task))
            }
            None => answer_links(&netns, &called, rules, shared),
        });
        let watched = self.clamp.filter(|task| !has_ended(task));
        let clamp = if clamp { watched.or_else(|| watch_clamp(&netns, &called, shared)) } else { None };
        let known = self.witness.filter(|(pid, task)| witnesses.contains(pid) && !has_ended(task));
        let witness = known.or_else(|| watch_process(NetnsId::of(&netns), &witnesses, shared));
        Self { links, clamp, witness }
    }
}

/// Has all be looked at again when one of the processes ends: the namespace may be nobody's any more, and is let go then.
/// At once, if those have ended or left since they were seen in there.
fn watch_process(netns: NetnsId, pids: &[u32], shared: &Rc<Shared>) -> Option<(u32, Task)> {
    let ended = &shared.news.ended;
    let mut is_one_gone = false;
    for pid in pids {
        match witness(netns, *pid) {
            Ok(Some(process)) => {
                let ended = Arc::clone(ended);
                let task = spawn_local(async move {
                    if process.ended().await.is_ok() {
                        ended.notify_one();
                    }
                });
                return Some((*pid, Task(task)));
            }
            Ok(None) => is_one_gone = true,
            // Whoever looks again finds the same.
            Err(error) => debug!(pid, %error, "its end is not told"),
        }
    }
    if is_one_gone {
        ended.notify_one();
    }
    None
}

/// The end of a process, if it is in the namespace still.
fn witness(netns: NetnsId, pid: u32) -> io::Result<Option<ProcessEnd>> {
    // First, so that no other process with its pid is asked where it is.
    let Some(process) = ProcessEnd::of(pid)? else { return Ok(None) };
    let is_in = procfs::netns(pid)? == Some((netns.device, netns.inode));
    Ok(is_in.then_some(process))
}

fn answer_links(
    netns: &NetnsFile,
    called: &str,
    rules: Rules,
    shared: &Rc<Shared>,
) -> Option<(watch::Sender<Rules>, Task)> {
    let socket = match netns.run(LinkSocket::open) {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return not_guarded(called, &error),
        Err(error) => return not_guarded(called, &error),
    };
    let (rules, followed) = watch::channel(rules);
    match Guard::new(NetnsId::of(netns), called.to_owned(), socket, followed, Rc::clone(shared)) {
        Ok(guard) => {
            debug!(netns = called, "new links are answered");
            Some((rules, Task(spawn_local(guard.run()))))
        }
        Err(error) => not_guarded(called, &error),
    }
}

fn watch_clamp(netns: &NetnsFile, called: &str, shared: &Rc<Shared>) -> Option<Task> {
    let socket = match netns.run(ClampSocket::open) {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return not_guarded(called, &error),
        Err(error) => return not_guarded(called, &error),
    };
    let mut watch = match ClampWatch::listen(socket) {
        Ok(watch) => watch,
        Err(error) => return not_guarded(called, &error),
    };
    let (called, news, id) = (called.to_owned(), shared.news.clone(), NetnsId::of(netns));
    Some(Task(spawn_local(async move {
        let error = loop {
            match watch.touched().await {
                Ok(()) => news.touch(id, clock()),
                Err(error) => break error,
            }
        };
        warn!(netns = called, %error, "the clamp is not looked after until the next survey");
    })))
}

fn not_guarded<T>(called: &str, error: &dyn std::error::Error) -> Option<T> {
    warn!(netns = called, error = %with_sources(error), "what happens there is left to the next survey");
    None
}

#[cfg(test)]
mod tests;
