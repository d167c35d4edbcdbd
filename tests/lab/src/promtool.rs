//! What Prometheus' own tool says of metrics.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result};

use crate::docker::{LabError, needs};

/// Runs `promtool check metrics` on `text`; anything that it dislikes is an error.
pub fn check_metrics(text: &str) -> Result<()> {
    needs::check(needs::METRICS)?;
    let words = ["promtool", "check", "metrics"];
    let mut promtool = Command::new(words[0])
        .args(&words[1..])
        .env("PATH", needs::PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start promtool")?;
    let mut stdin = promtool.stdin.take().context("it has a stdin")?;
    // It reads all of its input before it says anything.
    stdin.write_all(text.as_bytes()).context("hand the metrics to promtool")?;
    drop(stdin);
    let Output { status, stderr, .. } = promtool.wait_with_output().context("wait for promtool")?;
    let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
    if status.success() && stderr.is_empty() {
        return Ok(());
    }
    Err(LabError::Command { command: words.join(" "), status, stderr }.into())
}
