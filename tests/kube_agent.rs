//! What the agent asks of the API server, request by request, in virtual time.

#[path = "kube_agent/log.rs"]
mod log;
#[path = "kube_agent/opt_ins.rs"]
mod opt_ins;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kube::CustomResourceExt as _;
use kube::config::AuthInfo;
use mtu_agent::agent::kubernetes::{Connection, Publishing};
use mtu_agent::discovery::identity::Identity;
use mtu_agent::discovery::survey::{Look, Survey};
use mtu_agent::domain::link::{Ifindex, Link, LinkKind};
use mtu_agent::domain::mtu::{IpFamily, LinkMtu};
use mtu_agent::domain::permission::Permission;
use mtu_agent::domain::steady::SteadyMtu;
use mtu_agent::domain::topology::{Netns, Place, Route, Routes, Topology};
use mtu_agent::publish::kubernetes::node_mtu::NodeMtu;
use mtu_agent::publish::metrics::Metrics;
use mtu_lab::api_server::{ApiServer, Cut, Fault, Recorded};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::time::{Instant, sleep};

use log::Log;

const NODE: &str = "node-1";
const OBJECT: &str = "/apis/mtu-agent.dev/v1alpha1/nodemtus/node-1";
const STATUS: &str = "/apis/mtu-agent.dev/v1alpha1/nodemtus/node-1/status";
const PODS: &str = "/api/v1/pods";

/// The first write is not later, nor is one that is tried again after a first failure.
const SOON: Duration = Duration::from_secs(11);
/// From one write to the next at least.
const LEAST: Duration = Duration::from_secs(1);
/// Details wait so long for each other.
const DETAILS: Duration = Duration::from_secs(31);
/// Whatever was waited for has come, and nothing is repeated yet.
const LONG: Duration = Duration::from_mins(40);

/// An API server with the CRD and the node, and an agent's publishing to it.
struct Run {
    server: ApiServer,
    publishing: Publishing,
    metrics: Arc<Metrics>,
    node_uid: String,
    /// As the kubelet keeps it.
    token: NamedTempFile,
}

impl Run {
    /// Of an agent that tunes nothing.
    async fn start() -> Result<Self> {
        Self::start_tuning(Permission::Observe).await
    }

    async fn start_tuning(tune: Permission) -> Result<Self> {
        let server = ApiServer::start().await?;
        server.put(serde_json::to_value(NodeMtu::crd())?);
        let node = server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}));
        let node_uid = node["metadata"]["uid"].as_str().expect("it has one").to_owned();
        let token = NamedTempFile::new()?;
        let auth = AuthInfo { token_file: Some(token.path().display().to_string()), ..AuthInfo::default() };
        write_token(&token, &node_uid)?;
        let client = server.client_in_process_without_retries(None);
        let metrics = Arc::new(Metrics::new());
        let connection = Connection { client, auth };
        let publishing = Publishing::start(connection, NODE, tune, Arc::clone(&metrics), wall);
        Ok(Self { server, publishing, metrics, node_uid, token })
    }

    /// One that has told this value, and may tell another one at once.
    async fn having_told(mtu: u32) -> Result<Self> {
        let run = Self::start().await?;
        run.tell(mtu);
        run.until_written(2).await;
        sleep(LEAST).await;
        Ok(run)
    }

    fn tell(&self, mtu: u32) {
        self.publishing.tell(&survey(mtu), &steady(mtu));
    }

    async fn until_written(&self, writes: usize) -> Vec<Recorded> {
        let what = format!("{writes} writes");
        let answered = |requests: &[Recorded]| {
            let writes_so_far: Vec<_> = requests.iter().filter(|it| it.is_write()).cloned().collect();
            let all_answered = writes_so_far.iter().all(|it| it.status.is_some());
            (writes_so_far.len() >= writes && all_answered).then_some(writes_so_far)
        };
        self.server.wait_until(&what, answered).await
    }

    /// Paths and answers of the writes so far.
    fn written(&self) -> Vec<(String, Option<u16>)> {
        self.server.writes().into_iter().map(|it| (it.path, it.status)).collect()
    }

    fn node_mtu(&self) -> Value {
        self.server.object("NodeMtu", "", NODE).expect("it is written")
    }

    async fn until_status(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        self.server.wait_for_object("NodeMtu", "", NODE, |it| is_it(&it["status"])).await["status"].take()
    }

    fn attempts(&self, result: &str) -> u64 {
        let sample = format!("mtu_agent_publish_total{{object=\"nodemtu\",result=\"{result}\"}} ");
        let text = self.metrics.render();
        let value = text.lines().find_map(|line| line.strip_prefix(&sample));
        value.expect("it is counted from 0").parse().expect("it is a count")
    }

    fn add_pod(&self, name: &str, said: &str) {
        self.server.put(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "default", "name": name, "annotations": {"mtu-agent.dev/dind-mtu": said}},
            "spec": {"nodeName": NODE, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running"},
        }));
    }

    /// Names of the pods in the status, once they are these.
    async fn until_pods(&self, names: &[&str]) {
        self.until_status(|status| {
            let pods = status["pods"].as_array().into_iter().flatten();
            pods.map(|pod| pod["name"].as_str().expect("it has one")).eq(names.iter().copied())
        })
        .await;
    }
}

/// A token of a pod on the node that has this uid.
fn write_token(file: &NamedTempFile, node_uid: &str) -> Result<()> {
    let claims = json!({"kubernetes.io": {"node": {"name": NODE, "uid": node_uid}}});
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    Ok(fs::write(file.path(), format!("e30.{claims}.e30\n"))?)
}

/// A host with an uplink of this MTU, and nothing else.
fn survey(mtu: u32) -> Survey {
    let ifindex = Ifindex::new(2).expect("it is not 0");
    let mtu = LinkMtu::new(mtu).expect("it is a size");
    let link = Link { ifindex, name: "eth0".into(), kind: LinkKind::Device, mtu, master: None, linked: None };
    let default = Route { family: IpFamily::V4, ifindex, mtu: None };
    let host = Netns {
        place: Place::Host,
        links: BTreeMap::from([(ifindex, link)]),
        routes: Some(Routes { defaults: vec![default], ..Routes::default() }),
    };
    let look = Look {
        host_name: NODE.into(),
        kernel_release: "6.18.0".into(),
        privileges: Vec::new(),
        cni: None,
        expected: None,
        topology: Topology { namespaces: vec![host] },
        identities: vec![Identity { id: "host".into(), ..Identity::default() }],
        unseen: Vec::new(),
    };
    Survey::conclude(look, Vec::new(), LinkMtu::DOCKER_DEFAULT, wall())
}

fn steady(mtu: u32) -> SteadyMtu {
    let mut steady = SteadyMtu::new(Duration::ZERO);
    steady.observe(now().into_std(), LinkMtu::new(mtu).ok());
    steady
}

#[expect(clippy::disallowed_methods, reason = "the time of the test")]
fn now() -> Instant {
    Instant::now()
}

/// Goes with the time of the test.
fn wall() -> Timestamp {
    thread_local!(static BEGAN: Instant = now());
    let elapsed = BEGAN.with(Instant::elapsed);
    Timestamp::from_second(1_800_000_000).expect("it is a date") + elapsed
}

#[tokio::test(start_paused = true)]
async fn the_first_publish_is_two_applies_by_one_manager() -> Result<()> {
    let run = Run::start().await?;
    let began = now();
    run.tell(1400);
    let writes = run.until_written(2).await;
    assert!(began.elapsed() <= SOON);
    let [object, status] = &writes[..] else { panic!("{writes:?}") };
    assert_eq!((object.path.as_str(), status.path.as_str()), (OBJECT, STATUS));
    for request in [object, status] {
        assert_eq!(request.method, "PATCH");
        assert_eq!(request.content_type, "application/apply-patch+yaml");
        let query: Vec<_> =
            request.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(query, [("fieldManager", "mtu-agent"), ("force", "true")]);
    }
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": NODE, "uid": run.node_uid});
    let expected = json!({
        "apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu",
        "metadata": {"name": NODE, "ownerReferences": [owner]}, "spec": {},
    });
    assert_eq!(object.body, expected);
    let mut body = status.body.clone();
    let times = ["observedChangeTime", "reportTime"].map(|time| body["status"][time].take());
    assert!(times.iter().all(|time| time.as_str().is_some_and(|time| time.starts_with("2027-01-15T08:0"))));
    let expected = json!({
        "apiVersion": "mtu-agent.dev/v1alpha1", "kind": "NodeMtu", "metadata": {"name": NODE},
        "status": {
            "dindMtu": 1400, "evidence": "configured", "methods": ["link"], "searches": 0, "mismatches": 0,
            "paths": [], "pods": [], "podsTotal": 0, "agentVersion": env!("CARGO_PKG_VERSION"),
            "links": [{"level": 0, "kind": "device", "minMtu": 1400, "maxMtu": 1400, "mismatched": 0}],
            "observedChangeTime": null, "reportTime": null,
        },
    });
    assert_eq!(body, expected);
    assert_eq!((run.attempts("success"), run.written().len()), (1, 2));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_unchanged_in_100_surveys_makes_no_request() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.wait_for_watch(PODS).await;
    let before = run.server.writes().len();
    for _ in 0..100 {
        run.tell(1400);
        sleep(LONG / 100).await;
    }
    assert_eq!(run.server.writes().len(), before);
    // A watch ends and begins anew, as it does every few minutes; nothing is listed again.
    assert!(run.server.requests().iter().filter(|it| it.path == PODS && !it.is_watch()).count() == 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_is_repeated_about_hourly_with_the_time_of_its_change() -> Result<()> {
    let run = Run::having_told(1400).await?;
    let first = run.node_mtu();
    let began = now();
    let writes = run.until_written(4).await;
    assert!(Duration::from_hours(1) <= began.elapsed() && began.elapsed() <= Duration::from_mins(73));
    assert_eq!(writes[2..].iter().map(|it| it.path.as_str()).collect::<Vec<_>>(), [OBJECT, STATUS]);
    let again = run.node_mtu();
    assert_eq!(again["status"]["observedChangeTime"], first["status"]["observedChangeTime"]);
    assert_ne!(again["status"]["reportTime"], first["status"]["reportTime"]);
    Ok(())
}

/// Also where something changes all the time, which alone has only the status written.
#[tokio::test(start_paused = true)]
async fn its_owner_is_written_again_after_an_hour_of_changes() -> Result<()> {
    let run = Run::having_told(1400).await?;
    for minute in 0..70 {
        run.tell(1400 - minute % 2);
        sleep(Duration::from_mins(1)).await;
    }
    let objects = run.written().into_iter().filter(|(path, _)| path == OBJECT).count();
    assert_eq!(objects, 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_value_that_comes_and_goes_is_written_once_a_second_at_most() -> Result<()> {
    let run = Run::having_told(1400).await?;
    for times in 0..1000 {
        run.tell(1300 + times % 2);
        sleep(Duration::from_millis(10)).await;
    }
    let statuses = run.written().len() - 2;
    assert!((9..=11).contains(&statuses), "{statuses} in ten seconds");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_new_value_is_one_request_at_once() -> Result<()> {
    let run = Run::having_told(1400).await?;
    let began = now();
    run.tell(1300);
    let writes = run.until_written(3).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((writes[2].path.as_str(), &writes[2].body["status"]["dindMtu"]), (STATUS, &json!(1300)));
    let status = &run.node_mtu()["status"];
    assert_eq!(status["observedChangeTime"], status["reportTime"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn details_wait_for_each_other_and_go_out_together() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.wait_for_watch(PODS).await;
    let began = now();
    for name in ["a", "b", "c"] {
        run.add_pod(name, "1500");
        sleep(Duration::from_millis(100)).await;
    }
    run.until_pods(&["a", "b", "c"]).await;
    assert!(began.elapsed() <= DETAILS);
    assert_eq!(run.written().len(), 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn of_the_values_that_come_while_a_write_is_under_way_the_last_is_written() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.fail(1, Fault::Hang, Recorded::is_write);
    run.tell(1300);
    run.server.wait_for("the write that hangs", |it| it.body["status"]["dindMtu"] == 1300).await;
    for mtu in [1310, 1320, 1290] {
        run.tell(mtu);
    }
    run.server.release();
    run.until_status(|status| status["dindMtu"] == 1290).await;
    sleep(LONG).await;
    let values: Vec<_> = run.server.writes().iter().map(|it| it.body["status"]["dindMtu"].clone()).collect();
    assert_eq!(values, [json!(null), json!(1400), json!(1300), json!(1290)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_soon() -> Result<()> {
    let run = Run::start().await?;
    run.server.fail(1, Fault::status(409), Recorded::is_write);
    run.tell(1400);
    run.until_written(3).await;
    let expected = [(OBJECT, 409), (OBJECT, 201), (STATUS, 200)];
    assert_eq!(run.written(), expected.map(|(path, status)| (path.to_owned(), Some(status))));
    assert_eq!((run.attempts("conflict"), run.attempts("success")), (1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_and_nothing_else_retries() -> Result<()> {
    for code in [429, 503] {
        let run = Run::having_told(1400).await?;
        run.server.fail(1, Fault::Status { code, retry_after: Some(7) }, Recorded::is_write);
        let began = now();
        run.tell(1300);
        run.until_written(4).await;
        let waited = began.elapsed();
        assert!(Duration::from_secs(7) <= waited && waited <= Duration::from_secs(8), "{waited:?}");
        let expected = [(STATUS, code), (STATUS, 200)];
        assert_eq!(run.written()[2..], expected.map(|(path, status)| (path.to_owned(), Some(status))));
        let result = if code == 429 { "throttled" } else { "unreachable" };
        assert_eq!(run.attempts(result), 1, "{code}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_tried_again_and_again_ever_less_often() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.fail(usize::MAX, Fault::status(500), Recorded::is_write);
    run.tell(1300);
    sleep(Duration::from_hours(2)).await;
    let failed = run.written().len() - 2;
    // Nine while the ceiling doubles, then one in 150 s on average.
    assert!((20..=90).contains(&failed), "{failed} attempts in two hours");
    assert!(run.written()[2..].iter().all(|(_, status)| *status == Some(500)));
    run.server.heal();
    run.until_status(|status| status["dindMtu"] == 1300).await;
    assert_eq!(run.attempts("error"), u64::try_from(failed)?);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_hangs_ends_and_is_tried_again() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.fail(1, Fault::Hang, Recorded::is_write);
    let began = now();
    run.tell(1300);
    run.until_status(|status| status["dindMtu"] == 1300).await;
    assert!(Duration::from_secs(10) <= began.elapsed() && began.elapsed() <= Duration::from_secs(11));
    assert_eq!((run.attempts("unreachable"), run.written().len()), (1, 4));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_no_success() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.fail(1, Fault::AnswerLost, Recorded::is_write);
    run.tell(1300);
    run.until_status(|status| status["dindMtu"] == 1300).await;
    // The old value again: the server has the new one, and the agent does not know.
    let began = now();
    run.tell(1400);
    run.until_status(|status| status["dindMtu"] == 1400).await;
    assert!(began.elapsed() <= SOON);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_all_the_time_gets_one_write_afterwards() -> Result<()> {
    let run = Run::start().await?;
    run.server.away().await?;
    for mtu in [1400, 1500, 1300, 1450, 1350] {
        run.tell(mtu);
        sleep(Duration::from_mins(20)).await;
    }
    assert_eq!(run.written(), []);
    assert!(run.attempts("unreachable") > 5);
    run.server.back().await?;
    let writes = run.until_written(2).await;
    sleep(LONG).await;
    assert_eq!(run.server.writes().len(), 2);
    assert_eq!(writes[1].body["status"]["dindMtu"], 1350);
    assert_eq!(run.attempts("success"), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_object_that_somebody_deleted_is_made_again() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.delete("NodeMtu", "", NODE);
    run.tell(1300);
    run.until_written(5).await;
    let expected = [(STATUS, 404), (OBJECT, 201), (STATUS, 200)];
    assert_eq!(run.written()[2..], expected.map(|(path, status)| (path.to_owned(), Some(status))));
    assert_eq!(run.node_mtu()["metadata"]["ownerReferences"][0]["uid"], run.node_uid.as_str());
    Ok(())
}

/// An owner that is no more would have the object deleted again and again.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_deleted_and_came_back_owns_it_once_the_token_is_renewed() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.delete("Node", "", NODE);
    run.server.wait_for_absence("NodeMtu", "", NODE).await;
    let node = run.server.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}));
    let uid = node["metadata"]["uid"].as_str().expect("it has one");
    assert_ne!(uid, run.node_uid);
    write_token(&run.token, uid)?;
    run.tell(1300);
    run.until_written(5).await;
    assert_eq!(run.node_mtu()["metadata"]["ownerReferences"][0]["uid"], uid);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn pods_that_nobody_tells_are_asked_for_again_and_that_is_said_once() -> Result<()> {
    for (fault, of_watch) in [(Fault::Hang, false), (Fault::Stall, false), (Fault::Hang, true)] {
        let log = Log::default();
        let _kept = log.kept();
        let run = Run::start().await?;
        run.server.fail(3, fault, move |it| it.path == PODS && it.is_watch() == of_watch);
        run.add_pod("a", "1450");
        run.tell(1400);
        run.server.wait_for_watch(PODS).await;
        run.add_pod("b", "1450");
        run.until_pods(&["a", "b"]).await;
        run.server.wait_for_faults().await;
        assert_eq!(log.lines("WARN").len(), 1);
        assert_eq!(log.lines("changes are heard again").len(), 1);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_is_gone_with_its_node_and_not_with_its_agent() -> Result<()> {
    let Run { server, publishing, .. } = Run::having_told(1400).await?;
    drop(publishing);
    sleep(LONG).await;
    assert_eq!(server.writes().len(), 2);
    assert!(server.object("NodeMtu", "", NODE).is_some());
    server.delete("Node", "", NODE);
    server.wait_for_absence("NodeMtu", "", NODE).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn it_needs_no_permission_but_these() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.wait_for_watch(PODS).await;
    let used = run.server.used_permissions(None).into_iter().map(|it| (it.resource, it.verb));
    let expected = [
        ("nodemtus", "create"),
        ("nodemtus", "patch"),
        ("nodemtus/status", "patch"),
        ("pods", "list"),
        ("pods", "watch"),
    ];
    let expected = expected.map(|(resource, verb)| (resource.to_owned(), verb.to_owned()));
    assert_eq!(used.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    Ok(())
}

/// What a server forbids is told and tried again; the rest goes on.
#[tokio::test(start_paused = true)]
async fn without_permission_for_pods_all_else_is_told() -> Result<()> {
    let run = Run::start().await?;
    run.server.fail(usize::MAX, Fault::status(403), |it| it.path == PODS);
    run.tell(1400);
    run.until_status(|status| status["dindMtu"] == 1400).await;
    sleep(LONG).await;
    let lists = run.server.requests().iter().filter(|it| it.path == PODS).count();
    assert!((8..=60).contains(&lists), "{lists} in forty minutes");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_the_pods_of_the_node_are_asked_for() -> Result<()> {
    let run = Run::start().await?;
    let watching = run.server.wait_for_watch(PODS).await;
    assert_eq!(watching.field_selector, "spec.nodeName=node-1");
    let reads: Vec<_> = run.server.requests().into_iter().filter(|it| !it.is_write()).collect();
    let [list, watch] = &reads[..] else { panic!("{reads:?}") };
    assert!(!list.is_watch() && watch.is_watch());
    assert_eq!(list.parameter("fieldSelector"), "spec.nodeName=node-1");
    let from_cache = (list.parameter("resourceVersion"), list.parameter("limit"));
    assert_eq!(from_cache, ("0", ""), "in pages it would be read from etcd, through all pods of the cluster");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn pods_are_heard_again_after_whatever_ends_their_watch() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.wait_for_watch(PODS).await;
    run.add_pod("a", "1500");
    run.until_pods(&["a"]).await;
    let mut names = vec!["a"];
    for (cut, name) in [(Cut::End, "b"), (Cut::Break, "c"), (Cut::Gone, "d")] {
        run.server.drop_watches(cut);
        run.server.delete("Pod", "default", names.remove(0));
        run.add_pod(name, "1500");
        names.push(name);
        run.until_pods(&names).await;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_last_pods_stay_while_the_server_is_away() -> Result<()> {
    let run = Run::having_told(1400).await?;
    run.server.wait_for_watch(PODS).await;
    run.add_pod("a", "1500");
    run.until_pods(&["a"]).await;
    run.server.away().await?;
    run.server.drop_watches(Cut::Break);
    run.tell(1300);
    sleep(LONG).await;
    run.server.back().await?;
    run.until_status(|status| status["dindMtu"] == 1300).await;
    run.until_pods(&["a"]).await;
    Ok(())
}
