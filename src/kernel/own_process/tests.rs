use std::fs::File;
use std::time::Duration;

use super::{Usage, cpu, field, kilobytes, started, ticks, usage};

const STAT: &str = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 4200 1 1\n";
const STATUS: &str = "Name:\ta\nVmSize:\t  2048 kB\nVmRSS:\t    12 kB\nThreads:\t3\n";

#[test]
fn times_are_found_behind_any_name() {
    assert_eq!(cpu(STAT), Some(Duration::from_secs(2)));
    assert_eq!(ticks(STAT, 22), Some(Duration::from_secs(42)));
    assert_eq!(cpu("7 (cut"), None);
    assert_eq!(cpu("7 (cut) S 1"), None);
}

#[test]
fn what_a_status_does_not_say_is_unknown() {
    assert_eq!(kilobytes(STATUS, "VmRSS:"), Some(12 * 1024));
    assert_eq!(kilobytes(STATUS, "VmSwap:"), None);
    assert_eq!(kilobytes("VmRSS: many\n", "VmRSS:"), None);
    assert_eq!(field(STATUS, "Threads:"), Some("3"));
}

#[test]
fn the_kernel_tells_this_process_everything() {
    let before = usage();
    let Usage { cpu, resident_bytes, virtual_bytes, threads, open_files, max_open_files } = before;
    assert!(cpu.is_some() && resident_bytes < virtual_bytes && threads > Some(0), "{before:?}");
    assert!(open_files < max_open_files, "{before:?}");
    assert!(resident_bytes > Some(100_000), "{before:?}");
    let _files: Vec<_> = (0..100).map(|_| File::open("/proc/self/stat").unwrap()).collect();
    assert!(usage().open_files.unwrap() >= open_files.unwrap() + 90, "tests of other threads close theirs");
    let started = started().unwrap();
    assert!(started > Duration::from_hours(400_000), "{started:?}");
}
