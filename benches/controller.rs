//! What the controller promises of a cluster of 5,000 nodes: memory, how soon the first ConfigMap is there, and how
//! often each is written while reports storm in.
//!
//! `cargo bench --bench controller`, in under two minutes; it needs neither root nor a cluster. It fails when a bar is
//! missed. The controller is the program itself, beside an API server in this process.

use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::CustomResourceExt as _;
use mtu_agent::publish::kubernetes::names::CONFIG_MAP;
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use mtu_lab::api_server::ApiServer;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::{interval, sleep_until, timeout};

#[path = "controller/memory.rs"]
mod memory;
#[path = "agent/table.rs"]
#[expect(dead_code, reason = "the agent's bench uses all of it")]
mod table;

use memory::Memory;
use table::Table;

const NODES: usize = 5000;
const POOLS: usize = 5;
const NAMESPACES: usize = 100;
/// Of each node, all of them with links that are too large: the worst of clusters, on its first day.
const PODS: usize = 10;
/// As in the manifests.
const DEBOUNCE: Duration = Duration::from_secs(10);
const STORM: Duration = Duration::from_secs(25);
/// Reports in a second, while they storm in.
const REPORTS: u32 = 500;
/// A timer is not late, and what is seen of two writes is not exact.
const TOLERANCE: Duration = Duration::from_millis(200);

const MEBIBYTES: f64 = 64.0;
const FIRST_SECONDS: f64 = 5.0;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints what it measured")]
fn main() -> ExitCode {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    match runtime.block_on(measure()) {
        Ok(table) => {
            println!("{table}");
            if table.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("bench of the controller: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure() -> Result<Table> {
    let mut table = Table::default();
    let server = cluster().await?;
    let started = now();
    let mut controller = Controller::start(&server)?;
    is_said(&server, 0, "1440").await?;
    let first = started.elapsed();
    table.at_most(
        format!("{NODES} nodes, {NAMESPACES} namespaces: start to the first ConfigMap"),
        first.as_secs_f64(),
        FIRST_SECONDS,
        "s",
    );
    is_said(&server, NAMESPACES - 1, "1440").await?;
    table.shown("  to the last one", format!("{:.3} s", started.elapsed().as_secs_f64()));
    let listed = Memory::of(controller.pid())?;
    table.shown("  RSS when all is listed", format!("{:.2} MiB", listed.resident));

    // The first window is over; what comes next is written at once.
    sleep_until((now() + DEBOUNCE + TOLERANCE).into()).await;
    let changed = now();
    report(&server, 0, 1439);
    is_said(&server, 0, "1439").await?;
    table.shown(
        "a smaller value of a node to the ConfigMap",
        format!("{:.1} ms", changed.elapsed().as_secs_f64() * 1e3),
    );

    let (reports, writes) = storm(&server).await?;
    let gaps = writes.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0]));
    let least = gaps.min().context("it was written twice")?;
    table.shown("storm", format!("{reports} reports in {} s", STORM.as_secs()));
    table.holds(
        format!("  ConfigMap of one namespace: least time between {} writes", writes.len()),
        format!("{:.3} s", least.as_secs_f64()),
        least + TOLERANCE >= DEBOUNCE,
    );
    let stormed = Memory::of(controller.pid())?;
    table.shown("  RSS after it", format!("{:.2} MiB", stormed.resident));
    table.at_most("RSS at its highest", stormed.highest, MEBIBYTES, "MiB");
    table.shown("CPU from start to end", format!("{:.2} s", stormed.cpu.as_secs_f64()));
    controller.stop()?;
    Ok(table)
}

/// Reports that lower a pool again and again. How many, and when the ConfigMap was seen to be another, at last what
/// they came to.
async fn storm(server: &ApiServer) -> Result<(usize, Vec<Instant>)> {
    let (end, mut writes, mut reports) = (now() + STORM, Vec::new(), 0_usize);
    let mut tick = interval(Duration::from_secs(1) / REPORTS);
    let mut value = 1438;
    let mut said = version(server)?;
    while now() < end {
        tick.tick().await;
        // Each hundredth of them is smaller than all before.
        value = if reports.is_multiple_of(100) { value - 1 } else { value };
        report(server, reports % NODES, value);
        reports += 1;
        let is = version(server)?;
        if is != said {
            said = is;
            writes.push(now());
        }
    }
    is_said(server, 0, &value.to_string()).await?;
    writes.push(now());
    ensure!(writes.len() > 2, "the storm is too short: {} writes", writes.len());
    Ok((reports, writes))
}

fn version(server: &ApiServer) -> Result<String> {
    let object = server.object("ConfigMap", &namespace(0), CONFIG_MAP).context("a ConfigMap")?;
    Ok(object["metadata"]["resourceVersion"].to_string())
}

async fn is_said(server: &ApiServer, number: usize, value: &str) -> Result<()> {
    let (namespace, says) = (namespace(number), |object: &Value| object["data"]["DIND_MTU"] == value);
    let said = server.wait_for_object("ConfigMap", &namespace, CONFIG_MAP, says);
    timeout(Duration::from_secs(25), said).await.context("a ConfigMap")?;
    Ok(())
}

fn namespace(number: usize) -> String {
    format!("ci-{number:03}")
}

/// With objects as large as they are in real clusters.
async fn cluster() -> Result<ApiServer> {
    let server = ApiServer::start().await?;
    server.put(serde_json::to_value(NodeMtu::crd())?);
    for number in 0..NODES {
        let pair =
            |at: usize| (format!("cloud.example.org/property-{at}"), format!("value-{at}-of-node-{number}"));
        let mut labels: serde_json::Map<_, _> =
            (0..20).map(pair).map(|(key, value)| (key, value.into())).collect();
        labels.insert("mtu-agent.dev/pool".into(), format!("pool-{}", number % POOLS).into());
        let long = |at: usize| (format!("csi.example.org/annotation-{at}"), Value::from("x".repeat(200)));
        let annotations: serde_json::Map<_, _> = (0..6).map(long).collect();
        let metadata = json!({"name": node(number), "labels": labels, "annotations": annotations});
        server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata}));
        report(&server, number, 1440);
    }
    for number in 0..NAMESPACES {
        let labels = json!({"mtu-agent.dev/configmap": "enabled"});
        let metadata = json!({"name": namespace(number), "labels": labels});
        server.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}));
    }
    Ok(server)
}

fn node(number: usize) -> String {
    format!("ip-10-{}-{}.eu-central-1.compute.internal", number / 250, number % 250)
}

fn report(server: &ApiServer, number: usize, dind_mtu: u32) {
    let path = |target: &str| json!({"target": target, "family": "ipv4", "direction": "both", "verdict": "exact", "pathMtu": 1450});
    let links = |level: u8, kind: &str| json!({"level": level, "kind": kind, "minMtu": 1440, "maxMtu": 1500, "mismatched": 2});
    let pod = |at: usize| json!({"namespace": namespace(at), "name": format!("runner-{number:04}-{at}"), "uid": format!("{number:08x}-0000-4000-8000-{at:012x}"), "mismatchedLinks": 2});
    let paths = ["registry.example.org", "packages.example.org"].map(path);
    let status = json!({
        "dindMtu": dind_mtu,
        "evidence": "measured",
        "methods": ["link", "icmp-echo"],
        "searches": 4,
        "mismatches": 2 * PODS,
        "paths": paths,
        "pods": (0..PODS).map(pod).collect::<Vec<_>>(),
        "podsTotal": PODS,
        "links": [links(1, "veth"), links(2, "bridge"), links(2, "veth"), links(3, "bridge"), links(3, "veth")],
        "reportTime": jiff::Timestamp::now().to_string(),
        "observedChangeTime": jiff::Timestamp::now().to_string(),
        "agentVersion": "0.1.0",
    });
    let metadata = json!({"name": node(number)});
    let object =
        json!({"apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu", "metadata": metadata, "spec": {}});
    let mut object = object;
    object["status"] = status;
    server.put(object);
}

/// The program.
struct Controller(Child);

impl Controller {
    fn start(server: &ApiServer) -> Result<Self> {
        let listen = ["--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0"];
        let child = Command::new(env!("CARGO_BIN_EXE_mtu-agent"))
            .args(["--log", "warn", "controller"])
            .args(listen)
            .env("KUBECONFIG", server.kubeconfig(None)?)
            .stdin(Stdio::null())
            .spawn();
        Ok(Self(child.context("start the controller")?))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.pid())?), Signal::SIGTERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the controller ended with {status}");
        Ok(())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _it_has_ended = self.0.kill();
        let _it_is_known_how = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn now() -> Instant {
    Instant::now()
}
