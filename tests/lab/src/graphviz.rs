//! What graphviz makes of a graph.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result};

use crate::docker::{LabError, needs};

/// Has `dot` draw a graph as SVG. Anything that it dislikes is an error.
pub fn draw(graph: &str) -> Result<String> {
    needs::check(needs::GRAPHVIZ)?;
    let words = ["dot", "-Tsvg"];
    let mut dot = Command::new(words[0])
        .args(&words[1..])
        .env("PATH", needs::PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start dot")?;
    let mut stdin = dot.stdin.take().context("it has a stdin")?;
    // It reads all of its input before it says anything.
    stdin.write_all(graph.as_bytes()).context("hand the graph to dot")?;
    drop(stdin);
    let Output { status, stdout, stderr } = dot.wait_with_output().context("wait for dot")?;
    let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
    if status.success() && stderr.is_empty() {
        return String::from_utf8(stdout).context("read what dot drew");
    }
    Err(LabError::Command { command: words.join(" "), status, stderr }.into())
}
