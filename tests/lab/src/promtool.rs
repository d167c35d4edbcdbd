//! What Prometheus' own tool says of metrics and alerts.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::docker::{LabError, needs};

/// Runs `promtool check metrics` on `text`; anything that it dislikes is an error.
pub fn check_metrics(text: &str) -> Result<()> {
    let output = promtool(&["check", "metrics"], text)?;
    ensure!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Runs `promtool check rules` on a file; anything that it dislikes is an error.
pub fn check_rules(file: &Path) -> Result<()> {
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", utf8(file)?], "").map(drop)
}

/// Runs the unit tests of rules that are in a file.
pub fn test_rules(file: &Path) -> Result<()> {
    promtool(&["test", "rules", utf8(file)?], "").map(drop)
}

fn utf8(file: &Path) -> Result<&str> {
    file.to_str().with_context(|| format!("the name {} is not UTF-8", file.display()))
}

fn promtool(arguments: &[&str], input: &str) -> Result<Output> {
    needs::check(needs::METRICS)?;
    let mut promtool = Command::new("promtool")
        .args(arguments)
        .env("PATH", needs::PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start promtool")?;
    let mut stdin = promtool.stdin.take().context("it has a stdin")?;
    // It reads all of its input before it says anything.
    stdin.write_all(input.as_bytes()).context("hand promtool its input")?;
    drop(stdin);
    let output = promtool.wait_with_output().context("wait for promtool")?;
    if output.status.success() {
        return Ok(output);
    }
    let said = [output.stdout, output.stderr].concat();
    let stderr = String::from_utf8_lossy(&said).trim().to_owned();
    let command = ["promtool"].iter().chain(arguments).copied().collect::<Vec<_>>().join(" ");
    Err(LabError::Command { command, status: output.status, stderr }.into())
}
