//! The two packets that keep a known path MTU true, on paths of kernel routers.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use mtu_agent::domain::mtu::{IpFamily, PathMtu};
use mtu_agent::domain::search::confirm::{Confirm, Due};
use mtu_agent::domain::search::control_size;
use mtu_agent::probes::driver::check::Checked;
use mtu_agent::probes::driver::{ProbeRequest, Prober};
use mtu_lab::router::chain::Chain;

/// A path on which 1450 was measured, and whose next check is due now.
fn known(destination: IpAddr) -> Confirm {
    let full = PathMtu::new(1450).expect("a size");
    let control = control_size(IpFamily::of(destination));
    let now = now();
    Confirm::new(full, control, false, Some(Duration::from_millis(1)), now).every(Duration::ZERO, now)
}

#[expect(clippy::disallowed_methods, reason = "the driver's clock is the real one")]
fn now() -> Instant {
    Instant::now()
}

fn check(chain: &Chain, destination: IpAddr, confirm: &mut Confirm) -> Result<Checked> {
    let Due::Check(pair) = confirm.poll(now()) else { anyhow::bail!("a check is due") };
    let prober = chain.client().run(move || Prober::open(ProbeRequest::new(destination)))??;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(prober.check(pair, confirm))?)
}

/// Echo requests that the client's kernel was asked to send, of both families.
fn echo_requests(chain: &Chain) -> Result<u64> {
    let [snmp, snmp6] = ["snmp", "snmp6"].map(|name| {
        chain.client().run(move || std::fs::read_to_string(format!("/proc/thread-self/net/{name}")))
    });
    let (snmp, snmp6) = (snmp??, snmp6??);
    let mut lines = snmp.lines().filter(|line| line.starts_with("IcmpMsg:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let v4 = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "OutType8");
    let v6 = snmp6.lines().find_map(|line| line.strip_prefix("Icmp6OutEchos"));
    let number = |text: Option<&str>| text.map_or(Ok(0), |text| text.trim().parse::<u64>());
    Ok(number(v4.map(|(_, value)| value))? + number(v6)?)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_path_that_still_holds_costs_two_packets() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    for destination in [chain.server_v4(), chain.server_v6()] {
        let mut confirm = known(destination);
        let before = echo_requests(&chain)?;
        assert_eq!(check(&chain, destination, &mut confirm)?, Checked::Holds);
        assert_eq!(echo_requests(&chain)? - before, 2, "{destination}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_path_that_became_narrower_is_searched_again_ptb_or_not() -> Result<()> {
    for is_black_hole in [false, true] {
        let chain = Chain::new(&[1500, 1400, 1500])?;
        if is_black_hole {
            chain.swallow_ptbs(1)?;
        }
        for destination in [chain.server_v4(), chain.server_v6()] {
            let mut confirm = known(destination);
            let checked = check(&chain, destination, &mut confirm)?;
            assert_eq!(checked, Checked::InDoubt, "{destination}, black hole: {is_black_hole}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn an_own_link_that_became_narrower_is_noticed() -> Result<()> {
    let chain = Chain::new(&[1400, 1500])?;
    let mut confirm = known(chain.server_v4());
    assert_eq!(check(&chain, chain.server_v4(), &mut confirm)?, Checked::InDoubt);
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn silence_is_told_apart_from_a_narrower_path() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    chain.server().nft(
        "add table inet silent; add chain inet silent in { type filter hook input priority 0; policy drop; }",
    )?;
    let mut confirm = known(chain.server_v4());
    assert_eq!(check(&chain, chain.server_v4(), &mut confirm)?, Checked::Silent);
    Ok(())
}
