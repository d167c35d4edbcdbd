use std::io::{Read as _, Write as _};
use std::net::TcpStream as Client;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::*;
use crate::publish::metrics::Metrics;
use crate::publish::page::policy;
use crate::publish::sample::seed_problem;

/// A server on a thread of its own.
pub(super) struct Running {
    address: SocketAddr,
    pub(super) status: Arc<Status>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(super) fn start() -> Self {
        Self::with(Limits::default(), Pages::All)
    }

    pub(super) fn with(limits: Limits, pages: Pages) -> Self {
        let status = Arc::new(Status::new(Arc::new(Metrics::new()), now() + Duration::from_hours(1)));
        let (stop, stopped) = oneshot::channel();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut server = runtime.block_on(Server::bind(([127, 0, 0, 1], 0).into())).unwrap();
        server.limits = limits;
        let (address, shared) = (server.address(), Arc::clone(&status));
        let stopped = async { drop(stopped.await) };
        let thread = thread::spawn(move || runtime.block_on(server.run(shared, pages, stopped)));
        Self { address, status, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address).unwrap()
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: agent\r\n\r\n"))
    }

    pub(super) fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.write_all(request.as_bytes()).unwrap();
        Answer::read(client)
    }

    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(super) fn wait(&mut self) {
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}

/// All that a server said before it closed the connection.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    fn read(mut client: Client) -> Self {
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{said:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        headers.filter(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// A survey is done, and programs get this of it.
pub(super) fn surveyed(status: &Status, json: impl Into<String>) {
    status.surveyed(json.into(), Arc::new(seed_problem(Vec::new())));
}

#[expect(clippy::disallowed_methods, reason = "what a request is compared with")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn metrics_are_told_in_prometheus_text_format() {
    let server = Running::start();
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    assert!(answer.body.contains("\nmtu_agent_build_info{version=\""), "{}", answer.body);
}

#[test]
fn healthy_is_an_agent_whose_loop_turns_in_time() {
    let server = Running::start();
    let answer = server.get("/healthz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    server.status.turned(now());
    let answer = server.get("/healthz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("the agent's loop should have turned 0."), "{}", answer.body);
    server.status.turned(now() + Duration::from_mins(1));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn overdue_is_told_by_how_much() {
    let due = now();
    let status = Status::new(Arc::new(Metrics::new()), due);
    assert_eq!(status.overdue(due), None);
    assert_eq!(status.overdue(due + Duration::from_secs(2)), Some(Duration::from_secs(2)));
    status.turned(due + Duration::from_secs(2));
    assert_eq!(status.overdue(due + Duration::from_secs(1)), None);
}

#[test]
fn ready_is_an_agent_that_has_done_a_survey() {
    let server = Running::start();
    for path in ["/readyz", "/v1/survey"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.body.as_str()), (503, "no survey is done yet\n"), "{path}");
    }
    surveyed(&server.status, "{\"a\":1}");
    assert_eq!(server.get("/readyz").status, 200);
    let answer = server.get("/v1/survey");
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"a\":1}"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[test]
fn a_survey_that_the_client_has_is_not_sent_again() {
    let server = Running::start();
    surveyed(&server.status, "{\"a\":1}");
    let tag = server.get("/v1/survey").header("etag").unwrap().to_owned();
    let ask = |tags: &str| {
        server.ask(&format!("GET /v1/survey HTTP/1.1\r\nHost: agent\r\nIf-None-Match: {tags}\r\n\r\n"))
    };
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let answer = ask(&tags);
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{tags}");
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
    }
    assert_eq!(ask("\"other\"").status, 200);
    surveyed(&server.status, "{\"a\":2}");
    let answer = ask(&tag);
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"a\":2}"));
    assert_ne!(answer.header("etag"), Some(tag.as_str()));
}

#[test]
fn other_paths_are_404_and_other_methods_405() {
    let server = Running::start();
    for path in ["/index.html", "/metrics/", "/v1", "/v1/survey/x", "/%2e%2e/metrics", "//metrics"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
    for path in ["/", "/metrics", "/healthz", "/readyz", "/v1/survey", "/v1/events"] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: agent\r\nContent-Length: 0\r\n\r\n");
            let answer = server.ask(&request);
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"));
        }
    }
    let answer = server.ask("HEAD /metrics HTTP/1.1\r\nHost: agent\r\n\r\n");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

#[test]
fn an_address_for_others_tells_only_metrics() {
    let server = Running::with(Limits::default(), Pages::Metrics);
    surveyed(&server.status, "{}");
    assert_eq!(server.get("/metrics").status, 200);
    for path in ["/", "/healthz", "/readyz", "/v1/survey", "/v1/events"] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn what_is_no_request_ends_its_own_connection_only() {
    let server = Running::start();
    assert_eq!(server.ask("nonsense\r\n\r\n").status, 400);
    let long = "x".repeat(2 * REQUEST_BYTES);
    let mut client = server.connect();
    // The server may have closed the connection before all of it is written.
    let _refused = client.write_all(format!("GET /metrics HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes());
    let mut said = Vec::new();
    let _reset = client.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn every_answer_ends_its_connection() {
    let server = Running::start();
    let answer = server.ask("GET /healthz HTTP/1.1\r\nHost: agent\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn a_client_that_does_not_finish_its_request_is_let_go() {
    let head = Duration::from_millis(50);
    let server = Running::with(Limits { connections: 2, head, ..Limits::default() }, Pages::All);
    let slow = [(); 4].map(|()| {
        let mut slow = server.connect();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHost:").unwrap();
        slow
    });
    assert_eq!(
        server.get("/healthz").status,
        200,
        "it waits behind them, and no longer than they are allowed"
    );
    for mut slow in slow {
        let mut said = String::new();
        slow.read_to_string(&mut said).unwrap();
        assert!(!said.contains(" 200 "), "{said}");
    }
}

#[test]
fn a_client_that_does_not_take_its_answer_is_let_go() {
    let connection = Duration::from_millis(100);
    let server = Running::with(Limits { connections: 1, connection, ..Limits::default() }, Pages::All);
    let large = 64 << 20;
    surveyed(&server.status, "x".repeat(large));
    let mut slow = server.connect();
    slow.write_all(b"GET /v1/survey HTTP/1.1\r\nHost: agent\r\n\r\n").unwrap();
    assert_eq!(server.get("/healthz").status, 200, "it waits for the one connection that there may be");
    let mut taken = Vec::new();
    let _reset = slow.read_to_end(&mut taken);
    assert!(taken.len() < large, "{}", taken.len());
}

#[test]
fn scrapes_are_whole_while_everything_changes() {
    let server = Running::start();
    let survey = |round: usize| format!("[{}{round}]", "0,".repeat(1000 * (round % 5)));
    surveyed(&server.status, survey(0));
    thread::scope(|scope| {
        let scrape = || {
            for _ in 0..50 {
                let answer = server.get("/v1/survey");
                let numbers: Vec<usize> = serde_json::from_str(&answer.body).unwrap();
                assert_eq!(survey(*numbers.last().unwrap()), answer.body);
                assert_eq!(server.get("/metrics").status, 200);
            }
        };
        let scrapers = [(); 4].map(|()| scope.spawn(scrape));
        for round in 0.. {
            if scrapers.iter().all(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            surveyed(&server.status, survey(round));
            server.status.turned(now() + Duration::from_hours(1));
            server.status.metrics.count_netlink_events(1);
        }
    });
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let server = Running::start();
    let bind = |address| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Server::bind(address)).expect_err("it is refused")
    };
    let address = server.address;
    let expected = format!(
        "{address} is in use: end the process that listens there, or give another address to listen at"
    );
    assert_eq!(bind(address).to_string(), expected);
    let error = bind("192.0.2.1:9817".parse().unwrap());
    assert!(error.to_string().starts_with("no link that is up has the address 192.0.2.1: "), "{error}");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_restarted_agent_takes_over_its_port_at_once() {
    let mut server = Running::start();
    server.get("/healthz");
    server.stop();
    server.wait();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(Server::bind(server.address)).unwrap().address(), server.address);
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_shutdown() {
    let shutdown = Duration::from_mins(1);
    let mut server = Running::with(Limits { shutdown, ..Limits::default() }, Pages::All);
    let mut under_way = server.connect();
    under_way.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    assert_eq!(server.get("/healthz").status, 200, "so the one before it is accepted");
    server.stop();
    under_way.write_all(b"Host: agent\r\n\r\n").unwrap();
    assert_eq!(Answer::read(under_way).status, 200);
    server.wait();
    assert!(Client::connect(server.address).is_err());
}

#[test]
fn a_client_that_hangs_does_not_hold_up_the_shutdown() {
    let shutdown = Duration::from_millis(50);
    let hours = Duration::from_hours(1);
    let limits = Limits { shutdown, head: hours, connection: hours, ..Limits::default() };
    let mut server = Running::with(limits, Pages::All);
    let mut hanging = server.connect();
    hanging.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    assert_eq!(server.get("/healthz").status, 200, "so the one before it is accepted");
    server.stop();
    server.wait();
    let mut said = Vec::new();
    let _reset = hanging.read_to_end(&mut said);
    assert!(said.is_empty());
}

#[test]
fn the_page_is_html_that_runs_and_loads_nothing_but_its_own() {
    let server = Running::start();
    let answer = server.get("/");
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains("No survey is done yet"), "{}", answer.body);
    surveyed(&server.status, "{}");
    let answer = server.get("/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("content-security-policy"), Some(policy().as_str()));
    assert!(answer.body.contains("<strong>1450</strong>"), "{}", answer.body);
}

#[test]
fn the_page_is_sent_again_when_the_survey_or_the_agents_health_is_another() {
    let server = Running::start();
    surveyed(&server.status, "1");
    let tag = |answer: &Answer| answer.header("etag").unwrap().to_owned();
    let first = tag(&server.get("/"));
    let ask = || server.ask(&format!("GET / HTTP/1.1\r\nHost: agent\r\nIf-None-Match: {first}\r\n\r\n"));
    assert_eq!((ask().status, ask().body.as_str()), (304, ""));
    server.status.turned(now());
    let late = ask();
    assert_eq!(late.status, 200);
    assert!(late.body.contains("The agent hangs"), "{}", late.body);
    server.status.turned(now() + Duration::from_hours(1));
    assert_eq!(ask().status, 304);
    surveyed(&server.status, "2");
    assert_ne!(tag(&ask()), first);
}
