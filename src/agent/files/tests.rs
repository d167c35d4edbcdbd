use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::publish::host_file::{DAEMON_JSON, DIND_MTU, SURVEY_JSON};

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
    assert!(undated(&document("2026-01-01")).eq(undated(&document("2026-01-02"))));
    assert!(undated(&document("2026-01-01")).any(|line| line.contains("1450")));
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
async fn another_date_alone_is_not_written() {
    let mut disk = disk();
    disk.files.want(wanted(1400));
    disk.is_given(&wanted(1400)).await;
    disk.takes_it();
    disk.files.want(dated(1400, "2027-02-02"));
    disk.is_given(&wanted(1400)).await;
    disk.takes_it();
    disk.files.finish().await;
    assert_eq!(disk.given.recv().await, None);
}

/// By whoever cleans `/run`, a `chmod` or an editor.
#[tokio::test]
async fn what_somebody_removes_or_alters_is_as_it_was_after_the_next_survey_although_nothing_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join("mtu-agent").join(name);
    let host_files = HostFiles::open(directory.path().join("mtu-agent")).unwrap();
    let (written, mut writes) = unbounded_channel();
    let write = move |wanted: &Wanted| {
        let outcomes = write(&host_files, wanted);
        written.send(()).unwrap();
        outcomes
    };
    let files = Files::keep_by(write, Arc::new(Metrics::new()));
    files.want(wanted(1400));
    writes.recv().await.unwrap();
    let spoilt: [&dyn Fn() -> io::Result<()>; 4] = [
        &|| fs::remove_dir_all(directory.path().join("mtu-agent")),
        &|| fs::write(path(DIND_MTU), "9000\n"),
        &|| fs::set_permissions(path(DAEMON_JSON), Permissions::from_mode(0o600)),
        &|| fs::remove_file(path(SURVEY_JSON)),
    ];
    for (day, spoil) in spoilt.iter().enumerate() {
        spoil().unwrap();
        files.want(dated(1400, &format!("2026-02-0{day}")));
        timeout(PATIENCE, writes.recv()).await.expect("nothing is written").unwrap();
        assert_eq!(fs::read_to_string(path(DIND_MTU)).unwrap(), "1400\n", "day {day}");
        assert_eq!(fs::metadata(path(DAEMON_JSON)).unwrap().permissions().mode() & 0o777, 0o644, "day {day}");
        assert_eq!(fs::read_to_string(path(SURVEY_JSON)).unwrap(), wanted(1400).document, "day {day}");
    }
    files.finish().await;
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
