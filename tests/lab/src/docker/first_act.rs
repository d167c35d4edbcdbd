//! What a container meets that sends at once: before anybody could have looked at it from outside.

use anyhow::{Context as _, Result};

use super::{
    Family,
    client::Client,
    container::ContainerSpec,
    download::{Download, TIMED_OUT, url},
    http::FILE_BYTES,
    topology::{GATEWAY, GATEWAY6},
};

/// What came of the first packets of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstAct {
    /// The very first, of 1500 bytes and not to be fragmented.
    pub of_1500: Sent,
    /// One of the size that fits the whole way.
    pub of_what_fits: Sent,
    /// A download of the server's file.
    pub download: Download,
}

/// What became of an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was answered.
    Answered,
    /// It did not arrive.
    Lost,
    /// The container's own kernel refused it, since its link carries no more than this.
    Refused(u16),
}

impl FirstAct {
    /// Of a container whose link carries `mtu` from its first packet on.
    pub fn tuned(mtu: u16) -> Self {
        Self { of_1500: Sent::Refused(mtu), of_what_fits: Sent::Answered, download: Download::Completed }
    }

    /// Of one whose link carries 1500 where the path does not: what is too large for it vanishes.
    pub fn untuned() -> Self {
        Self { of_1500: Sent::Lost, of_what_fits: Sent::Answered, download: Download::Hung }
    }

    /// The same with a clamp on the way: TCP works, and only TCP.
    pub fn clamped() -> Self {
        Self { download: Download::Completed, ..Self::untuned() }
    }
}

/// Has a container do nothing else. Its packets of `fits` bytes are to pass.
pub(super) fn run(client: &Client, spec: ContainerSpec, family: Family, fits: u16) -> Result<FirstAct> {
    let (version, gateway, header_bytes) = match family {
        Family::V4 => ("4", GATEWAY, "28"),
        Family::V6 => ("6", GATEWAY6, "48"),
    };
    let script = include_str!("first_act.sh");
    let url = url(family);
    let spec = spec.command(&[
        "sh",
        "-c",
        script,
        "first-act",
        version,
        gateway,
        header_bytes,
        &fits.to_string(),
        &url,
    ]);
    // Its stderr, where `ping` tells of a refusal, becomes a part of what it says.
    let said = client.run(&[&["run", "--rm", "--tty"], spec.run_words().as_slice()].concat())?;
    parse(&said).with_context(|| format!("read what a container says of its first packets:\n{said}"))
}

fn parse(said: &str) -> Option<FirstAct> {
    let after = |key: &str| said.lines().find_map(|line| line.trim().strip_prefix(key));
    let code = |key: &str| after(key)?.parse::<i32>().ok();
    let (of_1500, rest) = said.split_once("of 1500: ")?;
    let (of_what_fits, _) = rest.split_once("of what fits: ")?;
    let complete = code("bytes: ")? == i32::try_from(FILE_BYTES).ok()?;
    Some(FirstAct {
        of_1500: sent(code("of 1500: ")?, of_1500)?,
        of_what_fits: sent(code("of what fits: ")?, of_what_fits)?,
        download: match code("download: ")? {
            0 if complete => Download::Completed,
            TIMED_OUT => Download::Hung,
            _ => return None,
        },
    })
}

/// From the exit code of `ping`, and what it said.
fn sent(code: i32, said: &str) -> Option<Sent> {
    match code {
        0 => Some(Sent::Answered),
        // "local error: message too long, mtu: 1450", or "mtu=1450" of others
        1 => Some(match said.split_once("message too long, mtu") {
            Some((_, mtu)) => {
                let digits = mtu.trim_start_matches(|it: char| !it.is_ascii_digit());
                let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
                Sent::Refused(digits[..end].parse().ok()?)
            }
            None => Sent::Lost,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Download, FirstAct, Sent, parse};

    const REFUSED: &str = "PING 203.0.113.1 (203.0.113.1) 1472(1500) bytes of data.\r
ping: local error: message too long, mtu: 1450\r
\r
--- 203.0.113.1 ping statistics ---\r
1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms\r
\r
of 1500: 1\r
1 packets transmitted, 1 received, 0% packet loss, time 0ms\r
of what fits: 0\r
";

    #[test]
    fn a_refusal_is_read_with_its_mtu_and_a_loss_as_a_loss() {
        let completed = format!("{REFUSED}bytes: 2000000\r\ndownload: 0\r\n");
        assert_eq!(parse(&completed), Some(FirstAct::tuned(1450)));
        let lost = completed.replace("ping: local error: message too long, mtu: 1450", "");
        let first = FirstAct { of_1500: Sent::Lost, ..FirstAct::tuned(1450) };
        assert_eq!(parse(&lost), Some(first));
        let hung = format!("{REFUSED}bytes: 0\r\ndownload: 28\r\n");
        assert_eq!(parse(&hung), Some(FirstAct { download: Download::Hung, ..FirstAct::tuned(1450) }));
    }

    #[test]
    fn what_says_something_else_is_not_guessed_at() {
        assert_eq!(parse(REFUSED), None);
        assert_eq!(parse(&format!("{REFUSED}bytes: 5\r\ndownload: 0\r\n")), None);
        assert_eq!(parse("of 1500: 2\nof what fits: 0\nbytes: 2000000\ndownload: 0\n"), None, "no such host");
    }
}
