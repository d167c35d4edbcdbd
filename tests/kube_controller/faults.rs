//! What goes wrong between the controller and the API server.

use anyhow::Result;
use mtu_lab::api_server::{Cut, Fault};

use super::replica::{
    Replica, cluster, config_map_writes, is_config_map_write, labelled, node, report, said,
};

#[tokio::test]
async fn a_watch_that_ends_in_whatever_way_is_taken_up_again_and_writes_nothing() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1450").await;
    for (cut, mtu) in [(Cut::End, 1440), (Cut::Break, 1430), (Cut::Gone, 1420)] {
        let before = server.wait_for_watches("four watches", |it| (it.len() == 4).then(|| it.to_vec())).await;
        let last = before.iter().map(|watch| watch.request).max();
        server.drop_watches(cut);
        let all_new = |now: &[mtu_lab::api_server::Watching]| {
            (now.len() == 4 && now.iter().all(|watch| Some(watch.request) > last)).then_some(())
        };
        server.wait_for_watches("four new ones", all_new).await;
        report(&server, "node-1", mtu);
        said(&server, "ci", &mtu.to_string()).await;
    }
    assert_eq!(config_map_writes(&server).len(), 4);
    replica.stop().await
}

#[tokio::test]
async fn what_happened_while_nobody_watched_is_seen() -> Result<()> {
    let server = cluster().await?;
    node(&server, "node-2", Some("metal"));
    report(&server, "node-2", 1400);
    labelled(&server, "ci", None);
    let mut replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1400").await;
    server.wait_for_watches("four watches", |watches| (watches.len() == 4).then_some(())).await;
    server.away().await?;
    report(&server, "node-1", 1380);
    server.delete("Node", "", "node-2");
    server.delete("NodeMtu", "", "node-2");
    server.back().await?;
    let stored = said(&server, "ci", "1380").await;
    assert_eq!(stored["data"]["DIND_MTU.metal"], "1400", "the last good value stays");
    replica.until_values(|values| !values.nodes.contains_key("node-2")).await?;
    replica.stop().await
}

#[tokio::test]
async fn what_was_known_stays_while_the_api_server_is_away() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1450").await;
    server.away().await?;
    assert!(replica.page("/readyz").await?.0);
    let values = replica.values.borrow().clone();
    assert_eq!(values.of_namespace("ci").map(mtu_agent::domain::mtu::LinkMtu::get), Some(1450));
    server.back().await?;
    server.wait_for_watches("four watches", |watches| (watches.len() == 4).then_some(())).await;
    assert_eq!(config_map_writes(&server).len(), 1);
    replica.stop().await
}

#[tokio::test]
async fn it_is_not_ready_and_writes_nothing_before_all_is_listed() -> Result<()> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    server.fail(usize::MAX, Fault::status(403), |request| request.path == "/api/v1/nodes");
    let mut replica = Replica::start(&server, "a").await?;
    replica.until_leading(true).await?;
    server
        .wait_for("a refusal", |request| request.path == "/api/v1/nodes" && request.status == Some(403))
        .await;
    server.wait_for_watch("/apis/mtu-agent.dev/v1alpha1/nodemtus").await;
    let (is_ready, why) = replica.page("/readyz").await?;
    assert_eq!((is_ready, why.as_str()), (false, "not all nodes, namespaces and reports are listed yet\n"));
    assert!(replica.page("/healthz").await?.0);
    assert_eq!(config_map_writes(&server).len(), 0);
    server.heal();
    said(&server, "ci", "1450").await;
    assert!(replica.page("/readyz").await?.0);
    assert_ne!(replica.metric("mtu_agent_controller_watch_errors_total{kind=\"nodes\"}").await?, "0");
    replica.stop().await
}

#[tokio::test]
async fn a_write_that_fails_is_made_again() -> Result<()> {
    for fault in [Fault::status(500), Fault::Reset, Fault::AnswerLost, Fault::status(409)] {
        let server = cluster().await?;
        labelled(&server, "ci", None);
        server.fail(1, fault.clone(), is_config_map_write);
        let replica = Replica::start(&server, "a").await?;
        said(&server, "ci", "1450").await;
        server.wait_for_faults().await;
        assert!(config_map_writes(&server).len() <= 2, "{fault:?}");
        replica.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_that_refuses_holds_up_no_other() -> Result<()> {
    let server = cluster().await?;
    for name in ["a-refuses", "b", "c"] {
        labelled(&server, name, None);
    }
    server.fail(usize::MAX, Fault::status(403), |request| request.path.contains("/a-refuses/"));
    let replica = Replica::start(&server, "a").await?;
    for mtu in [1450, 1440] {
        report(&server, "node-1", mtu);
        for name in ["b", "c"] {
            said(&server, name, &mtu.to_string()).await;
        }
    }
    assert_ne!(replica.metric("mtu_agent_controller_config_map_writes_total{result=\"failed\"}").await?, "0");
    replica.stop().await
}

#[tokio::test]
async fn thousands_of_objects_come_in_pages() -> Result<()> {
    let server = cluster().await?;
    for number in 0..1201 {
        let name = format!("many-{number}");
        node(&server, &name, Some("cloud"));
        report(&server, &name, if number == 1200 { 1390 } else { 1440 });
    }
    labelled(&server, "ci", None);
    let mut replica = Replica::start(&server, "a").await?;
    said(&server, "ci", "1390").await;
    assert_eq!(config_map_writes(&server).len(), 1, "nothing is concluded from the first pages");
    let values = replica.until_values(|values| values.nodes.len() == 1202).await?;
    assert_eq!(values.of_node("many-1200").map(mtu_agent::domain::mtu::LinkMtu::get), Some(1390));
    let pages = server.requests();
    let pages = pages.iter().filter(|it| it.path == "/api/v1/nodes" && !it.is_watch()).count();
    assert_eq!(pages, 3);
    replica.stop().await
}
