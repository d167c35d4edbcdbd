//! Two replicas, and never two writers.

use anyhow::Result;
use mtu_lab::api_server::{ApiServer, Fault};

use super::replica::{Replica, cluster, config_map_writes, holder, labelled, report, said};

/// Two replicas, of which `a` leads and has written.
async fn two() -> Result<(ApiServer, Replica, Replica)> {
    let server = cluster().await?;
    labelled(&server, "ci", None);
    let a = Replica::start(&server, "a").await?;
    said(&server, "ci", "1450").await;
    let mut b = Replica::start(&server, "b").await?;
    b.until_values(|values| !values.pools.is_empty()).await?;
    Ok((server, a, b))
}

/// Writes of the one all come before those of the other.
fn assert_handed_over(server: &ApiServer, before: &str, after: &str) {
    let writers: Vec<_> = config_map_writes(server).iter().map(|write| write.authorization.clone()).collect();
    let mut expected = writers.clone();
    expected.sort_by_key(|writer| *writer != format!("Bearer {before}"));
    assert_eq!(writers, expected);
    assert_eq!(writers.last(), Some(&format!("Bearer {after}")));
}

#[tokio::test]
async fn only_the_leader_writes_and_every_replica_knows_the_values() -> Result<()> {
    let (server, a, mut b) = two().await?;
    report(&server, "node-1", 1400);
    said(&server, "ci", "1400").await;
    b.until_values(|values| values.pools["cloud"].get() == 1400).await?;
    assert_eq!((a.writes(&server).len(), b.writes(&server).len()), (2, 0));
    assert_eq!(a.metric("mtu_agent_controller_leader").await?, "1");
    assert_eq!(b.metric("mtu_agent_controller_leader").await?, "0");
    assert!(b.page("/readyz").await?.0, "ready is not leading");
    a.stop().await?;
    b.stop().await
}

#[tokio::test]
async fn a_leader_that_stops_frees_the_lease_and_the_other_one_goes_on() -> Result<()> {
    let (server, a, mut b) = two().await?;
    a.stop().await?;
    assert_eq!(holder(&server), None);
    b.until_leading(true).await?;
    report(&server, "node-1", 1400);
    said(&server, "ci", "1400").await;
    assert_handed_over(&server, "a", "b");
    assert_eq!(b.writes(&server).len(), 1, "it does not write what is said already");
    b.stop().await
}

#[tokio::test]
async fn a_leader_that_is_cut_off_has_stopped_before_another_one_begins() -> Result<()> {
    let (server, mut a, mut b) = two().await?;
    server.fail(usize::MAX, Fault::Reset, |request| request.authorization == "Bearer a");
    report(&server, "node-1", 1400);
    b.until_leading(true).await?;
    assert!(!*a.leads.borrow(), "it must have stopped by itself");
    said(&server, "ci", "1400").await;
    server.heal();
    a.until_values(|values| values.pools["cloud"].get() == 1400).await?;
    report(&server, "node-1", 1390);
    said(&server, "ci", "1390").await;
    assert_handed_over(&server, "a", "b");
    a.stop().await?;
    assert_eq!(holder(&server).as_deref(), Some("b"), "a replica that does not lead lets go of nothing");
    b.stop().await
}

#[tokio::test]
async fn a_leader_whose_requests_hang_has_stopped_before_another_one_begins() -> Result<()> {
    let (server, mut a, mut b) = two().await?;
    server.fail(usize::MAX, Fault::Hang, |request| request.authorization == "Bearer a");
    report(&server, "node-1", 1400);
    b.until_leading(true).await?;
    assert!(!*a.leads.borrow(), "it must have stopped by itself");
    said(&server, "ci", "1400").await;
    server.heal();
    a.until_leading(false).await?;
    a.stop().await?;
    b.stop().await
}

#[tokio::test]
async fn an_api_server_that_is_away_longer_than_a_lease_lasts_leaves_one_leader() -> Result<()> {
    let (server, mut a, mut b) = two().await?;
    server.away().await?;
    a.until_leading(false).await?;
    assert!(!*b.leads.borrow());
    for replica in [&a, &b] {
        assert!(replica.page("/readyz").await?.0, "the webhook serves on");
        assert!(replica.page("/healthz").await?.0);
    }
    report(&server, "node-1", 1400);
    server.back().await?;
    said(&server, "ci", "1400").await;
    let holder = holder(&server).expect("one of them leads");
    let (leader, other) = if holder == "a" { (&mut a, &b) } else { (&mut b, &a) };
    leader.until_leading(true).await?;
    assert!(!*other.leads.borrow());
    a.stop().await?;
    b.stop().await
}

#[tokio::test]
async fn whose_lease_was_taken_writes_nothing_more_whatever_it_believes() -> Result<()> {
    let (server, mut a, b) = two().await?;
    b.stop().await?;
    let mut lease =
        server.object("Lease", "mtu-agent-controller", "mtu-agent-controller").expect("there is one");
    lease["spec"]["holderIdentity"] = "somebody".into();
    server.put(lease);
    assert!(*a.leads.borrow(), "it has not seen that yet");
    report(&server, "node-1", 1400);
    a.until_values(|values| values.pools["cloud"].get() == 1400).await?;
    a.until_leading(false).await?;
    assert_eq!(a.writes(&server).len(), 1, "the one from before");
    a.stop().await?;
    assert_eq!(holder(&server).as_deref(), Some("somebody"));
    Ok(())
}
