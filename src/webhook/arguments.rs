//! The words that dockerd is started with: whether they tell an MTU already, and where one may be added.

use crate::publish::kubernetes::names::DIND_MTU_ENV;

const FLAG: &str = "--mtu";
const CONFIG_FILE: &str = "--config-file";
/// Nothing after it is a flag.
const END_OF_FLAGS: &str = "--";

/// Flags of `docker` itself; `dockerd` has further ones.
const CLIENT_FLAGS: [&str; 16] = [
    "--config",
    "--context",
    "-c",
    "--debug",
    "-D",
    "--host",
    "-H",
    "--log-level",
    "-l",
    "--tls",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "--tlsverify",
    "--version",
    "--help",
];

/// What `--mtu` says, the last one if there are several, as dockerd itself takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MtuFlag {
    /// There is none.
    Absent,
    /// The variable that mtu-agent adds.
    Ours,
    /// Another variable, which only the kubelet resolves.
    Variable,
    /// A number of bytes.
    Bytes(u32),
    /// What dockerd may refuse, or take for something else (`0` is 1500, `0x5dc` too).
    Unreadable,
}

/// `--mtu=$(MTU_AGENT_DIND_MTU)`: the kubelet puts in what the environment says.
pub(super) fn our_flag() -> String {
    format!("{FLAG}={}", our_reference())
}

fn our_reference() -> String {
    format!("$({DIND_MTU_ENV})")
}

pub(super) fn mtu_flag<'a>(words: impl IntoIterator<Item = &'a str>) -> MtuFlag {
    let mut words = words.into_iter().take_while(|word| *word != END_OF_FLAGS);
    let mut told = MtuFlag::Absent;
    while let Some(word) = words.next() {
        if word == FLAG {
            told = words.next().map_or(MtuFlag::Unreadable, value);
        } else if let Some(text) = word.strip_prefix(FLAG).and_then(|rest| rest.strip_prefix('=')) {
            told = value(text);
        }
    }
    told
}

fn value(text: &str) -> MtuFlag {
    if text == our_reference() {
        return MtuFlag::Ours;
    }
    if text.contains("$(") {
        return MtuFlag::Variable;
    }
    let bytes = text.parse().ok().filter(|bytes: &u32| *bytes > 0 && bytes.to_string() == text);
    bytes.map_or(MtuFlag::Unreadable, MtuFlag::Bytes)
}

/// Whether dockerd is told of a configuration file, which may hold an MTU: with a flag beside it, it does not start.
pub(super) fn name_a_config_file<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    words.into_iter().any(|word| flag_name(word) == CONFIG_FILE)
}

/// Whether words that begin with a flag are dockerd's and not those of the client.
pub(super) fn are_of_a_daemon<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    let mut flags = words.into_iter().filter(|word| word.starts_with('-'));
    flags.any(|word| word != END_OF_FLAGS && !CLIENT_FLAGS.contains(&flag_name(word)))
}

fn flag_name(word: &str) -> &str {
    word.split_once('=').map_or(word, |(name, _)| name)
}

pub(super) fn end_flags<'a>(words: impl IntoIterator<Item = &'a str>) -> bool {
    words.into_iter().any(|word| word == END_OF_FLAGS)
}

/// Where in a container's `args` a flag is added: at the end, or before what is no flag any more.
pub(super) fn place(args: &[String]) -> usize {
    args.iter().position(|word| word == END_OF_FLAGS).unwrap_or(args.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_the_flag_is_read_and_the_last_one_counts() {
        for (words, expected) in [
            (&["--debug"][..], MtuFlag::Absent),
            (&["--mtu=1300"], MtuFlag::Bytes(1300)),
            (&["--mtu", "1300", "--debug"], MtuFlag::Bytes(1300)),
            (&["--mtu=1300", "--mtu", "1500"], MtuFlag::Bytes(1500)),
            (&["--mtu=$(MTU_AGENT_DIND_MTU)"], MtuFlag::Ours),
            (&["--mtu", "$(MTU_AGENT_DIND_MTU)"], MtuFlag::Ours),
            (&["--mtu=$(DIND_MTU)"], MtuFlag::Variable),
            (&["--mtu="], MtuFlag::Unreadable),
            (&["--mtu"], MtuFlag::Unreadable),
            (&["--mtu=0"], MtuFlag::Unreadable),
            (&["--mtu=0x5dc"], MtuFlag::Unreadable),
            (&["--mtu=01450"], MtuFlag::Unreadable),
            (&["--mtu-of-another=1"], MtuFlag::Absent),
            (&["--", "--mtu=1300"], MtuFlag::Absent),
        ] {
            assert_eq!(mtu_flag(words.iter().copied()), expected, "{words:?}");
        }
    }

    #[test]
    fn a_flag_is_added_at_the_end_or_before_what_is_none() {
        let args = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(place(&args(&[])), 0);
        assert_eq!(place(&args(&["dockerd", "--debug"])), 2);
        assert_eq!(place(&args(&["dockerd", "--", "x"])), 1);
    }

    #[test]
    fn a_configuration_file_is_seen_in_either_form() {
        assert!(name_a_config_file(["--config-file=/x"]));
        assert!(name_a_config_file(["--config-file", "/x"]));
        assert!(!name_a_config_file(["--config-files"]));
    }

    #[test]
    fn flags_that_the_client_does_not_have_are_of_a_daemon() {
        assert!(are_of_a_daemon(["--storage-driver=vfs"]));
        assert!(are_of_a_daemon(["-H", "tcp://x", "--group", "1000"]));
        assert!(!are_of_a_daemon(["-H", "tcp://x", "ps"]));
        assert!(!are_of_a_daemon(["--host=tcp://x", "--tls"]));
        assert!(!are_of_a_daemon([]));
    }
}
