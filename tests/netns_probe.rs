//! The driver on real sockets, in network namespaces of its own.

use std::net::IpAddr;

use anyhow::Result;
use mtu_agent::domain::search::Verdict;
use mtu_agent::kernel::socket::SocketKind;
use mtu_agent::probes::driver::{ProbeError, ProbeReport, ProbeRequest, Prober};
use mtu_lab::router::chain::Chain;
use mtu_lab::router::space::Space;

/// Opens in the namespace, runs on a thread outside of it: as the agent does.
fn probe_from(space: &Space, request: ProbeRequest) -> Result<ProbeReport, ProbeError> {
    let prober = space.run(move || Prober::open(request)).expect("the namespace is there")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(prober.run(|_| {}))
}

fn both(chain: &Chain) -> [IpAddr; 2] {
    [chain.server_v4(), chain.server_v6()]
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_path_without_a_bottleneck_is_as_wide_as_the_own_link() -> Result<()> {
    let chain = Chain::new(&[1500, 1500, 1500])?;
    for destination in both(&chain) {
        let report = probe_from(chain.client(), ProbeRequest::new(destination))?;
        let path_mtu = report.egress.max().expect("1500");
        assert_eq!(path_mtu.get(), 1500);
        assert_eq!(report.outcome.verdict, Verdict::Exact { path_mtu }, "{report:?}");
        assert_eq!(report.socket, SocketKind::Raw);
        println!("{report:#?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_ptb_leads_to_the_answer_and_names_the_router() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    for destination in both(&chain) {
        let report = probe_from(chain.client(), ProbeRequest::new(destination))?;
        assert_eq!(report.outcome.verdict.path_mtu().map(|mtu| mtu.get()), Some(1450), "{report:?}");
        let by = report.outcome.limited_by.expect("a router said so");
        assert_eq!(by.address, Some(chain.router_address(1, destination.is_ipv4())));
        println!("{report:#?}");
    }
    Ok(())
}
