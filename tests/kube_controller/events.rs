//! Events about pods.

use anyhow::Result;
use mtu_lab::api_server::{Fault, Recorded};
use serde_json::{Value, json};

use super::replica::{Replica, cluster, report_with};

fn is_event(request: &Recorded) -> bool {
    request.method == "POST" && request.path.starts_with("/apis/events.k8s.io/v1/namespaces/")
}

fn finding(pod: &str, links: u32) -> Value {
    json!({"namespace": "default", "name": pod, "uid": format!("uid-of-{pod}"), "mismatchedLinks": links})
}

#[tokio::test]
async fn a_pod_is_told_once_by_whoever_leads() -> Result<()> {
    let server = cluster().await?;
    let stale = json!({"namespace": "default", "name": "stale", "uid": "uid-of-stale", "annotation": "1500"});
    report_with(&server, "node-1", json!({"dindMtu": 1450, "pods": [finding("wrong", 2), stale]}));
    let a = Replica::start(&server, "a").await?;
    let told = |requests: &[Recorded]| {
        let done = requests.iter().filter(|it| is_event(it) && it.status.is_some());
        let done: Vec<_> = done.cloned().collect();
        (done.len() == 2).then_some(done)
    };
    let mut events: Vec<_> =
        server.wait_until("two Events", told).await.into_iter().map(|it| it.body).collect();
    events.sort_by_key(|event| event["reason"].to_string());
    assert_eq!(events[0]["reason"], "DindMtuMismatch");
    assert_eq!(
        events[0]["regarding"],
        json!({"apiVersion": "v1", "kind": "Pod", "name": "wrong", "namespace": "default", "uid": "uid-of-wrong"})
    );
    assert!(events[0]["note"].as_str().is_some_and(|note| note.contains("2 links") && note.contains("1450")));
    assert_eq!((&events[1]["reason"], &events[1]["type"]), (&"DindMtuStale".into(), &"Warning".into()));
    assert_eq!(events[1]["reportingController"], "mtu-agent.dev/controller");
    // More links are no news; another pod is.
    report_with(
        &server,
        "node-1",
        json!({"dindMtu": 1450, "pods": [finding("wrong", 3), finding("new", 1)]}),
    );
    let is_new = |request: &Recorded| is_event(request) && request.body["regarding"]["name"] == "new";
    server.wait_for("the Event of the new pod", is_new).await;
    assert_eq!(server.writes().iter().filter(|it| is_event(it)).count(), 3);
    a.stop().await?;

    let mut b = Replica::start(&server, "b").await?;
    b.until_leading(true).await?;
    let again = |requests: &[Recorded]| {
        let refused = requests.iter().filter(|it| is_event(it) && it.status == Some(409)).count();
        (refused == 2).then_some(())
    };
    server.wait_until("both of what is listed now were told before", again).await;
    assert_eq!(server.objects("Event").len(), 3);
    b.stop().await
}

#[tokio::test]
async fn what_the_api_server_will_not_have_is_not_tried_again() -> Result<()> {
    let server = cluster().await?;
    let mut gone = finding("gone", 1);
    gone["namespace"] = "no-such-namespace".into();
    report_with(&server, "node-1", json!({"dindMtu": 1450, "pods": [gone, finding("wrong", 1)]}));
    let replica = Replica::start(&server, "a").await?;
    let is_told = |request: &Recorded| is_event(request) && request.status == Some(201);
    server.wait_for("the Event of the other pod", is_told).await;
    report_with(
        &server,
        "node-1",
        json!({"dindMtu": 1450, "pods": [finding("wrong", 1), finding("new", 1)]}),
    );
    server.wait_for("an Event", |it| is_told(it) && it.body["regarding"]["name"] == "new").await;
    let tried =
        server.writes().iter().filter(|it| is_event(it) && it.body["regarding"]["name"] == "gone").count();
    assert_eq!(tried, 1);
    assert_eq!(replica.metric("mtu_agent_controller_events_total{result=\"refused\"}").await?, "1");
    replica.stop().await
}

#[tokio::test]
async fn one_whose_answer_is_lost_is_told_once_all_the_same() -> Result<()> {
    let server = cluster().await?;
    report_with(&server, "node-1", json!({"dindMtu": 1450, "pods": [finding("wrong", 1)]}));
    server.fail(1, Fault::AnswerLost, is_event);
    let replica = Replica::start(&server, "a").await?;
    server.wait_for("it is known", |it| is_event(it) && it.status == Some(409)).await;
    assert_eq!(server.objects("Event").len(), 1);
    replica.stop().await
}
