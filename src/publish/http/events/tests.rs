use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::publish::http::Limits;
use crate::publish::http::tests::{Running, surveyed};
use crate::publish::metrics::Metrics;

/// A client that follows the surveys.
struct Client(BufReader<TcpStream>);

impl Client {
    fn start(server: &Running) -> Self {
        Self::again(server, "")
    }

    /// One that was here before, as these headers say.
    fn again(server: &Running, headers: &str) -> Self {
        let mut stream = server.connect();
        let request = format!("GET /v1/events HTTP/1.1\r\nHost: agent\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.until("HTTP/1.1 200 OK");
        client.until("content-type: text/event-stream");
        client.until("retry: 1000");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "the stream ended");
        line.trim_end().to_owned()
    }

    fn until(&mut self, wanted: &str) {
        while self.line() != wanted {}
    }

    /// Id and data of the next event.
    fn event(&mut self) -> (String, Value) {
        self.until("event: survey");
        let (id, data) = (self.line(), self.line());
        let value =
            |line: &str, name| line.strip_prefix(name).unwrap_or_else(|| panic!("{line:?}")).to_owned();
        (value(&id, "id: "), serde_json::from_str(&value(&data, "data: ")).unwrap())
    }

    /// All that comes until the server ends the stream.
    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

#[test]
fn each_survey_is_an_event_that_says_how_it_stands() {
    let server = Running::start();
    let mut client = Client::start(&server);
    let mut ids = BTreeSet::new();
    for round in 0..3 {
        surveyed(&server.status, format!("{round}"));
        let (id, told) = client.event();
        assert!(ids.insert(id), "{ids:?}");
        let expected = json!({
            "observed_at": "2026-01-02T03:04:05Z", "state": "mismatch", "safe_dind_mtu": 1450, "mismatches": 5,
        });
        assert_eq!(told, expected);
    }
}

#[test]
fn who_comes_gets_the_last_survey_at_once_unless_it_has_it() {
    let server = Running::start();
    surveyed(&server.status, "1");
    let (first, _) = Client::start(&server).event();
    let mut knows = Client::again(&server, &format!("Last-Event-ID: {first}\r\n"));
    surveyed(&server.status, "2");
    let (second, _) = knows.event();
    assert_ne!(second, first);
    let mut missed = Client::again(&server, &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(missed.event().0, second);
}

#[test]
fn the_id_is_that_of_the_page_so_that_a_page_knows_whether_it_is_old() {
    let server = Running::start();
    surveyed(&server.status, "1");
    let (id, _) = Client::start(&server).event();
    assert!(server.get("/").body.contains(&format!("<body data-version=\"{id}\" ")));
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_gets_the_last_survey_and_none_is_kept_for_it() {
    let status = Arc::new(Status::new(Arc::new(Metrics::new()), now() + Duration::from_hours(1)));
    let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut follower = Follower::new(Arc::clone(&status), None, slot);
    assert!(follower.next().await.is_some(), "when to come again");
    let mut before = Vec::new();
    for round in 0..100 {
        surveyed(&status, format!("{round}"));
        before.push(Arc::downgrade(&status.survey().unwrap()));
    }
    assert!(follower.next().await.is_some());
    assert_eq!(follower.seen, Some(status.survey().unwrap().tag.clone()));
    assert_eq!(before.iter().filter(|survey| survey.strong_count() > 0).count(), 1);
    assert!(follower.next().await.is_none(), "there was one event");
}

#[test]
fn who_takes_nothing_is_cut_off() {
    let connection = Duration::from_millis(100);
    let server = Running::with(Limits { connection, ..Limits::default() }, crate::publish::http::Pages::All);
    let client = Client::start(&server);
    assert_eq!(client.rest(), "\n\r\n", "cut in the middle of the stream");
}

#[test]
fn too_many_are_refused_and_hold_up_nobody_else() {
    let server = Running::start();
    let mut followers: Vec<_> = (0..MOST_FOLLOWERS).map(|_| Client::start(&server)).collect();
    let refused = server.get("/v1/events");
    assert_eq!((refused.status, refused.body.as_str()), (503, TOO_MANY.1));
    assert_eq!(server.get("/healthz").status, 200);
    surveyed(&server.status, "1");
    assert_eq!(server.get("/").status, 200);
    for follower in &mut followers {
        follower.event();
    }
}

#[test]
fn who_leaves_makes_room() {
    let status = Arc::new(Status::new(Arc::new(Metrics::new()), now() + Duration::from_hours(1)));
    let followed = Followed::new(status);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = || runtime.block_on(events(State(followed.clone()), HeaderMap::new()));
    let answers: Vec<_> = (0..=MOST_FOLLOWERS).map(|_| ask()).collect();
    assert_eq!(answers[MOST_FOLLOWERS].status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(answers);
    assert_eq!(ask().status(), StatusCode::OK);
}

#[test]
fn a_shutdown_ends_the_streams_at_once() {
    let shutdown = Duration::from_hours(1);
    let mut server =
        Running::with(Limits { shutdown, ..Limits::default() }, crate::publish::http::Pages::All);
    let client = Client::start(&server);
    server.stop();
    server.wait();
    assert_eq!(client.rest(), "\n\r\n0\r\n\r\n", "an end, not a break");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_by_itself_before_its_connection_is_cut() {
    assert!(LASTS < Limits::default().connection);
    let status = Arc::new(Status::new(Arc::new(Metrics::new()), now() + Duration::from_hours(1)));
    let slot = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let mut follower = Follower::new(status, None, slot);
    assert!(follower.next().await.is_some(), "when to come again");
    assert!(follower.next().await.is_none(), "nothing was surveyed in that time");
}

#[tokio::test(start_paused = true)]
async fn who_comes_again_is_told_that_the_agent_hangs() {
    let status = Arc::new(Status::new(Arc::new(Metrics::new()), now() + Duration::from_hours(1)));
    surveyed(&status, "1");
    let tag = status.survey().unwrap().tag.clone();
    let slots = Arc::new(Semaphore::new(1));
    let mut seen = Some(tag.clone());
    for (due, expected) in [(0, Some(format!("{tag}-late"))), (3600, Some(tag.clone()))] {
        status.turned(now() + Duration::from_secs(due));
        let slot = Arc::clone(&slots).try_acquire_owned().unwrap();
        let mut follower = Follower::new(Arc::clone(&status), seen.take(), slot);
        assert!(follower.next().await.is_some() && follower.next().await.is_some());
        assert_eq!(follower.seen, expected);
        seen = follower.seen.clone();
    }
}

#[expect(clippy::disallowed_methods, reason = "what a request is compared with")]
fn now() -> Instant {
    Instant::now()
}
