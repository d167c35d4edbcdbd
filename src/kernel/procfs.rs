//! Which process is in which network namespace, and what its cgroup tells about it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::netns::is_gone;

/// `PROC_PID_INIT_INO` (`include/linux/proc_ns.h`): the first one of this kernel.
pub const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The network namespace of each process that may be looked at.
#[derive(Debug, Default)]
pub struct ProcessTable {
    /// Pid and inode of its network namespace, by pid.
    pub processes: Vec<(u32, u64)>,
    /// How many processes did not say, though they are there (they need `CAP_SYS_PTRACE`).
    pub refused: usize,
}

/// Reads `/proc/*/ns/net`. Processes that end meanwhile are left out.
pub fn processes() -> io::Result<ProcessTable> {
    let mut table = ProcessTable::default();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        match fs::read_link(netns_path(pid)) {
            Ok(target) => {
                let inode = target.to_str().and_then(|target| parse_inode(target, "net"));
                table.processes.extend(inode.map(|inode| (pid, inode)));
            }
            Err(ended) if is_gone(&ended) => {}
            Err(_refused) => table.refused += 1,
        }
    }
    table.processes.sort_unstable();
    Ok(table)
}

/// The namespace file of a process.
pub fn netns_path(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// The inode of the pid namespace whose processes `/proc` shows: that of its process 1.
pub fn pid_namespace() -> Option<u64> {
    let target = fs::read_link("/proc/1/ns/pid").ok()?;
    parse_inode(target.to_str()?, "pid")
}

/// Device and inode of the network namespace that a process is in; `None` if it has ended.
pub fn netns(pid: u32) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(netns_path(pid)) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(ended) if is_gone(&ended) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `net:[4026531840]`
fn parse_inode(target: &str, kind: &str) -> Option<u64> {
    target.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// The cgroup paths of a process, one a line: `0::/path` in v2, `4:memory:/path` in v1. Empty if it ended.
pub fn cgroup(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// The name that a process goes by (`comm`). Empty if it ended.
pub fn command_name(pid: u32) -> String {
    let mut name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.truncate(name.trim_end().len());
    name
}

/// The arguments that a process was started with. Empty if it ended.
pub fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let arguments = line.split(|byte| *byte == 0).filter(|argument| !argument.is_empty());
    arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// The file tree that a process sees, as a path that we can read.
pub fn root(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root"))
}
