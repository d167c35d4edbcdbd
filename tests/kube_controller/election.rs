//! Two replicas, and never two writers.

use std::future::pending;
use std::time::Duration;

use anyhow::Result;
use mtu_agent::controller::lease::{Election, Timing};
use mtu_agent::publish::kubernetes::names::{CONTROLLER_NAMESPACE, LEASE};
use mtu_lab::api_server::{ApiServer, Fault, Recorded};
use serde_json::json;
use tokio::sync::watch::{self, Receiver};
use tokio::time::{advance, sleep, timeout};
use tracing::subscriber::DefaultGuard;

use super::log::Log;
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

fn is_of_lease(request: &Recorded) -> bool {
    request.path.contains("/leases")
}

/// Waits until the Lease was refused so often.
async fn refused(server: &ApiServer, times: usize) {
    let count = |requests: &[Recorded]| {
        requests.iter().filter(|it| is_of_lease(it) && it.status == Some(403)).count() >= times
    };
    server.wait_until("refusals", |requests| count(requests).then_some(())).await;
}

/// The election alone, in virtual time, of a replica that was refused the Lease for a while; what it logged.
async fn refused_for_a_while(server: &ApiServer) -> Result<(Log, DefaultGuard, Receiver<bool>)> {
    let log = Log::default();
    let kept = log.kept();
    server.fail(usize::MAX, Fault::status(403), is_of_lease);
    let leading = elect(server);
    refused(server, 3).await;
    let warnings = log.lines("WARN");
    let [warning] = &warnings[..] else { panic!("one: {warnings:?}") };
    assert!(warning.contains("the Lease can be neither read nor taken"), "{warning}");
    assert_eq!(log.lines(ASKED_AGAIN), [""; 0]);
    server.heal();
    Ok((log, kept, leading))
}

const ASKED_AGAIN: &str = "the Lease can be asked again";

#[tokio::test(start_paused = true)]
async fn a_replica_that_may_not_have_the_lease_says_so_once_and_says_when_it_may() -> Result<()> {
    let server = ApiServer::start().await?;
    let (log, _kept, mut leading) = refused_for_a_while(&server).await?;
    leading.wait_for(|leads| *leads).await?;
    assert_eq!((log.lines("WARN").len(), log.lines(ASKED_AGAIN).len()), (1, 1));
    Ok(())
}

/// Somebody holds the Lease, whose clock is in another century, and renewed it then.
fn held_with_a_clock_ahead(server: &ApiServer, second: u32) {
    server.put(json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE, "namespace": CONTROLLER_NAMESPACE},
        "spec": {
            "holderIdentity": "somebody", "leaseDurationSeconds": 15, "leaseTransitions": 1,
            "acquireTime": "2100-01-01T00:00:00.000000Z",
            "renewTime": format!("2100-01-01T00:00:{second:02}.000000Z"),
        },
    }));
}

/// The election alone, in virtual time, as `a`.
fn elect(server: &ApiServer) -> Receiver<bool> {
    let client = server.client_in_process_without_retries(None);
    let election = Election::new(&client, CONTROLLER_NAMESPACE, "a", Timing::default());
    let (leads, leading) = watch::channel(false);
    tokio::spawn(election.run(leads, pending()));
    leading
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_renews_is_taken_though_its_holders_clock_was_ahead() -> Result<()> {
    let server = ApiServer::start().await?;
    held_with_a_clock_ahead(&server, 0);
    let mut leading = elect(&server);
    timeout(Duration::from_mins(2), leading.wait_for(|leads| *leads)).await??;
    assert_eq!(holder(&server).as_deref(), Some("a"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_freed_is_taken_though_its_holders_clock_was_ahead() -> Result<()> {
    let server = ApiServer::start().await?;
    held_with_a_clock_ahead(&server, 0);
    let mut leading = elect(&server);
    sleep(Duration::from_secs(20)).await;
    server.delete("Lease", CONTROLLER_NAMESPACE, LEASE);
    timeout(Duration::from_secs(15), leading.wait_for(|leads| *leads)).await??;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_is_left_to_its_holder_whatever_its_clock_says() -> Result<()> {
    let server = ApiServer::start().await?;
    held_with_a_clock_ahead(&server, 0);
    let leading = elect(&server);
    for second in 1..60 {
        sleep(Duration::from_secs(10)).await;
        held_with_a_clock_ahead(&server, second);
    }
    assert_eq!((holder(&server).as_deref(), *leading.borrow()), (Some("somebody"), false));
    let looked = server.requests().into_iter().filter(is_of_lease).count();
    assert!(looked > 10, "{looked}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn so_does_one_that_does_not_lead_even_then() -> Result<()> {
    let server = ApiServer::start().await?;
    held_with_a_clock_ahead(&server, 0);
    let (log, _kept, leading) = refused_for_a_while(&server).await?;
    while log.lines(ASKED_AGAIN).is_empty() {
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!((log.lines("WARN").len(), *leading.borrow()), (1, false));
    Ok(())
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
