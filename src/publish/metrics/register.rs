//! Name, labels and help of every metric. `docs/metrics.md` is made of these.

use std::sync::Mutex;

use super::Metrics;
use super::catalog::{AGENT, Catalog, Described, Label};
use super::names::{
    AGGREGATES, CHANGES, DIRECTIONS, FAMILIES, IGNORED, KINDS, NAMESPACE_LEVELS, OBJECTS, PUBLISH_RESULTS,
    REASONS, SEARCHES, TUNE_RESULTS, TUNED, VERDICTS, WRITES,
};
use super::process::OwnProcess;
use crate::publish::links::LEVELS;

const SURVEY_SECONDS: [f64; 5] = [0.01, 0.05, 0.2, 1.0, 5.0];
const ANSWER_SECONDS: [f64; 5] = [0.000_5, 0.001, 0.002, 0.005, 0.05];
const SEARCH_SECONDS: [f64; 5] = [0.1, 0.5, 2.0, 5.0, 15.0];

const LEVEL: Label = Label::closed("level", &LEVELS);
const KIND: Label = Label::closed("kind", &KINDS);
const FAMILY: Label = Label::closed("family", &FAMILIES);
const TARGET: Label = Label::few("target", "as it is configured");
const DIRECTION: Label = Label::closed("direction", &DIRECTIONS);

/// All of them, and what each is.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn metrics() -> (Metrics, Vec<Described>) {
    let mut catalog = Catalog::new(AGENT);
    let metrics = Metrics {
        whole: Mutex::default(),
        published: Mutex::default(),

        safe_dind_mtu: catalog.gauges(
            "safe_dind_mtu_bytes",
            [FAMILY],
            "Largest MTU that nested docker networks of this node may use, as the last survey concluded. None for a \
             family without a default route.",
        ),
        published_dind_mtu: catalog.gauge(
            "published_dind_mtu_bytes",
            "The MTU that this node tells its dockerds: the least over the families, lowered at once, raised only \
             after it lasted.",
        ),
        published_is_stale: catalog.gauge(
            "safe_dind_mtu_stale",
            "1 while the published MTU is the last good one because nothing tells a new one.",
        ),
        published_changes: catalog.counters(
            "safe_dind_mtu_changes_total",
            [Label::closed("direction", &CHANGES)],
            "Changes of the published MTU.",
        ),
        mismatched_links: catalog.gauges(
            "mismatched_links",
            [LEVEL, KIND],
            "Links whose MTU exceeds what a link or route further out carries.",
        ),
        link_mtu: catalog.gauges(
            "link_mtu_bytes",
            [LEVEL, KIND, Label::closed("agg", &AGGREGATES)],
            "Least and largest MTU of the links of one level and kind, without lo and bridges that have no port.",
        ),
        namespaces: catalog.gauges(
            "namespaces",
            [Label::closed("level", &NAMESPACE_LEVELS)],
            "Network namespaces by how deep they are nested. The host is 0, a pod 1; none if no link leads there.",
        ),
        unseen: catalog.gauge("unseen", "What the last survey could not see: the length of its list unseen."),
        path_mtu: catalog.gauges(
            "path_mtu_bytes",
            [TARGET, FAMILY, DIRECTION],
            "Largest packet that was measured to pass to the target. With the verdict lower_bound larger ones may pass.",
        ),
        path_verdict: catalog.gauges(
            "path_verdict",
            [TARGET, FAMILY, DIRECTION, Label::closed("verdict", &VERDICTS)],
            "1 for the verdict of the last search, 0 for the others.",
        ),
        nested_path_verified: catalog.gauges(
            "nested_path_verified",
            [LEVEL],
            "1 if each tuned network namespace of this level that was probed from inside passes full-size packets to a \
             target, 0 if one does not. None while nothing is known, such as without a target.",
        ),
        node_info: catalog.gauges(
            "node_info",
            [
                Label::few("cni", "the CNI that is guessed, or empty"),
                Label::few("kernel", "release of the kernel"),
            ],
            "1: what the node is.",
        ),
        last_survey: catalog
            .gauge("last_survey_timestamp_seconds", "When the last survey was concluded, since the epoch."),

        surveys: catalog.counters(
            "surveys_total",
            [Label::closed("reason", &REASONS)],
            "Surveys that were concluded.",
        ),
        survey_errors: catalog.counter("survey_errors_total", "Surveys that could not be made."),
        survey_duration: catalog.histogram(
            "survey_duration_seconds",
            &SURVEY_SECONDS,
            "How long a survey took, probes not included.",
        ),
        searches: catalog.counters(
            "searches_total",
            [Label::closed("verdict", &SEARCHES)],
            "Searches of a path MTU. failed: it could not run, for want of an address, a way out or a socket.",
        ),
        search_duration: catalog.histogram(
            "search_duration_seconds",
            &SEARCH_SECONDS,
            "How long a search took, from its first probe to its verdict.",
        ),
        probes_sent: catalog.counter("probes_sent_total", "Packets that searches sent."),
        messages_ignored: catalog.counters(
            "messages_ignored_total",
            [Label::closed("reason", &IGNORED)],
            "ICMP messages that were not believed.",
        ),
        netlink_events: catalog
            .counter("netlink_events_total", "Changes of links, addresses, routes and namespaces that the kernel told."),
        netlink_overruns: catalog.counter(
            "netlink_overruns_total",
            "Times that the kernel dropped events; everything is read again after each.",
        ),
        host_file_writes: catalog.counters(
            "host_file_writes_total",
            [Label::closed("result", &WRITES)],
            "Writes of the host files. Whatever is neither changed nor unchanged failed, and left the old file whole.",
        ),
        publishes: catalog.counters(
            "publish_total",
            [Label::closed("object", &OBJECTS), Label::closed("result", &PUBLISH_RESULTS)],
            "Attempts to tell Kubernetes: the NodeMtu with its status is one. Whatever is no success is tried again.",
        ),
        published_at: catalog.gauges(
            "publish_last_success_timestamp_seconds",
            [Label::closed("object", &OBJECTS)],
            "When Kubernetes was last told, since the epoch.",
        ),
        config_is_current: catalog
            .gauge("config_last_reload_successful", "1 if the last configuration was taken over, 0 if it was refused."),
        config_loaded: catalog.gauge(
            "config_last_reload_success_timestamp_seconds",
            "When a configuration was last taken over, since the epoch.",
        ),

        tune_pending: catalog.gauge(
            "tune_changes_pending",
            "Changes that would be made where somebody opted in and are not: what tuning would do, were it allowed.",
        ),
        tune_writes: catalog.later_counters(
            "tune_writes_total",
            [Label::closed("kind", &TUNED), Label::closed("result", &TUNE_RESULTS)],
            "Links and clamps that were written. refused: by the kernel, and what belongs to it was taken back. \
             contested: somebody sets it back again and again, and it is left alone.",
        ),
        tune_answer: catalog.later_histogram(
            "tune_answer_seconds",
            &ANSWER_SECONDS,
            "From a new link's event to the write that answers it.",
        ),
        tuned_namespaces: catalog
            .gauge("tuned_namespaces", "Network namespaces whose new links are answered as they come."),

        icmp_unreachable_sent: catalog.kernel_counters(
            "icmp_unreachable_sent_total",
            [],
            "ICMPv4 destination unreachable messages that the host sent, fragmentation needed among them.",
        ),
        icmp6_packet_too_big_sent: catalog.kernel_counters(
            "icmp6_packet_too_big_sent_total",
            [],
            "ICMPv6 packet too big messages that the host sent.",
        ),
        fragmentation_failures: catalog.kernel_counters(
            "fragmentation_failures_total",
            [FAMILY],
            "Packets that were too large for their link and could not be fragmented.",
        ),
        tcp_mtu_probe_failures: catalog.kernel_counters(
            "tcp_mtu_probe_failures_total",
            [],
            "Probes of TCP's own path MTU search that were lost.",
        ),
        registry: catalog.registry.clone(),
    };
    // A constant gauge cannot become unknown, so nothing needs to hold it.
    let build_info =
        catalog.gauges("build_info", [Label::few("version", "of mtu-agent")], "1: what is running.");
    build_info.replace([([env!("CARGO_PKG_VERSION").to_owned()], 1.0)]);
    catalog.add(OwnProcess::new(), OwnProcess::described());
    (metrics, catalog.described)
}
