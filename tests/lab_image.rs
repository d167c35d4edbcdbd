//! The image: a static binary from scratch, built and run by a real dockerd, with three capabilities and a read-only
//! root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mtu_agent::kernel::file_watch::FileWatch;
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, Place};
use serde_json::Value;

/// What `.ci/run image` built.
fn static_binary() -> Result<PathBuf> {
    let target =
        Path::new(env!("CARGO_BIN_EXE_mtu-agent")).ancestors().nth(2).context("a target directory")?;
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let binary = target.join(triple).join("release/mtu-agent");
    binary.is_file().then_some(binary).context("the static binary is not built: `.ci/run image` builds it")
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn the_image_runs_with_three_capabilities_on_a_read_only_root() -> Result<()> {
    let context = tempfile::tempdir()?;
    fs::copy(static_binary()?, context.path().join("mtu-agent"))?;
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile"), context.path().join("Dockerfile"))?;
    let context_path = context.path().to_str().context("a path in UTF-8")?;

    let lab = DockerLab::vm().level1(Dockerd::new()).level2(None).build()?;
    lab.docker(Level::One, &["build", "--quiet", "--tag", "mtu-agent", context_path])?;
    let _job = lab.start_container(Level::One, &Container::on_network("bridge").name("job"))?;

    let files = tempfile::tempdir()?;
    let survey = files.path().join("survey.json");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut written = runtime.block_on(async { FileWatch::open(&survey) })?;
    let volume = format!("{}:/run/mtu-agent", files.path().display());
    let mut run = vec!["run", "--detach", "--rm", "--name", "agent", "--network", "host", "--read-only"];
    run.extend([
        "--cap-drop",
        "ALL",
        "--cap-add",
        "NET_ADMIN",
        "--cap-add",
        "NET_RAW",
        "--cap-add",
        "NET_BROADCAST",
    ]);
    run.extend(["--security-opt", "no-new-privileges", "--volume", &volume, "mtu-agent"]);
    lab.docker(Level::One, &run)?;
    let waited =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), written.next()).await });
    waited.map_err(|_| anyhow::anyhow!("no survey: {:?}", lab.docker(Level::One, &["logs", "agent"])))??;

    let survey: Value = serde_json::from_slice(&fs::read(&survey)?)?;
    let privileges = serde_json::json!(["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BROADCAST"]);
    assert_eq!(survey["host"]["privileges"], privileges);
    assert_eq!(survey["safe_dind_mtu"]["value"], 1460);
    assert_eq!(
        survey["mismatches"].as_array().map(Vec::len),
        Some(3),
        "docker0 and both ends of the job's veth"
    );
    let metrics =
        lab.check_in(Place::Node, &["curl", "--silent", "--fail", "http://127.0.0.1:9817/metrics"])?;
    assert!(metrics.contains("mtu_agent_safe_dind_mtu_bytes{family=\"ipv4\"} 1460"), "{metrics}");

    lab.docker(Level::One, &["stop", "--time", "5", "agent"])?;
    assert_eq!(fs::read_to_string(files.path().join("dind-mtu"))?, "1460\n", "what was told stays");
    Ok(())
}
