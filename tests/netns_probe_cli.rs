//! `mtu-agent probe` as a user meets it, on paths of kernel routers.

use std::process::{Command, Output};

use anyhow::{Context as _, Result};
use mtu_lab::router::chain::Chain;
use mtu_lab::router::space::Space;
use serde_json::{Value, json};

fn probe(space: &Space, arguments: &[&str]) -> Result<Output> {
    let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || Command::new(env!("CARGO_BIN_EXE_mtu-agent")).arg("probe").args(arguments).output();
    Ok(space.run(run)??)
}

fn json_of(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn json_tells_all_of_a_path_with_a_narrow_link() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    for destination in [chain.server_v4(), chain.server_v6()] {
        let output = probe(chain.client(), &[&destination.to_string(), "--output", "json"])?;
        let found = json_of(&output)?;
        let family = if destination.is_ipv4() { "ipv4" } else { "ipv6" };
        assert_eq!(
            (&found["verdict"], &found["path_mtu"], code(&output)),
            (&json!("exact"), &json!(1450), Some(0))
        );
        assert_eq!(
            (&found["destination"], &found["address"], &found["family"]),
            (&json!(destination), &json!(destination), &json!(family))
        );
        assert_eq!(
            (&found["evidence"], &found["method"], &found["direction"]),
            (&json!("measured"), &json!("icmp_echo"), &json!("both"))
        );
        assert_eq!(found["limited_by"]["address"], json!(chain.router_address(1, destination.is_ipv4())));
        assert_eq!((&found["socket"], &found["loss"]), (&json!("raw"), &json!(0.0)));
        let (rtt, elapsed) =
            (found["rtt_ms"].as_f64().context("rtt")?, found["elapsed_ms"].as_f64().context("elapsed")?);
        assert!(0.0 < rtt && rtt <= elapsed, "{found:#}");
        assert!(
            found["flights"].as_u64() >= Some(1) && found["probes_sent"].as_u64() <= Some(10),
            "{found:#}"
        );
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_black_hole_is_1_and_said_in_words() -> Result<()> {
    let chain = Chain::new(&[1500, 1437, 1500])?;
    chain.swallow_ptbs(1)?;
    let output = probe(chain.client(), &[&chain.server_v4().to_string()])?;
    let text = String::from_utf8(output.stdout.clone())?;
    let want = format!(
        "path MTU 1437, black hole: larger packets vanish after {} (hop 1)",
        chain.router_address(1, true)
    );
    assert!(text.contains(&want), "{text}");
    assert_eq!((code(&output), output.stderr.as_slice()), (Some(1), &b""[..]));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_wide_path_is_as_much_as_the_own_link_carries_and_a_limit_is_kept() -> Result<()> {
    let chain = Chain::new(&[1500, 1500])?;
    let server = chain.server_v4().to_string();
    let text = String::from_utf8(probe(chain.client(), &[&server])?.stdout)?;
    assert!(text.contains("path MTU 1500, exact: as much as link"), "{text}");
    let output = probe(chain.client(), &[&server, "--max-mtu", "1400"])?;
    let text = String::from_utf8(output.stdout)?;
    assert!(text.contains("path MTU 1400, exact: as much as was tried"), "{text}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_place_that_cannot_be_reached_is_2_with_the_reason() -> Result<()> {
    let chain = Chain::new(&[1500, 1500])?;
    let server = chain.server_v4().to_string();
    for (arguments, said) in [
        (&["nosuch.invalid"][..], "resolve host name nosuch.invalid"),
        (&[&server, "--device", "nolink"], "nolink"),
        (&[&server, "--netns", "nosuch"], "open network namespace /run/netns/nosuch"),
        (&[&server, "--netns", "/etc/hostname"], "is not a network namespace"),
        (&[&server, "-6"], "has no address of the family"),
    ] {
        let output = probe(chain.client(), arguments)?;
        let complaint = String::from_utf8(output.stderr.clone())?;
        assert_eq!((code(&output), output.stdout.len()), (Some(2), 0), "{arguments:?}: {complaint}");
        assert!(complaint.contains(said), "{arguments:?}: {complaint}");
    }
    let output = probe(&Space::new()?, &[&server])?;
    let complaint = String::from_utf8(output.stderr.clone())?;
    assert_eq!(code(&output), Some(2), "{complaint}");
    assert!(complaint.contains(&format!("no route to {server}")), "{complaint}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_limit_under_the_familys_minimum_is_bad_usage() -> Result<()> {
    let chain = Chain::new(&[1500, 1500])?;
    let output = probe(chain.client(), &[&chain.server_v6().to_string(), "--max-mtu", "1279"])?;
    let complaint = String::from_utf8(output.stderr.clone())?;
    assert_eq!(code(&output), Some(64), "{complaint}");
    assert!(complaint.contains("every IPv6 link carries 1280"), "{complaint}");
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn it_probes_from_another_namespace_on_request() -> Result<()> {
    let chain = Chain::new(&[1500, 1450, 1500])?;
    let elsewhere = Space::new()?;
    let client = chain.client().run(|| std::fs::read_link("/proc/thread-self/ns/net"))??;
    let file = chain
        .client()
        .run(|| format!("/proc/{}/task/{}/ns/net", std::process::id(), rustix::thread::gettid()))?;
    let server = chain.server_v4().to_string();
    assert_eq!(code(&probe(&elsewhere, &[&server])?), Some(2), "there is no way from here");
    let found = json_of(&probe(&elsewhere, &[&server, "--netns", &file, "--output", "json"])?)?;
    assert_eq!(found["path_mtu"], 1450, "from {}", client.display());
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_survey_marks_what_only_the_kernel_learned_as_a_hint() -> Result<()> {
    let chain = Chain::new(&[1500, 1400, 1500])?;
    let server = chain.server_v4().to_string();
    assert_eq!(json_of(&probe(chain.client(), &[&server, "--output", "json"])?)?["path_mtu"], 1400);
    let target = server.clone();
    let survey = chain.client().run(move || {
        let arguments = ["survey", "--no-probe", "--output", "json", "--target", &target];
        Command::new(env!("CARGO_BIN_EXE_mtu-agent")).args(arguments).output()
    })??;
    let survey = json_of(&survey)?;
    let path = &survey["paths"][0];
    assert_eq!(
        (&path["path_mtu"], &path["evidence"], &path["verdict"]),
        (&json!(1400), &json!("learned"), &Value::Null)
    );
    assert_eq!(survey["safe_dind_mtu"]["value"], 1500, "a hint lowers nothing");
    Ok(())
}
