//! The download that the whole matter is about.

use anyhow::{Context as _, Result};

use super::{
    LabError, NetnsLab, Place,
    client::Client,
    dockerd::IMAGE,
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
pub(super) const TIMED_OUT: i32 = 28;

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

/// Downloads the file in a step of a `docker build`, where only what is in the image can be run.
pub(super) fn download_in_build(client: &Client, arguments: &[&str]) -> Result<Download> {
    let dockerfile = format!(
        r"FROM {IMAGE}
RUN printf 'GET /file HTTP/1.0\r\n\r\n' | timeout 4 nc {SERVER} {PORT} >/file; \
    echo ended=$? bytes=$(wc -c </file)
"
    );
    let said = client.run_with_input(
        &[&["build", "--no-cache", "--force-rm", "--quiet=false"], arguments, &["-"]].concat(),
        &dockerfile,
    )?;
    // Last on its line, behind colours, and not the step as docker repeats it.
    let (ended, bytes) = said
        .lines()
        .filter_map(|line| line.rsplit_once("ended=")?.1.split_once(" bytes="))
        .find(|(ended, _)| ended.parse::<u8>().is_ok())
        .with_context(|| format!("the build says {said:?}"))?;
    match (ended, bytes.parse::<usize>()) {
        // The file comes with a header.
        ("0", Ok(bytes)) if bytes > FILE_BYTES => Ok(Download::Completed),
        // Of GNU's `timeout`, or of the older busybox's, which only says that SIGTERM ended it.
        ("124" | "143", Ok(bytes)) if bytes < FILE_BYTES => Ok(Download::Hung),
        _ => anyhow::bail!("download from {SERVER} in a build: `nc` ended with {ended} after {bytes} bytes"),
    }
}
