use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::agent::tuner::{News, Policy};
use crate::kernel::netns::NetnsFile;
use crate::publish::metrics::Metrics;
use crate::publish::tune::{Ledger, NetnsId};

/// A kernel gives the inode of one that ended to the next one.
#[test]
fn whoever_set_back_what_was_written_is_forgotten_with_the_namespace() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ledger, metrics, news) = (Ledger::new(directory.path()), Arc::new(Metrics::new()), News::default());
    let policy = Policy { permission: Permission::Links, all_docker: true };
    let mut planner = Planner::new(policy, Arc::new(ledger), metrics, None, news.clone());
    let there = NetnsId::of(&NetnsFile::own().expect("it is there"));
    let ended = NetnsId { inode: 1, ..there };
    let now = clock();
    for netns in [there, ended] {
        planner.undone.entry((netns, None)).or_default().strife.written(now);
        news.contested().insert((netns, None), now + Duration::from_mins(1));
    }
    planner.forget(&Doors::open().expect("they can be seen")).expect("nothing is recorded");
    let undone: Vec<_> = planner.undone.keys().copied().collect();
    let contested: Vec<_> = news.contested().keys().copied().collect();
    assert_eq!((undone, contested), (vec![(there, None)], vec![(there, None)]));
}
