//! The agent as a process with an API server beside it, or none.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::CustomResourceExt as _;
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use mtu_lab::agent::{Agent, AgentSpec, page};
use mtu_lab::api_server::{ApiServer, Fault, Recorded};
use mtu_lab::docker::{NetnsLab, Place};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const MTU_AGENT: &str = env!("CARGO_BIN_EXE_mtu-agent");
const NODE: &str = "node-1";
const PUBLISHED: &str = "mtu_agent_published_dind_mtu_bytes";
const UNREACHABLE: &str = "mtu_agent_publish_total{object=\"nodemtu\",result=\"unreachable\"}";
// What is logged of trouble, once.
const NOT_UP_TO_DATE: &str = "the NodeMtu is not up to date; it is tried again";
const NOT_HEARD: &str = "changes are not heard; what is known stays, and it is tried again";

/// A node with a pod of 1450, and an API server on the node's loopback.
struct Cluster {
    lab: NetnsLab,
    server: ApiServer,
    runtime: Runtime,
}

impl Cluster {
    fn new() -> Result<Self> {
        let lab = NetnsLab::new()?;
        lab.ip_batch(
            Place::Node,
            "link set lo up
             link add eth0 mtu 1500 type veth peer name wire
             link set eth0 up
             link set wire up
             addr add 192.0.2.2/24 dev eth0
             route add default via 192.0.2.1
             netns add pod
             link add cali1 mtu 1450 type veth peer name eth0 mtu 1450 netns pod
             link set cali1 up\n",
        )?;
        lab.ip_batch(
            Place::Pod,
            "link set eth0 up
             addr add 10.244.0.2/24 dev eth0
             route add default via 10.244.0.1\n",
        )?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let server = lab.enter(Place::Node, || runtime.block_on(ApiServer::start()))??;
        server.put(serde_json::to_value(NodeMtu::crd())?);
        Ok(Self { lab, server, runtime })
    }

    fn spec(&self) -> Result<AgentSpec> {
        Ok(AgentSpec::new(MTU_AGENT).on_node(NODE, self.server.kubeconfig(None)?))
    }

    fn until_status(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let waited = self.server.wait_for_object("NodeMtu", "", NODE, |it| is_it(&it["status"]));
        self.runtime.block_on(waited)["status"].take()
    }
}

/// Waits until the host file and the metrics tell this.
fn until_told_to_the_host(agent: &Agent<'_>, mtu: u32) -> Result<()> {
    agent.until_sample(PUBLISHED, mtu.into())?;
    let file = agent.file("dind-mtu");
    agent.until(&format!("a host file with {mtu}"), |_| {
        Ok((file.exists() && fs::read_to_string(&file)? == format!("{mtu}\n")).then_some(()))
    })
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_an_api_server_the_host_is_told_and_afterwards_the_cluster_once() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.runtime.block_on(cluster.server.away())?;
    let mut agent = cluster.spec()?.start(&cluster.lab)?;
    agent.until_ready()?;
    until_told_to_the_host(&agent, 1450)?;
    agent.told(NOT_HEARD)?;
    let failures = |least: f64| {
        agent.until("attempts that failed", |agent| {
            Ok(agent.metrics()?.value(UNREACHABLE).filter(|count| *count >= least))
        })
    };
    failures(1.0)?;
    for mtu in [1400, 1300] {
        cluster.lab.set_link_mtu(Place::Pod, "eth0", mtu)?;
        until_told_to_the_host(&agent, mtu.into())?;
    }
    failures(3.0)?;
    assert!(agent.page("/readyz")?.0 && agent.page("/healthz")?.0);

    cluster.runtime.block_on(cluster.server.back())?;
    let status = cluster.until_status(|status| status["dindMtu"].is_number());
    assert_eq!(status["dindMtu"], 1300, "only the latest value is ever written");
    agent.told("the NodeMtu is up to date")?;
    let writes: Vec<_> = cluster.server.writes().into_iter().map(|it| it.path).collect();
    let version = concat!("mtu-agent/", env!("CARGO_PKG_VERSION"));
    assert!(cluster.server.requests().iter().all(|request| request.user_agent == version));
    let object = format!("/apis/mtu-agent.dev/v1alpha1/nodemtus/{NODE}");
    assert_eq!(writes, [object.clone(), object + "/status"]);
    let log = agent.log()?;
    let of = |message: &str| log.iter().filter(|line| line["message"] == message).count();
    for trouble in [NOT_UP_TO_DATE, NOT_HEARD] {
        assert_eq!(of(trouble), 1, "{trouble}: {log:#?}");
    }
    let targets: BTreeSet<_> = log.iter().filter_map(|line| line["target"].as_str()).collect();
    assert!(targets.iter().all(|target| target.starts_with("mtu_agent")), "{targets:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_request_that_hangs_does_not_keep_it() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.server.fail(usize::MAX, Fault::Hang, |_| true);
    let agent = cluster.spec()?.start(&cluster.lab)?;
    cluster.runtime.block_on(cluster.server.wait_for("a write that hangs", Recorded::is_write));
    until_told_to_the_host(&agent, 1450)?;
    let (code, took) = agent.stop()?;
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_pod_is_known_by_its_address_where_its_processes_are_not() -> Result<()> {
    let cluster = Cluster::new()?;
    cluster.lab.netns("child")?;
    cluster.lab.ip_batch(
        Place::Pod,
        "link add docker0 mtu 1500 type bridge
         link set docker0 up
         addr add 172.17.0.1/16 dev docker0
         link add veth1 mtu 1500 type veth peer name eth0 mtu 1500 netns child
         link set veth1 master docker0 up\n",
    )?;
    cluster.lab.ip_batch(
        Place::Netns("child"),
        "link set eth0 up
         addr add 172.17.0.2/16 dev eth0
         route add default via 172.17.0.1\n",
    )?;
    // The second has the address of docker0, as every pod with a dockerd has.
    for (name, address) in [("runner", "10.244.0.2"), ("other", "172.17.0.1")] {
        cluster.server.put(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
        }));
    }
    let capabilities = "-all,+net_admin,+net_raw,+net_broadcast";
    let spec = cluster.spec()?.through(&[
        "setpriv",
        "--bounding-set",
        capabilities,
        "--inh-caps",
        "-all",
        "--no-new-privs",
    ]);
    let _agent = spec.start(&cluster.lab)?;
    let status = cluster.until_status(|status| status["podsTotal"] == 1);
    let pod = &status["pods"][0];
    assert_eq!((&pod["name"], &pod["mismatchedLinks"]), (&json!("runner"), &json!(3)));
    assert_eq!((&status["dindMtu"], &status["mismatches"]), (&json!(1450), &json!(3)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn others_get_metrics_and_nothing_else() -> Result<()> {
    let cluster = Cluster::new()?;
    let mut agent = cluster.spec()?.args(&["--metrics-listen", "192.0.2.2:0"]).start(&cluster.lab)?;
    let told = agent.told("metrics are served to others")?;
    let address = told["listen"].as_str().context("an address")?.parse()?;
    let get = |path: &'static str| cluster.lab.enter(Place::Node, move || page(address, path))?;
    let (ok, metrics) = get("/metrics")?;
    assert!(ok && metrics.contains("mtu_agent_build_info"), "{metrics}");
    for path in ["/healthz", "/readyz", "/v1/survey", "/"] {
        assert!(!get(path)?.0, "{path}");
    }
    assert!(agent.page("/healthz")?.0);
    Ok(())
}
