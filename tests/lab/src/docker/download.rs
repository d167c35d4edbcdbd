//! The download that the whole matter is about.

use anyhow::{Context as _, Result};

use super::{
    LabError, NetnsLab, Place,
    http::FILE_BYTES,
    topology::{SERVER, SERVER6},
};

/// The port of the server.
pub(super) const PORT: u16 = 8080;

/// The family of the addresses that a download is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How a download of the server's file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Download {
    /// All of it came.
    Completed,
    /// The connection was made, the request was sent, and then nothing came any more.
    Hung,
}

/// Where the file is.
pub(super) fn url(family: Family) -> String {
    match family {
        Family::V4 => format!("http://{SERVER}:{PORT}/file"),
        Family::V6 => format!("http://[{SERVER6}]:{PORT}/file"),
    }
}

/// Three seconds without a byte are four retransmissions that were lost.
const STALLED: [&str; 4] = ["--speed-limit", "1", "--speed-time", "3"];
/// What `curl` ends with after [`STALLED`].
const TIMED_OUT: i32 = 28;

/// Downloads the file from a new process in `place`.
pub(super) fn download(lab: &NetnsLab, place: Place<'_>, family: Family) -> Result<Download> {
    let url = url(family);
    let mut words = vec!["curl", "-sS", "--connect-timeout", "10", "--output", "/dev/null"];
    words.extend(STALLED);
    words.extend(["--write-out", "%{time_connect} %{size_download}", &url]);
    let output = lab.run(place, &words)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (connected, bytes) = said.split_once(' ').with_context(|| format!("curl says {said:?}"))?;
    if output.status.success() && bytes.parse() == Ok(FILE_BYTES) {
        return Ok(Download::Completed);
    }
    let connected = connected.parse::<f64>().is_ok_and(|seconds| seconds > 0.0);
    if output.status.code() == Some(TIMED_OUT) && connected {
        return Ok(Download::Hung);
    }
    let stderr = format!("{} ({said})", String::from_utf8_lossy(&output.stderr).trim());
    let command = words.join(" ");
    let failure = LabError::Command { command, status: output.status, stderr };
    Err(failure).with_context(|| format!("download {url} at {place:?}"))
}
