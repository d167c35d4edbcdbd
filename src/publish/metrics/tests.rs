use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::catalog::Values;
use super::register::metrics;
use super::*;
use crate::discovery::nested::{NestedPath, NestedProbe, Passes};
use crate::discovery::role::{Role, role};
use crate::discovery::unseen::Unseen;
use crate::domain::link::{LinkKind, LinkRef};
use crate::domain::mtu::PathMtu;
use crate::domain::search::Verdict;
use crate::domain::topology::sample::{Docker, Sample, machine, mtu, pod};
use crate::domain::topology::{HOST, NetnsIx};
use crate::publish::sample::{self, identity};

const TARGETS: [&str; 2] = ["registry.example", "192.0.2.1"];

fn survey(sample: &Sample, paths: Vec<Path>) -> Survey {
    let identities = sample.topology().iter().map(|(ix, _)| identity(&ix.0.to_string())).collect();
    sample::survey(sample, identities, vec![Unseen::opaque("this", "that")], paths)
}

fn outcome(verdict: Verdict) -> Outcome {
    let elapsed = Duration::from_millis(300);
    let (limited_by, rtt, loss) = (None, None, None);
    Outcome {
        verdict,
        limited_by,
        probes_sent: 9,
        bytes_sent: 9000,
        flights: 2,
        rtt,
        loss,
        ptbs_ignored: 0,
        elapsed,
    }
}

fn path(target: &str, address: &str, verdict: Verdict) -> Path {
    let address: IpAddr = address.parse().unwrap();
    Path::new(target.into(), Some(address), PathResult::Searched(outcome(verdict)))
}

fn exact(bytes: u16) -> Verdict {
    Verdict::Exact { path_mtu: PathMtu::new(bytes).unwrap() }
}

/// Two targets, each with an address of both families.
fn four_paths() -> Vec<Path> {
    let of = |target| ["192.0.2.1", "2001:db8::1"].map(|address| path(target, address, exact(1450)));
    TARGETS.into_iter().flat_map(of).collect()
}

/// Below the pods all lets full-size packets through, but for one of two namespaces of level 3; of level 1 nothing is
/// known.
fn nested_paths() -> Vec<NestedPath> {
    let path = |level, passes| {
        let probe = NestedProbe { to: None, mtu: None, passes };
        NestedPath { netns: NetnsIx(usize::from(level)), level, probe, observed_at: None }
    };
    let narrower = Passes::Narrower { path_mtu: PathMtu::new(1450).unwrap() };
    let deep = (2..6).map(|level| path(level, Passes::Full));
    let others = [path(1, Passes::Unknown { why: "no answer".into() }), path(3, narrower)];
    deep.chain(others).collect()
}

/// dockerds three levels deep in a Calico pod of 1450, all of them with docker's own 1500.
fn nested() -> (Sample, [Docker; 2]) {
    let mut sample = machine(1500);
    let (pod, _) = pod(&mut sample, 1450);
    let second = Docker::start(&mut sample, pod, 1500);
    let third = Docker::start(&mut sample, second.container, 1500);
    (sample, [second, third])
}

/// Everything at once, so that no family is empty.
fn busy() -> Metrics {
    let metrics = Metrics::new();
    fill(&metrics, &survey(&nested().0, four_paths()));
    metrics
}

fn fill(metrics: &Metrics, survey: &Survey) {
    metrics.observe_survey(survey, SurveyReason::Start, Duration::from_millis(20));
    metrics.observe_search(&outcome(exact(1450)), &IgnoredCounts { forged: 2, ..IgnoredCounts::default() });
    let mut steady = SteadyMtu::new(Duration::ZERO);
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    steady.observe(Instant::now(), Some(mtu(1450)));
    metrics.observe_published(&steady);
    metrics.config_taken(survey.observed_at);
    metrics.observe_publish(PublishResult::Success, survey.observed_at);
    metrics.tune_pending(3);
    let some = Some(7);
    metrics.observe_passive(&PacketCounters {
        icmp4_unreachable_sent: some,
        icmp6_ptb_sent: some,
        ipv4_fragmentation_failed: some,
        ipv6_fragmentation_failed: some,
        tcp_mtu_probes_failed: some,
        tcp_mtu_probes_passed: None,
    });
}

/// The samples of one metric, as they are told.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.render();
    let is_of = |line: &&str| {
        line.strip_prefix("mtu_agent_")
            .and_then(|line| line.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let bare = |line: &str| line.trim_start_matches("mtu_agent_").trim_start_matches(name).to_owned();
    text.lines().filter(is_of).map(bare).collect()
}

fn series(metrics: &Metrics) -> usize {
    metrics.render().lines().filter(|line| !line.starts_with('#')).count()
}

#[test]
fn a_survey_is_told_by_level_and_kind() {
    let metrics = busy();
    assert_eq!(samples(&metrics, "safe_dind_mtu_bytes"), ["{family=\"ipv4\"} 1450"]);
    assert_eq!(
        samples(&metrics, "mismatched_links"),
        [
            "{kind=\"calico_veth\",level=\"0\"} 0",
            "{kind=\"calico_veth\",level=\"1\"} 0",
            "{kind=\"device\",level=\"0\"} 0",
            "{kind=\"docker_bridge\",level=\"1\"} 1",
            "{kind=\"docker_bridge\",level=\"2\"} 1",
            "{kind=\"docker_veth\",level=\"1\"} 1",
            "{kind=\"docker_veth\",level=\"2\"} 2",
            "{kind=\"docker_veth\",level=\"3\"} 1",
        ]
    );
    let mtus = samples(&metrics, "link_mtu_bytes");
    assert_eq!(mtus.len(), 16);
    assert!(mtus.contains(&"{agg=\"max\",kind=\"calico_veth\",level=\"1\"} 1450".to_owned()), "{mtus:?}");
    let namespaces = ["{level=\"0\"} 1", "{level=\"1\"} 1", "{level=\"2\"} 1", "{level=\"3\"} 1"];
    assert_eq!(samples(&metrics, "namespaces"), namespaces);
    assert_eq!(samples(&metrics, "unseen"), [" 1"]);
    assert_eq!(samples(&metrics, "node_info"), ["{cni=\"Calico\",kernel=\"6.18.0\"} 1"]);
    assert_eq!(samples(&metrics, "last_survey_timestamp_seconds"), [" 1767323045"]);
    assert!(samples(&metrics, "surveys_total").contains(&"{reason=\"start\"} 1".to_owned()));
    assert_eq!(samples(&metrics, "survey_duration_seconds_count"), [" 1"]);
}

#[test]
fn lo_and_a_bridge_without_ports_are_not_told() {
    let mut sample = machine(1400);
    sample.link(HOST, "lo", LinkKind::Loopback, 65536);
    sample.link(HOST, "docker0", LinkKind::Bridge, 1500);
    let metrics = Metrics::new();
    metrics.observe_survey(&survey(&sample, Vec::new()), SurveyReason::Timer, Duration::ZERO);
    assert_eq!(samples(&metrics, "mismatched_links"), ["{kind=\"device\",level=\"0\"} 0"]);
    let both =
        ["{agg=\"max\",kind=\"device\",level=\"0\"} 1400", "{agg=\"min\",kind=\"device\",level=\"0\"} 1400"];
    assert_eq!(samples(&metrics, "link_mtu_bytes"), both);
}

#[test]
fn before_the_first_survey_nothing_is_told_that_is_not_known() {
    let text = Metrics::new().render();
    let gauges: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE mtu_agent_")?.strip_suffix(" gauge"))
        .collect();
    assert_eq!(gauges, BTreeSet::from(["build_info"]));
}

#[test]
fn what_is_gone_is_not_told_any_more() {
    let metrics = busy();
    let mut alone = machine(1460);
    alone.routes(HOST).defaults.clear();
    let unreachable = path(TARGETS[1], "192.0.2.1", Verdict::Unreachable);
    let failed = PathResult::Failed { why: "no such name".into(), unresolved: true };
    let paths = vec![unreachable, Path::new(TARGETS[0].into(), None, failed)];
    metrics.observe_survey(&survey(&alone, paths), SurveyReason::Event, Duration::ZERO);
    assert_eq!(samples(&metrics, "safe_dind_mtu_bytes"), [""; 0]);
    assert_eq!(samples(&metrics, "mismatched_links"), ["{kind=\"device\",level=\"0\"} 0"]);
    assert_eq!(samples(&metrics, "namespaces"), ["{level=\"0\"} 1"]);
    assert_eq!(samples(&metrics, "path_mtu_bytes"), [""; 0]);
    let verdicts = samples(&metrics, "path_verdict");
    assert_eq!(verdicts.len(), VERDICTS.len());
    assert!(verdicts.iter().all(|sample| sample.contains("target=\"192.0.2.1\"")), "{verdicts:?}");

    metrics.observe_passive(&PacketCounters::default());
    assert_eq!(samples(&metrics, "icmp_unreachable_sent_total"), [""; 0]);
    assert_eq!(samples(&metrics, "fragmentation_failures_total"), [""; 0]);
}

#[test]
fn a_path_has_one_verdict_and_a_number_only_if_it_was_measured() {
    let kept = path(TARGETS[0], "192.0.2.1", Verdict::Inconsistent);
    let kept = kept.keeping(&path(TARGETS[0], "192.0.2.1", exact(1400)));
    let learned = PathResult::NotProbed { learned: Some(PathMtu::new(1300).unwrap()) };
    let learned = Path::new("learned.example".into(), Some("192.0.2.7".parse().unwrap()), learned);
    let lower_bound = Verdict::LowerBound { path_mtu: PathMtu::new(1280).unwrap() };
    let paths = vec![kept, learned, path(TARGETS[1], "2001:db8::1", lower_bound)];
    let metrics = Metrics::new();
    metrics.observe_survey(&survey(&machine(1500), paths), SurveyReason::Probe, Duration::ZERO);
    let number = "{direction=\"both\",family=\"ipv6\",target=\"192.0.2.1\"} 1280";
    assert_eq!(samples(&metrics, "path_mtu_bytes"), [number]);
    let verdicts = samples(&metrics, "path_verdict");
    let is: Vec<_> = verdicts.iter().filter_map(|sample| sample.strip_suffix(" 1")).collect();
    assert_eq!(
        is,
        [
            "{direction=\"both\",family=\"ipv4\",target=\"registry.example\",verdict=\"inconsistent\"}",
            "{direction=\"both\",family=\"ipv6\",target=\"192.0.2.1\",verdict=\"lower_bound\"}",
        ]
    );
    assert_eq!(verdicts.len(), 2 * VERDICTS.len());
}

#[test]
fn a_value_too_small_to_be_of_use_is_none() {
    let metrics = Metrics::new();
    metrics.observe_survey(&survey(&machine(500), Vec::new()), SurveyReason::Start, Duration::ZERO);
    assert_eq!(samples(&metrics, "safe_dind_mtu_bytes"), [""; 0]);
}

#[test]
fn every_verdict_is_in_the_set_of_states() {
    /// A new variant does not compile here: it is to be listed in [`VERDICTS`] as well.
    fn next(verdict: Verdict) -> Option<Verdict> {
        let path_mtu = PathMtu::MAX;
        match verdict {
            Verdict::Exact { .. } => Some(Verdict::BlackHole { path_mtu }),
            Verdict::BlackHole { .. } => Some(Verdict::LowerBound { path_mtu }),
            Verdict::LowerBound { .. } => Some(Verdict::Inconsistent),
            Verdict::Inconsistent => Some(Verdict::Unreachable),
            Verdict::Unreachable => None,
        }
    }
    let all: Vec<_> =
        std::iter::successors(Some(exact(68)), |verdict| next(*verdict)).map(Verdict::name).collect();
    assert_eq!(all, VERDICTS);
}

#[test]
fn searches_are_counted_by_verdict_and_messages_by_reason() {
    let metrics = Metrics::new();
    let black_hole = Verdict::BlackHole { path_mtu: PathMtu::new(1450).unwrap() };
    let ignored = IgnoredCounts {
        forged: 1,
        stale: 2,
        off_path: 3,
        absurd: 4,
        malformed: 5,
        duplicate: 6,
        unrelated: 7,
    };
    metrics.observe_search(&outcome(black_hole), &ignored);
    metrics.search_failed();
    let told: BTreeSet<_> =
        samples(&metrics, "searches_total").into_iter().filter(|it| it.ends_with('1')).collect();
    assert_eq!(told, ["{verdict=\"black_hole\"} 1", "{verdict=\"failed\"} 1"].map(str::to_owned).into());
    assert_eq!(samples(&metrics, "searches_total").len(), 6);
    assert_eq!(samples(&metrics, "probes_sent_total"), [" 9"]);
    let told = serde_json::to_value(ignored).unwrap();
    for reason in names::IGNORED {
        let sample = format!("{{reason=\"{reason}\"}} {}", told[reason]);
        assert!(samples(&metrics, "messages_ignored_total").contains(&sample), "{sample}");
    }
}

#[test]
fn a_change_of_the_published_value_is_counted_once_by_its_direction() {
    let metrics = Metrics::new();
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    let now = Instant::now();
    let mut steady = SteadyMtu::new(Duration::ZERO);
    metrics.observe_published(&steady);
    assert_eq!(samples(&metrics, "safe_dind_mtu_stale"), [""; 0]);
    for observed in [Some(1450), Some(1450), Some(1400), None, Some(1500)] {
        steady.observe(now, observed.map(mtu));
        metrics.observe_published(&steady);
        let stale = if observed.is_none() { " 1" } else { " 0" };
        assert_eq!(samples(&metrics, "safe_dind_mtu_stale"), [stale]);
        assert_eq!(samples(&metrics, "published_dind_mtu_bytes"), [format!(" {}", observed.unwrap_or(1400))]);
    }
    let changes = ["{direction=\"down\"} 1", "{direction=\"up\"} 1"];
    assert_eq!(samples(&metrics, "safe_dind_mtu_changes_total"), changes);
}

#[test]
fn the_kernels_counters_are_passed_on_as_they_are() {
    let metrics = Metrics::new();
    for sent in [5, 5, 8, 2] {
        metrics.observe_passive(&PacketCounters {
            icmp4_unreachable_sent: Some(sent),
            ..PacketCounters::default()
        });
        assert_eq!(samples(&metrics, "icmp_unreachable_sent_total"), [format!(" {sent}")]);
    }
}

#[test]
fn every_result_of_a_write_is_one_that_is_counted() {
    let names = [Written::Unchanged.name(), Written::Changed.name()].into_iter();
    let results: Vec<_> = names.chain(HostFileError::REASONS).collect();
    assert_eq!(results, names::WRITES);
    let metrics = Metrics::new();
    metrics.observe_host_file(&Ok(Written::Changed));
    assert!(samples(&metrics, "host_file_writes_total").contains(&"{result=\"changed\"} 1".to_owned()));
}

#[test]
fn attempts_to_publish_are_counted_from_0_and_the_last_success_is_dated() {
    let metrics = Metrics::new();
    let counted = |count: u32, result: &str| format!("{{object=\"nodemtu\",result=\"{result}\"}} {count}");
    assert_eq!(samples(&metrics, "publish_total").len(), PublishResult::ALL.len());
    assert!(samples(&metrics, "publish_total").contains(&counted(0, "refused")));
    let at = |second| Timestamp::from_second(second).unwrap();
    metrics.observe_publish(PublishResult::Unreachable, at(1));
    assert_eq!(samples(&metrics, "publish_last_success_timestamp_seconds"), [""; 0]);
    metrics.observe_publish(PublishResult::Success, at(2));
    metrics.observe_publish(PublishResult::Conflict, at(3));
    for result in ["unreachable", "success", "conflict"] {
        assert!(samples(&metrics, "publish_total").contains(&counted(1, result)), "{result}");
    }
    let dated = ["{object=\"nodemtu\"} 2"];
    assert_eq!(samples(&metrics, "publish_last_success_timestamp_seconds"), dated);
}

#[test]
fn what_tuning_writes_is_counted_from_0_on_where_it_may_write() {
    let metrics = Metrics::new();
    for name in ["tune_writes_total", "tune_answer_seconds_count", "tuned_namespaces"] {
        assert_eq!(samples(&metrics, name), [""; 0]);
    }
    metrics.tuning_begins();
    metrics.count_tune_write(Tuned::Link, TuneResult::Written);
    assert_eq!(
        samples(&metrics, "tune_writes_total"),
        [
            "{kind=\"clamp\",result=\"contested\"} 0",
            "{kind=\"clamp\",result=\"refused\"} 0",
            "{kind=\"clamp\",result=\"written\"} 0",
            "{kind=\"link\",result=\"contested\"} 0",
            "{kind=\"link\",result=\"refused\"} 0",
            "{kind=\"link\",result=\"written\"} 1",
        ]
    );
    assert_eq!(samples(&metrics, "tune_answer_seconds_count"), [" 0"]);
    assert_eq!(samples(&metrics, "tuned_namespaces"), [" 0"]);
}

#[test]
fn a_refused_configuration_leaves_the_time_of_the_last_good_one() {
    let metrics = Metrics::new();
    metrics.config_taken(Timestamp::from_millisecond(1_500).unwrap());
    assert_eq!(samples(&metrics, "config_last_reload_successful"), [" 1"]);
    metrics.config_refused();
    assert_eq!(samples(&metrics, "config_last_reload_successful"), [" 0"]);
    assert_eq!(samples(&metrics, "config_last_reload_success_timestamp_seconds"), [" 1.5"]);
}

#[test]
fn a_usual_node_with_two_targets_has_few_series() {
    let count = series(&busy());
    assert!(count <= 150, "{count} series");
}

/// Links of every kind at every level: six levels, each namespace inside the one before.
fn everything() -> Sample {
    let kinds = [
        ("lo", LinkKind::Loopback),
        ("eth9", LinkKind::Device),
        ("ns0", LinkKind::Netkit),
        ("vx0", LinkKind::Vxlan),
        ("gnv0", LinkKind::Geneve),
        ("wg0", LinkKind::Wireguard),
        ("eth9.4", LinkKind::Vlan),
        ("mv0", LinkKind::Macvlan),
        ("iv0", LinkKind::Ipvlan),
        ("bond0", LinkKind::Bond),
        ("tap0", LinkKind::Tun),
        ("ovs0", LinkKind::Openvswitch),
        ("odd0", LinkKind::Other("odd".into())),
    ];
    let mut sample = machine(1500);
    sample.default_route(
        LinkRef { netns: HOST, ifindex: crate::domain::link::Ifindex::new(2).unwrap() },
        IpFamily::V6,
        None,
    );
    let mut netns = HOST;
    for depth in 0..6 {
        for (name, kind) in &kinds {
            sample.link(netns, name, kind.clone(), 1500 + depth);
        }
        for bridge in ["docker0", "br-0123456789ab", "podman0", "cni0", "br0"] {
            let bridge = sample.link(netns, bridge, LinkKind::Bridge, 1500 + depth);
            let inner = sample.nested_in(netns);
            let [_, outer] = sample.veth((inner, "eth0"), (netns, "veth0"), 1500 + depth);
            sample.enslave(outer, bridge);
        }
        netns = NetnsIx(sample.topology().namespaces.len() - 1);
    }
    let apart = sample.nested_in(HOST);
    sample.disconnect(apart);
    sample
}

#[test]
fn a_level_is_verified_if_nothing_there_lets_less_through_and_unknown_has_no_sample() {
    let metrics = Metrics::new();
    let survey = survey(&machine(1500), Vec::new());
    let told = |survey: &Survey| {
        metrics.observe_survey(survey, SurveyReason::Probe, Duration::ZERO);
        samples(&metrics, "nested_path_verified")
    };
    assert_eq!(told(&survey), [""; 0]);
    let survey = survey.with_nested_paths(nested_paths());
    assert_eq!(told(&survey), ["{level=\"2\"} 1", "{level=\"3\"} 0", "{level=\"4+\"} 1"]);
    assert_eq!(told(&survey.with_nested_paths(Vec::new())), [""; 0]);
}

#[test]
fn no_node_with_two_targets_has_more_than_150_series() {
    let sample = everything();
    let topology = sample.topology();
    let links = topology
        .iter()
        .flat_map(|(netns, it)| it.links.keys().map(move |ifindex| LinkRef { netns, ifindex: *ifindex }));
    let roles: BTreeSet<Role> = links.map(|at| role(topology, at)).collect();
    assert!(roles.len() >= 18, "{roles:?}");
    let survey = survey(&sample, four_paths());
    let metrics = Metrics::new();
    fill(&metrics, &survey);
    let count = series(&metrics);
    assert!(count <= 150, "{count} series");
    let everywhere = Metrics::new();
    fill(&everywhere, &self::survey(&sample, four_paths()).with_nested_paths(nested_paths()));
    everywhere.tuning_begins();
    let tuning = series(&everywhere).saturating_sub(count);
    assert!((1..=20).contains(&tuning), "{tuning} more where something may be tuned");

    let told: f64 = samples(&metrics, "mismatched_links")
        .iter()
        .map(|it| it.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(told.to_string(), survey.findings.len().to_string(), "what is told as other is not lost");
    assert!(
        samples(&metrics, "mismatched_links")
            .iter()
            .any(|it| it.starts_with("{kind=\"docker_bridge\",level=\"2\"}"))
    );
}

#[test]
fn every_metric_is_described_and_has_no_other_labels_or_values() {
    let (metrics, described) = metrics();
    fill(&metrics, &survey(&everything(), four_paths()).with_nested_paths(nested_paths()));
    metrics.tuning_begins();
    let families = metrics.registry.gather();
    assert_eq!(families.len(), described.len());
    for family in families {
        let described = described.iter().find(|it| it.name == family.name()).expect("it is described");
        assert_eq!(family.help(), described.help);
        assert_eq!(
            format!("{:?}", family.get_field_type()).to_lowercase(),
            described.kind,
            "{}",
            family.name()
        );
        for metric in family.get_metric() {
            assert_eq!(metric.get_label().len(), described.labels.len());
            for pair in metric.get_label() {
                let label =
                    described.labels.iter().find(|it| it.name == pair.name()).expect("it is described");
                match label.values {
                    Values::Closed(values) => assert!(values.contains(&pair.value()), "{pair:?}"),
                    Values::Few(_) => {}
                }
            }
        }
    }
}

#[test]
fn a_scrape_sees_the_whole_of_a_survey_or_nothing_of_it() {
    let surveys = [1400, 1450].map(|bytes| survey(&machine(bytes), Vec::new()));
    let metrics = Metrics::new();
    metrics.observe_survey(&surveys[0], SurveyReason::Start, Duration::ZERO);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for survey in surveys.iter().cycle().take(2_000) {
                metrics.observe_survey(survey, SurveyReason::Event, Duration::ZERO);
            }
        });
        while !writer.is_finished() {
            let text = metrics.render();
            let mtus: BTreeSet<_> = text
                .lines()
                .filter(|line| {
                    line.starts_with("mtu_agent_link_mtu")
                        || line.starts_with("mtu_agent_safe_dind_mtu_bytes")
                })
                .map(|line| line.rsplit(' ').next().unwrap())
                .collect();
            assert_eq!(mtus.len(), 1, "{text}");
        }
    });
}
