//! The driver on real sockets, in network namespaces of its own. Paths of kernel routers, and seeded ones.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mtu_agent::domain::mtu::PathMtu;
use mtu_agent::domain::search::{Progress, Verdict};
use mtu_agent::kernel::egress::{EgressQuery, egress};
use mtu_agent::kernel::socket::{SocketChoice, SocketKind};
use mtu_agent::probes::driver::{ProbeError, ProbeReport, ProbeRequest, Prober};
use mtu_agent::probes::ledger::IgnoredCounts;
use mtu_lab::router::chain::Chain;
use mtu_lab::router::seeded::SeededPath;
use mtu_lab::router::space::Space;
use mtu_lab::scenario::Scenario;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Opens in the namespace, runs on a thread outside of it: as the agent does.
fn open(space: &Space, request: ProbeRequest) -> Result<Prober, ProbeError> {
    space.run(move || Prober::open(request)).expect("the namespace is there")
}

fn run(prober: Prober, on_progress: impl FnMut(&Progress)) -> Result<ProbeReport, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(prober.run(on_progress))
}

fn probe(space: &Space, destination: IpAddr) -> Result<ProbeReport, ProbeError> {
    run(open(space, ProbeRequest::new(destination))?, |_| {})
}

fn both(chain: &Chain) -> [IpAddr; 2] {
    [chain.server_v4(), chain.server_v6()]
}

fn size(bytes: u16) -> PathMtu {
    PathMtu::new(bytes).expect("a possible path MTU")
}

fn scenario(text: &str) -> Scenario {
    Scenario::parse("inline", text).expect("a scenario")
}

/// Runs `f` in the namespace on a thread that has given these capabilities away.
fn without<T: Send + 'static>(
    space: &Space,
    dropped: CapabilitySet,
    f: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    space.run(move || {
        let thread = std::thread::spawn(move || {
            let CapabilitySets { effective, permitted, inheritable } = capabilities(None)?;
            let left = CapabilitySets {
                effective: effective - dropped,
                permitted: permitted - dropped,
                inheritable: inheritable - dropped,
            };
            set_capabilities(None, left)?;
            anyhow::Ok(f())
        });
        thread.join().expect("the thread does not panic")
    })?
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_path_without_a_bottleneck_is_as_wide_as_the_own_link() -> Result<()> {
    let chain = Chain::new(&[1500, 1500, 1500])?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1500) }, "{report:?}");
        assert_eq!(report.socket, SocketKind::Raw);
        assert!(report.outcome.probes_sent <= 6, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_ptb_leads_to_the_answer_and_names_the_router() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1450) }, "{report:?}");
        let by = report.outcome.limited_by.context("a router said so")?;
        assert_eq!(by.address, Some(chain.router_address(1, destination.is_ipv4())), "{report:?}");
        assert!(report.outcome.probes_sent <= 10, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_jumbo_path_with_three_narrower_links_is_exact() -> Result<()> {
    let chain = Chain::new(&[9000, 4352, 1500, 1400])?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1400) }, "{report:?}");
        let by = report.outcome.limited_by.context("a router said so")?;
        assert_eq!(by.address, Some(chain.router_address(3, destination.is_ipv4())), "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_far_router_that_sends_a_ptb_is_told_with_its_distance() -> Result<()> {
    let chain = Chain::new(&[1500, 1500, 1500, 1500, 1500, 1500, 1400])?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1400) }, "{report:?}");
        let by = report.outcome.limited_by.context("a router said so")?;
        let router = chain.router_address(6, destination.is_ipv4());
        assert_eq!((by.address, by.hop), (Some(router), Some(6)), "{report:?}");
        assert!(report.outcome.probes_sent <= 10, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_black_hole_is_found_with_its_hop() -> Result<()> {
    for mtu in [1450, 1437, 1281] {
        let chain = Chain::new(&[1500, 1500, mtu, 1500])?;
        chain.swallow_ptbs(2)?;
        for destination in both(&chain) {
            let report = probe(chain.client(), destination)?;
            assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(mtu) }, "{report:?}");
            let by = report.outcome.limited_by.context("time exceeded tells the hop")?;
            assert_eq!(by.address, Some(chain.router_address(2, destination.is_ipv4())), "{report:?}");
            assert!(report.outcome.probes_sent <= 64, "{report:?}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_second_of_two_black_holes_is_not_missed() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1400])?;
    chain.swallow_ptbs(1)?;
    chain.swallow_ptbs(2)?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(1400) }, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_stale_route_cache_is_a_hint_and_lowers_nothing() -> Result<()> {
    let chain = Chain::new(&[1500, 1400, 1500])?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict.path_mtu(), Some(size(1400)), "{report:?}");
    }
    // The link grows, and the kernel goes on believing what it learned.
    chain.router(1).ip("link set dev right mtu 1500")?;
    chain.router(2).ip("link set dev left mtu 1500")?;
    for destination in both(&chain) {
        let query = move || egress(EgressQuery { destination, device: None, source: None });
        let believed = chain.client().run(query)??;
        assert_eq!(believed.learned, Some(size(1400)), "{believed:?}");
        assert_eq!(believed.max(), Some(size(1500)), "{believed:?}");
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1500) }, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_configured_route_mtu_is_the_largest_size_tried() -> Result<()> {
    let chain = Chain::new(&[1500, 1500])?;
    chain.client().ip("route replace default via 10.9.0.2 mtu 1300")?;
    chain.client().ip("-6 route replace default via fd09::2 mtu 1300")?;
    for destination in both(&chain) {
        let report = probe(chain.client(), destination)?;
        assert_eq!(report.egress.route_mtu, Some(size(1300)), "{report:?}");
        assert_eq!(report.egress.learned, None, "{report:?}");
        assert_eq!(report.outcome.verdict.path_mtu(), Some(size(1300)), "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_own_link_is_the_limit_when_it_shrinks_under_the_search() -> Result<()> {
    for index in 0..2 {
        for kind in [SocketKind::Raw, SocketKind::Ping] {
            let chain = Chain::new(&[1500, 1500])?;
            chain.client().sysctl("ipv4/ping_group_range", "0 0")?;
            let choice = SocketChoice::Only(kind);
            let request = ProbeRequest { choice, ..ProbeRequest::new(both(&chain)[index]) };
            let prober = open(chain.client(), request)?;
            chain.client().ip("link set dev right mtu 1408")?;
            let report = run(prober, |_| {})?;
            assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1408) }, "{report:?}");
            assert_eq!(report.outcome.limited_by.and_then(|by| by.hop), Some(0), "{report:?}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_ping_socket_does_without_net_raw_and_says_so() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1400])?;
    chain.swallow_ptbs(2)?;
    chain.client().sysctl("ipv4/ping_group_range", "0 0")?;
    for destination in both(&chain) {
        let request = ProbeRequest::new(destination);
        let prober = without(chain.client(), CapabilitySet::NET_RAW, || Prober::open(request))??;
        let report = run(prober, |_| {})?;
        assert_eq!(report.socket, SocketKind::Ping);
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(1400) }, "{report:?}");
        let by = report.outcome.limited_by.context("time exceeded tells the hop")?;
        assert_eq!(by.address, Some(chain.router_address(2, destination.is_ipv4())), "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_ping_socket_follows_ptbs() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1400])?;
    chain.client().sysctl("ipv4/ping_group_range", "0 0")?;
    for destination in both(&chain) {
        let choice = SocketChoice::Only(SocketKind::Ping);
        let request = ProbeRequest { choice, ..ProbeRequest::new(destination) };
        let report = run(open(chain.client(), request)?, |_| {})?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1400) }, "{report:?}");
        let by = report.outcome.limited_by.context("a router said so")?;
        assert_eq!(by.address, Some(chain.router_address(2, destination.is_ipv4())), "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_any_permission_the_error_says_what_to_give() -> Result<()> {
    let chain = Chain::new(&[1500])?;
    chain.client().sysctl("ipv4/ping_group_range", "1 0")?;
    for destination in both(&chain) {
        let request = ProbeRequest::new(destination);
        let opened = without(chain.client(), CapabilitySet::NET_RAW, || Prober::open(request))?;
        let error = opened.expect_err("nothing is allowed");
        let text = error.to_string();
        assert!(text.contains("CAP_NET_RAW") && text.contains("ping_group_range"), "{text}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn without_a_route_the_error_names_the_address() -> Result<()> {
    let space = Space::new()?;
    for destination in ["192.0.2.1", "2001:db8::1"] {
        let error = probe(&space, destination.parse()?).expect_err("there is no route");
        assert!(error.to_string().starts_with(&format!("no route to {destination};")), "{error}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn an_unreachable_route_is_no_route() -> Result<()> {
    let space = Space::new()?;
    space.ip("route add unreachable 192.0.2.0/24")?;
    space.ip("route add blackhole 198.51.100.0/24")?;
    space.ip("-6 route add prohibit 2001:db8::/32")?;
    for destination in ["192.0.2.1", "198.51.100.1", "2001:db8::1"] {
        let error = probe(&space, destination.parse()?).expect_err("the route says no");
        assert!(error.to_string().starts_with(&format!("no route to {destination};")), "{error}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_probe_may_be_bound_to_a_link_and_to_an_address() -> Result<()> {
    let chain = Chain::new(&[1500, 1500])?;
    let client = chain.client();
    let server = chain.server_v4();
    let bound = |device: &str, source: Option<IpAddr>| {
        let request = ProbeRequest { device: Some(device.to_owned()), source, ..ProbeRequest::new(server) };
        open(client, request).and_then(|prober| run(prober, |_| {}))
    };
    let own = Ipv4Addr::new(10, 9, 0, 1).into();
    for source in [None, Some(own)] {
        let report = bound("right", source)?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1500) }, "{report:?}");
        assert_eq!(report.egress.source, Some(own));
    }
    for none in ["nothing", "a name that is too long"] {
        let error = bound(none, None).expect_err("no such link").to_string();
        assert!(error.ends_with(&format!("{none}: no such link in this network namespace")), "{error}");
    }
    for foreign in ["10.9.0.99", "fd09::1"] {
        let error = bound("right", Some(foreign.parse()?)).expect_err("no such address");
        assert!(error.to_string().ends_with("address of this network namespace"), "{error}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_local_address_is_reached_by_its_link() -> Result<()> {
    let chain = Chain::new(&[1500])?;
    chain.server().ip("address add fe80::99/64 dev left nodad")?;
    let request = ProbeRequest { device: Some("right".to_owned()), ..ProbeRequest::new("fe80::99".parse()?) };
    let report = run(open(chain.client(), request)?, |_| {})?;
    assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1500) }, "{report:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_own_addresses_are_as_wide_as_an_ip_packet_can_be() -> Result<()> {
    let chain = Chain::new(&[1500])?;
    for own in ["127.0.0.1", "::1", "10.9.0.1", "fd09::1"] {
        let report = probe(chain.client(), own.parse()?)?;
        assert_eq!(report.egress.device, "lo");
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: PathMtu::MAX }, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_link_that_goes_down_mid_probe_is_an_error_and_not_a_verdict() -> Result<()> {
    let chain = Chain::new(&[1500, 1450])?;
    chain.swallow_ptbs(1)?;
    for destination in both(&chain) {
        let prober = open(chain.client(), ProbeRequest::new(destination))?;
        let mut is_down = false;
        let result = run(prober, |_| {
            if !is_down {
                chain.client().ip("link set dev right down").expect("the link is there");
                is_down = true;
            }
        });
        let error = result.expect_err("the link is down");
        assert!(error.to_string().contains("by link right was lost while probing"), "{error}");
        chain.client().ip("link set dev right up")?;
        chain.client().ip("route add default via 10.9.0.2")?;
        chain.client().ip("address replace fd09::1/64 dev right nodad")?;
        chain.client().ip("-6 route add default via fd09::2")?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_rule_in_an_output_chain_is_named_as_what_it_is() -> Result<()> {
    let chain = Chain::new(&[1500])?;
    chain.client().nft(
        "table inet strict { chain output { type filter hook output priority 0;
           icmp type echo-request drop;
           icmpv6 type echo-request drop;
         }; }",
    )?;
    for destination in both(&chain) {
        let error = probe(chain.client(), destination).expect_err("it is forbidden");
        assert!(error.to_string().starts_with("a firewall rule of this host refuses"), "{error}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_largest_size_below_the_minimum_is_refused() -> Result<()> {
    let chain = Chain::new(&[1500])?;
    let request = ProbeRequest { max: Some(size(1279)), ..ProbeRequest::new(chain.server_v6()) };
    let prober = open(chain.client(), request);
    let error = prober.and_then(|prober| run(prober, |_| {})).expect_err("1279 is less than IPv6 allows");
    assert!(matches!(error, ProbeError::Config { .. }), "{error:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn several_searches_run_at_once_on_one_thread() -> Result<()> {
    let mtus = [1400_u16, 1420, 1440, 1460];
    let chains = mtus.map(|mtu| Chain::new(&[1500, mtu]));
    let mut probers = Vec::new();
    for chain in chains.iter().flatten() {
        chain.swallow_ptbs(1)?;
        for destination in both(chain) {
            probers.push(open(chain.client(), ProbeRequest::new(destination))?);
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reports = runtime.block_on(async {
        let mut searches = tokio::task::JoinSet::new();
        for (index, prober) in probers.into_iter().enumerate() {
            searches.spawn(async move { (index, prober.run(|_| {}).await) });
        }
        searches.join_all().await
    });
    assert_eq!(reports.len(), 8);
    for (index, report) in reports {
        let report = report?;
        let path_mtu = size(mtus[index / 2]);
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu }, "{report:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_dropped_search_leaves_nothing_behind() -> Result<()> {
    let chain = Chain::new(&[1500, 1450])?;
    chain.swallow_ptbs(1)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let prober = open(chain.client(), ProbeRequest::new(chain.server_v4()))?;
        let mut steps = 0;
        // As Ctrl-C would: the future is dropped between two of its steps.
        let result = tokio::time::timeout(Duration::ZERO, prober.run(|_| steps += 1)).await;
        assert!(result.is_err() && steps > 0, "{result:?} after {steps} steps");
        anyhow::Ok(())
    })?;
    let sockets = chain.client().run(|| std::fs::read_to_string("/proc/thread-self/net/raw"))??;
    assert_eq!(sockets.lines().count(), 1, "{sockets}");
    Ok(())
}

const HOLE: &str = "
    about = 'A black hole, 50 ms away.'
    [link]
    mtu = 1500
    [[hop]]
    mtu = 1500
    delay_ms = 12.5
    [[hop]]
    mtu = 1437
    delay_ms = 12.5
    ptb = false
    [expect]
    verdict = 'black_hole'
    path_mtu = 1437
";

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_seeded_router_has_the_delay_of_its_scenario() -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let mut scenario = scenario(HOLE);
        scenario.family =
            if family == "ipv4" { mtu_lab::scenario::Family::Ipv4 } else { mtu_lab::scenario::Family::Ipv6 };
        let path = SeededPath::new(&scenario, 1)?;
        let report = probe(path.client(), path.server_address())?;
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(1437) }, "{report:?}");
        let rtt = report.outcome.rtt.context("there were answers")?;
        assert!(rtt >= Duration::from_millis(50) && rtt < Duration::from_millis(52), "{rtt:?}");
        assert_eq!(path.packets_from_client(), u64::from(report.outcome.probes_sent));
        path.end()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn ptbs_of_the_seeded_router_are_real() -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let text = format!("family = '{family}'\n{}", HOLE.replace("ptb = false", "ptb = true"));
        let scenario = scenario(&text);
        let path = SeededPath::new(&scenario, 1)?;
        let report = probe(path.client(), path.server_address())?;
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu: size(1437) }, "{report:?}");
        let by = report.outcome.limited_by.context("a router said so")?;
        assert_eq!(by.address, Some(scenario.address_of(2)));
        path.end()?;
    }
    Ok(())
}

/// 1000 PTBs per second, absurd and plausible ones, quoting a packet that the forger guesses or has seen.
fn forged(family: &str, quote: &str) -> Scenario {
    let forger = if family == "ipv4" { "10.77.1.1" } else { "fd77::1:1" };
    scenario(&format!(
        "family = '{family}'\n{HOLE}
         [forged]
         mtus = [0, 20, 68, 576, 1280, 1300, 1400, 1500, 9000, 4294967295]
         per_second = 1000.0
         from = '{forger}'
         quote = '{quote}'
        "
    ))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_thousand_forged_ptbs_a_second_do_not_even_reach_the_prober() -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let path = SeededPath::new(&forged(family, "guessed"), 1)?;
        let report = probe(path.client(), path.server_address())?;
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(1437) }, "{report:?}");
        // One in 65536 guesses the identifier, and gets past the filter of the socket.
        let IgnoredCounts { forged, stale, .. } = report.ignored;
        assert!(stale <= 3, "{report:?}");
        assert_eq!(report.ignored, IgnoredCounts { forged, stale, ..IgnoredCounts::default() }, "{report:?}");
        path.end()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_thousand_ptbs_a_second_that_quote_a_real_probe_change_nothing() -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let path = SeededPath::new(&forged(family, "seen"), 1)?;
        let report = probe(path.client(), path.server_address())?;
        assert_eq!(report.outcome.verdict.path_mtu(), Some(size(1437)), "{report:?}");
        assert!(report.outcome.ptbs_ignored > 0, "{report:?}");
        path.end()?;
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_fifth_of_the_packets_lost_each_way_does_not_blur_the_answer() -> Result<()> {
    let lossy = HOLE.replacen("[link]", "[link]\nloss = 0.2", 1);
    for seed in 0..5 {
        let path = SeededPath::new(&scenario(&lossy), seed)?;
        let report = probe(path.client(), path.server_address())?;
        assert_eq!(report.outcome.verdict, Verdict::BlackHole { path_mtu: size(1437) }, "{report:?}");
        path.end()?;
    }
    Ok(())
}
