//! The metrics, to Prometheus' own taste.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use mtu_agent::discovery::path::{Path, PathResult};
use mtu_agent::discovery::survey::{Sources, Survey, look};
use mtu_agent::domain::fleet::Pool;
use mtu_agent::domain::mtu::{LinkMtu, PathMtu};
use mtu_agent::domain::search::{Outcome, Verdict};
use mtu_agent::domain::steady::SteadyMtu;
use mtu_agent::kernel::counters::PacketCounters;
use mtu_agent::probes::ledger::IgnoredCounts;
use mtu_agent::publish::host_file::Written;
use mtu_agent::publish::metrics::controller::{ConfigMapWrite, ControllerMetrics, EventTold, WatchKind};
use mtu_agent::publish::metrics::{Metrics, SurveyReason};
use mtu_agent::webhook::WebhookMetrics;
use mtu_lab::promtool::check_metrics;

#[test]
#[ignore = "needs promtool; `.ci/run lab` runs it"]
fn prometheus_likes_the_metrics_of_this_machine() -> Result<()> {
    let outcome = Outcome {
        verdict: Verdict::BlackHole { path_mtu: PathMtu::new(1450)? },
        limited_by: None,
        probes_sent: 12,
        bytes_sent: 12_000,
        flights: 3,
        rtt: None,
        loss: None,
        ptbs_ignored: 0,
        elapsed: Duration::from_millis(900),
    };
    let targets = [("registry.example", "192.0.2.1"), ("odd \"name\"\\\n", "2001:db8::1")];
    let path = |(target, address): (&str, &str)| -> Result<Path> {
        Ok(Path::new(target.into(), Some(address.parse()?), PathResult::Searched(outcome)))
    };
    let paths = targets.into_iter().map(path).collect::<Result<_>>()?;
    let now = Timestamp::from_second(1_700_000_000)?;
    let survey = Survey::conclude(look(&Sources::default())?, paths, LinkMtu::DOCKER_DEFAULT, now);

    let metrics = Metrics::new();
    check_metrics(&metrics.render()).context("before the first survey")?;

    metrics.observe_survey(&survey, SurveyReason::Start, Duration::from_millis(20));
    metrics.observe_search(&outcome, &IgnoredCounts::default());
    let mut steady = SteadyMtu::new(Duration::ZERO);
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    steady.observe(Instant::now(), Some(LinkMtu::DOCKER_DEFAULT));
    metrics.observe_published(&steady);
    metrics.observe_host_file(&Ok(Written::Changed));
    metrics.config_taken(now);
    let some = Some(1);
    metrics.observe_passive(&PacketCounters {
        icmp4_unreachable_sent: some,
        icmp6_ptb_sent: some,
        ipv4_fragmentation_failed: some,
        ipv6_fragmentation_failed: some,
        tcp_mtu_probes_failed: some,
        tcp_mtu_probes_passed: None,
    });
    check_metrics(&metrics.render()).context("after it")
}

#[test]
#[ignore = "needs promtool; `.ci/run lab` runs it"]
fn prometheus_likes_the_metrics_of_a_controller() -> Result<()> {
    let metrics = ControllerMetrics::new();
    WebhookMetrics::register(metrics.registry());
    check_metrics(&metrics.render()).context("before anything is known")?;

    let docker = Some(LinkMtu::DOCKER_DEFAULT);
    let pool = Pool { mtu: docker, largest: docker, nodes: 3, reporting: 2, old: 1 };
    metrics.observe_pools(&[("default".to_owned(), pool)].into(), 1);
    metrics.observe_leader(true);
    metrics.observe_foreign(1);
    metrics.config_map_written(ConfigMapWrite::Applied);
    metrics.event_told(EventTold::Created);
    metrics.watch_failed(WatchKind::Nodes);
    let end = Timestamp::from_second(1_800_000_000)?;
    metrics.observe_expiry(Some(end), Some(end));
    check_metrics(&metrics.render()).context("after all of it")
}

#[test]
#[ignore = "needs promtool; `.ci/run lab` runs it"]
fn prometheus_dislikes_a_counter_without_total() {
    let bad = "# HELP mtu_agent_probes Packets.\n# TYPE mtu_agent_probes counter\nmtu_agent_probes 1\n";
    let refused = check_metrics(bad).expect_err("it is told");
    assert!(refused.to_string().contains("_total"), "{refused}");
}
