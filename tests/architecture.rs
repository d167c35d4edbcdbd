//! The direction of the layers: a module names only those before it.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order in which they may name each other.
const LAYERS: [&str; 8] =
    ["domain", "kernel", "probes", "discovery", "publish", "agent", "controller", "webhook"];
/// Those from here on are side by side: none names another.
const FIRST_ROLE: usize = 5;
/// What `domain` must do without, whichever way it is named.
const IMPURE: [&str; 12] = [
    "std::fs",
    "std::net::Udp",
    "std::net::Tcp",
    "std::process",
    "std::thread",
    "std::env",
    "SystemTime",
    "Instant::now",
    "tokio",
    "netlink_",
    "rustix",
    "nix::",
];

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)
}

fn files_of(layer: &str) -> Vec<PathBuf> {
    let mut files = vec![source(&format!("{layer}.rs"))];
    let mut directories = vec![source(layer)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a layer is a directory") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files
}

/// Modules of this crate that the text names: `crate::kernel::…`, `crate::{domain, kernel::…}`.
fn named(text: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect::<String>()
    };
    let mut named = Vec::new();
    for (at, prefix) in text.match_indices("crate::") {
        let rest = &text[at + prefix.len()..];
        match rest.strip_prefix('{') {
            None => named.push(word(rest)),
            Some(group) => {
                let group = &group[..group.find(';').unwrap_or(group.len())];
                let mut depth = 0;
                for part in group.split_inclusive(['{', '}', ',']) {
                    if depth == 0 {
                        named.push(word(part.trim_start()));
                    }
                    depth += i32::from(part.ends_with('{')) - i32::from(part.ends_with('}'));
                }
            }
        }
    }
    named
}

/// A line for each time that a file of a layer names a layer after it, or that of a role another role.
fn offences(position: usize, file: &Path, text: &str) -> Vec<String> {
    let barred = |name: &String| {
        let named = LAYERS.iter().position(|layer| layer == name);
        named.is_some_and(|named| named > position || (named != position && named >= FIRST_ROLE))
    };
    let named = named(text).into_iter().filter(barred);
    named
        .map(|name| format!("{} names `{name}`, which is not before its own layer", file.display()))
        .collect()
}

#[test]
fn every_module_names_only_layers_before_its_own() {
    let offences: Vec<_> = (0..LAYERS.len())
        .flat_map(|layer| files_of(LAYERS[layer]).into_iter().map(move |file| (layer, file)))
        .flat_map(|(layer, file)| offences(layer, &file, &fs::read_to_string(&file).expect("source is text")))
        .collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let offences: Vec<_> = files_of("domain")
        .into_iter()
        .filter(|file| !file.ends_with("tests.rs"))
        .flat_map(|file| {
            let text = fs::read_to_string(&file).expect("source is text");
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect::<Vec<_>>()
                .join("\n");
            let found = IMPURE.into_iter().filter(move |impure| code.contains(impure));
            found.map(|impure| format!("{} names {impure}", file.display())).collect::<Vec<_>>()
        })
        .collect();
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

/// A clock that steps by an hour, either way, neither delays nor hurries anything: whatever waits, waits by the
/// monotonic clock. `netns_agent/wall_clock.rs` steps it; here is that no path which that test does not take reads it.
/// The controller compares it, once each, with the times that other machines put into reports and into the Lease:
/// there is no other way to tell their age. Certificates end by the wall clock, which is handed to them.
#[test]
fn the_wall_clock_dates_what_is_told_and_nothing_waits_for_it() {
    const READERS: [&str; 5] = ["SystemTime", "UNIX_EPOCH", "Timestamp::now", "Zoned::now", "Realtime"];
    const SHOWN: [&str; 3] = ["config_taken(wall())", "Survey::conclude(", "fn wall()"];
    const COMPARED: [&str; 5] = [
        "use super::{clock, wall};",
        "it.report(clock(), wall())",
        "self.timing.left(",
        ".event(key, told, wall())",
        SHOWN[2],
    ];
    let main = [
        "main.rs",
        "agent_command.rs",
        "controller_command.rs",
        "cli.rs",
        "probe.rs",
        "survey.rs",
        "terminal.rs",
        "tune.rs",
    ];
    let main = main.map(source);
    let files = LAYERS.into_iter().flat_map(files_of).chain(main).filter(|file| !file.ends_with("tests.rs"));
    let texts = files.map(|file| (fs::read_to_string(&file).expect("source is text"), file));
    let reads = |line: &&str| READERS.iter().any(|reader| line.contains(reader));
    let readers: Vec<_> = texts
        .filter_map(|(text, file)| text.lines().any(|line| reads(&line)).then_some((file, text)))
        .collect();
    let files: Vec<_> = readers.iter().map(|(file, _)| file.clone()).collect();
    assert_eq!(files, ["agent.rs", "controller.rs", "survey.rs"].map(source));
    for (file, text) in &readers[..2] {
        assert_eq!(
            text.lines().filter(reads).count(),
            1,
            "{} reads the wall clock in one place",
            file.display()
        );
    }
    for (layer, allowed) in [("agent", &SHOWN[..]), ("controller", &COMPARED)] {
        let handed = |file: &PathBuf| ["tests.rs", "certificates.rs"].iter().any(|name| file.ends_with(name));
        for file in files_of(layer).into_iter().filter(|file| !handed(file)) {
            let text = fs::read_to_string(&file).expect("source is text");
            for line in text.lines().filter(|line| line.contains("wall()") || line.contains("wall}")) {
                assert!(allowed.iter().any(|allowed| line.contains(allowed)), "{}: {line}", file.display());
            }
        }
    }
}

/// What knows the webhook's private key has no way to put it anywhere but into the Secret.
#[test]
fn a_private_key_goes_to_no_disk() {
    const DISK: [&str; 4] = ["fs::", "File::", "tempfile", "rustix"];
    let knows = |file: &PathBuf| {
        // Not what is above the repository: its directory may have any name.
        let path = file.strip_prefix(source("")).expect("it is below").to_string_lossy();
        path.contains("certificates") || path.contains("serving_key") || path.contains("webhook")
    };
    let files: Vec<_> = LAYERS.into_iter().flat_map(files_of).filter(knows).collect();
    assert!(files.contains(&source("controller/certificates/cluster.rs")));
    for file in files.iter().filter(|file| !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(file).expect("source is text");
        for disk in DISK {
            assert!(!text.contains(disk), "{} names {disk}", file.display());
        }
    }
}

#[test]
fn the_library_has_no_module_outside_of_the_layers() {
    let library = fs::read_to_string(source("lib.rs")).expect("source is text");
    let modules: Vec<_> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut expected = LAYERS;
    expected.sort_unstable();
    assert_eq!(modules, expected);
}

#[test]
fn a_planted_offence_is_found_however_it_is_written() {
    for text in [
        "use crate::kernel::netns;",
        "use crate::{domain::mtu, kernel};",
        "use crate::{domain::{mtu, link}, kernel::routes};",
        "fn f() { crate::discovery::survey::look(); }",
    ] {
        assert_eq!(offences(0, Path::new("planted.rs"), text).len(), 1, "{text}");
    }
    assert!(
        offences(4, Path::new("fine.rs"), "use crate::kernel::netns; use crate::publish::paint;").is_empty()
    );
}
