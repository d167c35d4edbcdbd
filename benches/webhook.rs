//! What the webhook promises: 500 requests a second on one core, and 99 of 100 answered within 5 ms.
//!
//! `cargo bench --bench webhook`, in half a minute; `-- --quick` in some ten seconds. The server is a process of its
//! own on one core, the client has another, and both talk TLS over connections that are kept. Beside it, in CPU time and
//! as a ratio, a handler of axum that answers the same to everything, and one that reads the review first. As root, both go before whatever else the machine does. And the
//! memory that the one review takes which takes the most. It fails when a bar is missed.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyper::{Method, StatusCode};
use mtu_agent::publish::kubernetes::serving_key::serving_key;
use tokio_rustls::rustls::sign::CertifiedKey;

#[path = "../tests/webhook/client.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod client;
#[path = "webhook/load.rs"]
mod load;
#[path = "controller/memory.rs"]
#[expect(dead_code, reason = "that of the controller uses all of it")]
mod memory;
#[path = "../tests/webhook/reviews.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod reviews;
#[path = "webhook/server.rs"]
mod server;
#[path = "agent/table.rs"]
mod table;
#[path = "agent/usage.rs"]
#[expect(dead_code, reason = "other benches use all of it")]
mod usage;

use memory::Memory;
use server::{Running, Server};
use table::Table;
use usage::Usage;

const PER_SECOND: u32 = 500;
const MOST_MILLISECONDS: f64 = 5.0;
/// Of the 256 of the container, in which the values of 5,000 nodes and bodies that are being read are, too.
const MOST_MEBIBYTES: f64 = 160.0;

/// What one server did.
struct Figures {
    /// Middle, 99th percentile and largest, at the promised rate.
    milliseconds: [f64; 3],
    /// With as many requests as it takes.
    per_second: f64,
    cpu_microseconds: f64,
    resident_mebibytes: f64,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    let seconds = if std::env::args().any(|argument| argument == "--quick") { 2 } else { 8 };
    match server::serve_if_asked() {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            eprintln!("server of the bench of the webhook: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    match compare(Duration::from_secs(seconds)) {
        Ok(table) => {
            println!("{table}");
            if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench of the webhook: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(each: Duration) -> Result<Table> {
    let [bare, reader, webhook] =
        [Server::Bare, Server::Reader, Server::Webhook].map(|server| measure(server, each));
    let (bare, reader, webhook) = (bare?, reader?, webhook?);
    let others = [("a bare handler", &bare), ("a handler that reads the review", &reader)];
    let mut table = Table::default();
    let [middle, most, largest] = webhook.milliseconds;
    table.at_most(format!("p99 at {PER_SECOND} requests/s on one core"), most, MOST_MILLISECONDS, "ms");
    table.shown("  middle", format!("{middle:.3} ms"));
    table.shown("  largest", format!("{largest:.3} ms"));
    for (name, other) in others {
        table.shown(format!("  p99 of {name}"), format!("{:.3} ms", other.milliseconds[1]));
    }
    let rate = webhook.per_second;
    table.holds("requests/s on one core, at least 500", format!("{rate:.0}"), rate >= f64::from(PER_SECOND));
    table.shown("CPU time of a request", format!("{:.0} µs", webhook.cpu_microseconds));
    for (name, other) in others {
        let ratio = webhook.cpu_microseconds / other.cpu_microseconds;
        table.shown(format!("  of {name}"), format!("{:.0} µs: {ratio:.1}", other.cpu_microseconds));
    }
    table.shown("memory after it", format!("{:.1} MiB", webhook.resident_mebibytes));
    table.at_most("memory with the review that takes the most", highest()?, MOST_MEBIBYTES, "MiB");
    Ok(table)
}

/// The most memory that the webhook had, once it has answered that review.
fn highest() -> Result<f64> {
    let (running, key) = start(Server::Webhook)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = client::Client::connect(running.address, &key).await.context("connect")?;
        let (status, _) = client.send(Method::POST, "/mutate", load::dense()?).await?;
        ensure!(status == StatusCode::OK, "it is answered: {status}");
        Ok(Memory::of(running.pid())?.highest)
    })
}

fn start(server: Server) -> Result<(Running, Arc<CertifiedKey>)> {
    let made = rcgen::generate_simple_self_signed([client::NAME.to_owned()])?;
    let pem = [made.cert.pem(), made.signing_key.serialize_pem()];
    let key = serving_key(pem[0].as_bytes(), pem[1].as_bytes())?;
    Ok((Running::start(server, &pem)?, key))
}

fn measure(server: Server, each: Duration) -> Result<Figures> {
    let (running, key) = start(server)?;
    server::have_the_clients_core()?;
    let review = load::review()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut clients = load::connect(running.address, &key).await.context("connect")?;
        // What is made at first use is not what is promised.
        load::at_a_rate(&mut clients, &review, PER_SECOND, each / 4).await?;
        let times = load::at_a_rate(&mut clients, &review, PER_SECOND, each).await?;
        let before = Usage::of(running.pid())?;
        let began = now();
        let answered = f64::from(load::at_most(&mut clients, &review, each / 4).await?);
        let took = began.elapsed();
        let after = Usage::of(running.pid())?;
        Ok(Figures {
            milliseconds: table::spread(times),
            per_second: answered / took.as_secs_f64(),
            cpu_microseconds: after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / answered,
            resident_mebibytes: usage::mebibytes(after.resident_bytes),
        })
    })
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
