//! The end that is asked for.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Result;
use mtu_lab::docker::{NetnsLab, Place, SERVER};

use super::{agent, lab};

const SOON: Duration = Duration::from_secs(2);

/// Whether a counter of nftables has counted anything.
fn counts(lab: &NetnsLab, place: Place<'_>, counter: &[&str]) -> Result<Option<()>> {
    let told = lab.check_in(place, &[&["nft", "list", "counter"], counter].concat())?;
    Ok((!told.contains("packets 0 ")).then_some(()))
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn it_stops_at_once_when_it_is_told_to() -> Result<()> {
    let lab = lab()?;
    for _ in 0..5 {
        let agent = agent().start(&lab)?;
        let (code, took) = agent.stop()?;
        assert_eq!(code, Some(0));
        assert!(took < SOON, "{took:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn clients_that_say_nothing_do_not_keep_it() -> Result<()> {
    let lab = lab()?;
    let agent = agent().start(&lab)?;
    let address = agent.address();
    let _silent = lab.enter(Place::Node, || {
        let connect = || {
            let mut stream = TcpStream::connect(address)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\n")?;
            Ok(stream)
        };
        (0..40).map(|_| connect()).collect::<Result<Vec<_>>>()
    })??;
    let (code, took) = agent.stop()?;
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_resolver_that_does_not_answer_does_not_keep_it() -> Result<()> {
    let lab = lab()?;
    lab.nft(
        Place::Server,
        "table inet silent { chain input { type filter hook input priority 0; udp dport 53 drop; }; }",
    )?;
    let resolver = "table inet asked { counter questions { }; chain output { type filter hook output priority 0; \
                    udp dport 53 counter name questions; }; }";
    lab.nft(Place::Node, resolver)?;
    let agent = agent().args(&["--target", "registry.example", "--probe-interval", "1s"]).start(&lab)?;
    agent.until("a question to the resolver", |_| {
        counts(&lab, Place::Node, &["inet", "asked", "questions"])
    })?;
    let (code, took) = agent.stop()?;
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_search_under_way_does_not_keep_it() -> Result<()> {
    let lab = lab()?;
    let losing = "table inet loss { counter lost { }; chain input { type filter hook input priority 0; \
                  meta length > 1000 counter name lost drop; }; }";
    lab.nft(Place::Server, losing)?;
    let agent = agent().args(&["--target", SERVER, "--probe-interval", "1s"]).start(&lab)?;
    agent.until("a search that runs", |_| counts(&lab, Place::Server, &["inet", "loss", "lost"]))?;
    let (code, took) = agent.stop()?;
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
    Ok(())
}
