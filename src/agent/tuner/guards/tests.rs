use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use futures_util::FutureExt as _;
use mtu_lab::docker::{NetnsLab, Place};

use super::*;

/// Guards of no namespace, which write nothing.
fn guards() -> (Guards, News) {
    let (ledger, metrics, news) = (Ledger::new(Path::new("/nowhere")), Metrics::new(), News::default());
    (Guards::start(Arc::new(ledger), Arc::new(metrics), news.clone()).unwrap(), news)
}

/// Has this process' own namespace watched by those processes. Tells whether all is to be looked at again at once.
fn watch(guards: &Guards, news: &News, witnesses: &[u32]) -> bool {
    let (netns, called, witnesses) = (NetnsFile::own().unwrap(), "here".to_owned(), witnesses.to_vec());
    guards.order(vec![Order { netns, called, links: None, clamp: false, witnesses }]);
    guards.withdraw(BTreeSet::new()); // it returns when the order is carried out
    news.ended.notified().now_or_never().is_some()
}

fn sleeper() -> Child {
    Command::new("sleep").arg("infinity").spawn().unwrap()
}

fn end(mut child: Child) -> u32 {
    child.kill().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn a_touched_clamp_is_told_unless_it_is_left_alone() {
    let (news, now) = (News::default(), clock());
    let [here, there] = [1, 2].map(|inode| NetnsId { device: 4, inode });
    let is_told = |netns, now| {
        news.touch(netns, now);
        news.touched.notified().now_or_never().is_some()
    };
    let until = now + Duration::from_mins(1);
    news.contested().extend([((here, None), until), ((there, Ifindex::new(5)), until)]);
    assert!(!is_told(here, now) && is_told(here, until));
    assert!(is_told(there, now), "it is a link there");
}

#[test]
fn a_process_that_has_ended_before_it_is_watched_has_all_looked_at_again() {
    let (guards, news) = guards();
    let ended = end(sleeper());
    assert!(watch(&guards, &news, &[ended]));
    assert!(watch(&guards, &news, &[ended]), "it is not there when it is looked at again");
    assert!(!watch(&guards, &news, &[]), "a file holds the namespace");
    assert!(!watch(&guards, &news, &[ended, std::process::id()]), "the next one tells");
}

#[tokio::test]
async fn the_end_of_the_one_that_is_watched_is_told_whichever_is_named_first_later() {
    let (guards, news) = guards();
    let child = sleeper();
    assert!(!watch(&guards, &news, &[child.id()]));
    assert!(!watch(&guards, &news, &[std::process::id(), child.id()]));
    end(child);
    news.ended.notified().await;
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_process_that_has_moved_to_another_namespace_tells_nothing_of_this_one() {
    let lab = NetnsLab::new().unwrap();
    let process = lab.spawn(Place::Node, &mut NetnsLab::command(&["sleep", "infinity"])).unwrap();
    let (guards, news) = guards();
    assert!(watch(&guards, &news, &[process.pid()]));
    assert!(!watch(&guards, &news, &[process.pid(), std::process::id()]));
}
