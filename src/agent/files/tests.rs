use std::io;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// A disk that tells what it is given, and takes it only when it is let.
struct Disk {
    files: Files,
    given: UnboundedReceiver<Wanted>,
    takes: mpsc::Sender<Result<Written, HostFileError>>,
    metrics: Arc<Metrics>,
}

fn disk() -> Disk {
    let (sender, given) = unbounded_channel();
    let (takes, outcomes) = mpsc::channel();
    let outcomes = Mutex::new(outcomes);
    let write = move |wanted: &Wanted| {
        sender.send(wanted.clone()).unwrap();
        vec![outcomes.lock().unwrap().recv().unwrap()]
    };
    let metrics = Arc::new(Metrics::new());
    Disk { files: Files::keep_by(write, Arc::clone(&metrics)), given, takes, metrics }
}

impl Disk {
    async fn is_given(&mut self, wanted: &Wanted) {
        assert_eq!(self.given.recv().await.as_ref(), Some(wanted));
    }

    fn takes_it(&self) {
        self.takes.send(Ok(Written::Changed)).unwrap();
    }
}

fn wanted(mtu: u32) -> Wanted {
    dated(mtu, "2026-01-01")
}

fn dated(mtu: u32, date: &str) -> Wanted {
    let document = format!("{{\n  \"observed_at\": \"{date}\",\n  \"safe\": {mtu}\n}}\n");
    Wanted { document, mtu: LinkMtu::new(mtu).ok() }
}

#[tokio::test]
async fn a_disk_that_is_busy_keeps_nobody_and_is_then_given_the_last_value_alone() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    for mtu in [1300, 1350, 1450] {
        disk.files.want(wanted(mtu));
    }
    disk.takes_it();
    disk.is_given(&wanted(1450)).await;
    disk.takes_it();
    disk.files.finish().await;
    assert_eq!(disk.given.recv().await, None);
}

/// Of what is probed from inside of namespaces too.
#[test]
fn dates_alone_are_no_news_wherever_they_are() {
    let document = |date: &str| {
        let probed =
            format!("[\n    {{\n      \"mtu\": 1450,\n      \"observed_at\": \"{date}\"\n    }}\n  ]");
        format!("{{\n  \"observed_at\": \"{date}\",\n  \"nested_paths\": {probed}\n}}\n")
    };
    assert_eq!(undated(&document("2026-01-01")), undated(&document("2026-01-02")));
    assert!(undated(&document("2026-01-01")).contains("1450"));
}

#[tokio::test]
async fn what_is_wanted_last_is_written_although_the_agent_stops() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    disk.files.want(wanted(1300));
    for _ in 0..2 {
        disk.takes_it();
    }
    disk.files.finish().await;
    assert_eq!(disk.given.recv().await, Some(wanted(1300)));
    assert!(disk.metrics.render().contains("host_file_writes_total{result=\"changed\"} 2"));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
async fn a_disk_that_hangs_keeps_the_agent_for_a_second() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    let began = Instant::now();
    disk.files.finish().await;
    assert!((LAST..2 * LAST).contains(&began.elapsed()), "{:?}", began.elapsed());
    // The test's own runtime waits for it, other than the agent's.
    disk.takes.send(Ok(Written::Changed)).unwrap();
}

#[tokio::test]
async fn another_date_is_no_news() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    disk.takes_it();
    disk.files.want(dated(1400, "2027-02-02"));
    disk.files.finish().await;
    assert_eq!(disk.given.recv().await, None);
}

#[tokio::test]
async fn what_could_not_be_written_is_written_when_it_is_wanted_again() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    let source = io::Error::from_raw_os_error(28);
    disk.takes.send(Err(HostFileError::Replace { path: "/".into(), source })).unwrap();
    disk.files.want(dated(1400, "2027-02-02"));
    disk.is_given(&dated(1400, "2027-02-02")).await;
    disk.takes_it();
    disk.files.finish().await;
    let metrics = disk.metrics.render();
    for result in ["disk_full", "changed"] {
        assert!(metrics.contains(&format!("host_file_writes_total{{result=\"{result}\"}} 1")), "{metrics}");
    }
}
