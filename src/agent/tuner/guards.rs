//! The thread of the guards, and which namespaces have one.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tracing::{debug, warn};

use super::guard::{Guard, Shared};
use crate::domain::answer::Rules;
use crate::domain::error::with_sources;
use crate::kernel::link_events::LinkSocket;
use crate::kernel::netns::NetnsFile;
use crate::publish::metrics::Metrics;
use crate::publish::tune::{Ledger, NetnsId};

/// A namespace whose new links are to be answered.
#[derive(Debug)]
pub struct Order {
    /// The way into it. It is not kept, or the namespace would live as long.
    pub netns: NetnsFile,
    /// What people call it.
    pub called: String,
    /// How.
    pub rules: Rules,
}

/// The guards at work. Dropped, they end.
#[derive(Debug)]
pub struct Guards {
    orders: mpsc::UnboundedSender<Vec<Order>>,
}

impl Guards {
    /// Starts their thread; nothing is guarded yet.
    pub fn start(ledger: Arc<Ledger>, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || LocalSet::new().block_on(&runtime, keep(ordered, ledger, metrics));
        thread::Builder::new().name("tuner".to_owned()).spawn(work)?;
        Ok(Self { orders })
    }

    /// From now on these namespaces are guarded, and no others.
    pub fn order(&self, orders: Vec<Order>) {
        self.orders.send(orders).expect("the thread ends after this");
    }
}

struct Post {
    rules: watch::Sender<Rules>,
    task: JoinHandle<()>,
}

async fn keep(mut ordered: mpsc::UnboundedReceiver<Vec<Order>>, ledger: Arc<Ledger>, metrics: Arc<Metrics>) {
    let shared = Rc::new(Shared { ledger, metrics });
    let mut posts: BTreeMap<NetnsId, Post> = BTreeMap::new();
    while let Some(mut orders) = ordered.recv().await {
        while let Ok(later) = ordered.try_recv() {
            orders = later;
        }
        let mut left = std::mem::take(&mut posts);
        for Order { netns, called, rules } in orders {
            let id = NetnsId::of(&netns);
            let post = left.remove(&id).filter(|post| !post.task.is_finished());
            let post = match post {
                Some(post) => {
                    post.rules.send_if_modified(|old| {
                        *old != rules && {
                            *old = rules;
                            true
                        }
                    });
                    Some(post)
                }
                None => post_guard(&netns, &called, rules, &shared),
            };
            posts.extend(post.map(|post| (id, post)));
        }
        // Those that are left end with their rules.
        drop(left);
        shared.metrics.tuned_namespaces(posts.len());
    }
}

fn post_guard(netns: &NetnsFile, called: &str, rules: Rules, shared: &Rc<Shared>) -> Option<Post> {
    let socket = match netns.run(LinkSocket::open) {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return not_guarded(called, &error),
        Err(error) => return not_guarded(called, &error),
    };
    let (rules, followed) = watch::channel(rules);
    match Guard::new(NetnsId::of(netns), called.to_owned(), socket, followed, Rc::clone(shared)) {
        Ok(guard) => {
            debug!(netns = called, "new links are answered");
            Some(Post { rules, task: spawn_local(guard.run()) })
        }
        Err(error) => not_guarded(called, &error),
    }
}

fn not_guarded<T>(called: &str, error: &dyn std::error::Error) -> Option<T> {
    warn!(netns = called, error = %with_sources(error), "new links are not answered until the next survey");
    None
}
