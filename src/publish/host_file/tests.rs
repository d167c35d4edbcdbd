use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::Mode;
use tempfile::TempDir;

use super::{DAEMON_JSON, DIND_MTU, HostFileError, HostFiles, SURVEY_JSON, Unusable, Written};
use crate::domain::topology::sample::mtu;

fn opened() -> (TempDir, HostFiles) {
    let parent = TempDir::new().unwrap();
    let files = HostFiles::open(parent.path().join("mtu-agent")).unwrap();
    (parent, files)
}

fn read(files: &HostFiles, name: &str) -> String {
    fs::read_to_string(files.directory.join(name)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn names(files: &HostFiles) -> Vec<String> {
    let entries = fs::read_dir(&files.directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_files_say_the_number_as_their_readers_want_it() {
    let (_parent, files) = opened();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Changed);
    assert_eq!(files.write_survey(b"{}\n").unwrap(), Written::Changed);
    assert_eq!(read(&files, DIND_MTU), "1450\n");
    assert_eq!(
        read(&files, DAEMON_JSON),
        "{\"mtu\":1450,\"default-network-opts\":{\"bridge\":{\"com.docker.network.driver.mtu\":\"1450\"}}}\n"
    );
    assert_eq!(read(&files, SURVEY_JSON), "{}\n");
    assert_eq!(names(&files), [DAEMON_JSON, DIND_MTU, SURVEY_JSON]);
}

#[test]
fn everybody_may_read_them_whatever_the_umask() {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
    let (parent, _) = opened();
    let deep = parent.path().join("deep/er");
    let files = HostFiles::open(&deep).unwrap();
    files.write_mtu(mtu(1450)).unwrap();
    rustix::process::umask(umask);
    assert_eq!(mode(&deep), 0o755);
    assert_eq!([DIND_MTU, DAEMON_JSON].map(|name| mode(&deep.join(name))), [0o644; 2]);
}

#[test]
fn a_directory_that_is_there_keeps_its_mode() {
    let parent = TempDir::new().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o750)).unwrap();
    HostFiles::open(parent.path()).unwrap().write_mtu(mtu(1450)).unwrap();
    assert_eq!(mode(parent.path()), 0o750);
}

#[test]
fn what_is_unchanged_is_not_written_again() {
    let (_parent, files) = opened();
    files.write_mtu(mtu(1450)).unwrap();
    let inode = || fs::metadata(files.directory.join(DIND_MTU)).unwrap().ino();
    let before = inode();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Unchanged);
    assert_eq!(inode(), before);
    assert_eq!(files.write_mtu(mtu(1400)).unwrap(), Written::Changed);
    assert_ne!(inode(), before);
}

#[test]
fn who_reads_while_it_is_replaced_reads_the_old_content_to_its_end() {
    let (_parent, files) = opened();
    files.write_survey(&vec![b'a'; 100_000]).unwrap();
    let mut reader = File::open(files.directory.join(SURVEY_JSON)).unwrap();
    let mut half = vec![0; 50_000];
    reader.read_exact(&mut half).unwrap();
    files.write_survey(&[b'b'; 10]).unwrap();
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!([half, rest].concat(), vec![b'a'; 100_000]);
}

#[test]
fn a_file_that_somebody_changed_is_put_right() {
    let (_parent, files) = opened();
    files.write_mtu(mtu(1450)).unwrap();
    let path = files.directory.join(DIND_MTU);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Changed);
    assert_eq!(mode(&path), 0o644);
    fs::write(&path, "1500\n").unwrap();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Changed);
    assert_eq!(read(&files, DIND_MTU), "1450\n");
}

#[test]
fn a_symbolic_link_is_replaced_and_never_written_through() {
    let (parent, files) = opened();
    let target = parent.path().join("target");
    fs::write(&target, "1450\n").unwrap();
    symlink(&target, files.directory.join(DIND_MTU)).unwrap();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Changed);
    files.write_mtu(mtu(1400)).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "1450\n");
    assert!(fs::symlink_metadata(files.directory.join(DIND_MTU)).unwrap().is_file());
}

#[test]
fn what_a_killed_run_left_is_removed_and_nothing_else() {
    let (_parent, files) = opened();
    files.write_mtu(mtu(1450)).unwrap();
    for name in [".mtu-agent-Xy12.tmp", "notes", ".mtu-agent-config"] {
        fs::write(files.directory.join(name), "14").unwrap();
    }
    let files = HostFiles::open(&files.directory).unwrap();
    assert_eq!(names(&files), [".mtu-agent-config", DAEMON_JSON, DIND_MTU, "notes"]);
    assert_eq!(files.last_good().unwrap(), Some(mtu(1450)));
}

#[test]
fn a_directory_that_vanished_is_made_again() {
    let (_parent, files) = opened();
    files.write_mtu(mtu(1450)).unwrap();
    fs::remove_dir_all(&files.directory).unwrap();
    assert_eq!(files.write_mtu(mtu(1450)).unwrap(), Written::Changed);
    assert_eq!(files.last_good().unwrap(), Some(mtu(1450)));
}

#[test]
fn the_last_good_number_is_read_back_only_if_it_is_one() {
    let (_parent, files) = opened();
    assert_eq!(files.last_good().unwrap(), None);
    for (said, number) in [("1450\n", 1450), ("1450", 1450), ("576\n", 576), ("65535\n", 65_535)] {
        fs::write(files.directory.join(DIND_MTU), said).unwrap();
        assert_eq!(files.last_good().unwrap(), Some(mtu(number)), "{said:?}");
    }
    let garbage: [(&[u8], &str); 10] = [
        (b"", "which is no number"),
        (b"\n", "which is no number"),
        (b"+1450\n", "which is no number"),
        (b"14 50\n", "which is no number"),
        (b"\xff\0\0\0", "which is no number"),
        (b"1450 and something that is much longer than any number", "which is no number"),
        (b"0\n", "which is outside of 576 to 65535"),
        (b"575\n", "which is outside of 576 to 65535"),
        (b"65536\n", "which is outside of 576 to 65535"),
        (b"4294968746\n", "which is outside of 576 to 65535"),
    ];
    for (said, why) in garbage {
        fs::write(files.directory.join(DIND_MTU), said).unwrap();
        let refused = files.last_good().unwrap_err().to_string();
        assert!(refused.ends_with(why), "{said:?}: {refused}");
    }
}

#[test]
fn a_last_good_number_that_is_no_file_does_not_block_the_start() {
    let (_parent, files) = opened();
    let path = files.directory.join(DIND_MTU);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert!(matches!(files.last_good(), Err(Unusable::Unreadable { .. })));
    files.write_mtu(mtu(1450)).unwrap();
    assert_eq!(files.last_good().unwrap(), Some(mtu(1450)));
}

#[test]
fn a_failure_says_what_was_tried_and_has_a_reason_for_a_label() {
    let (parent, files) = opened();
    fs::write(parent.path().join("file"), "").unwrap();
    let error = HostFiles::open(parent.path().join("file/below")).unwrap_err();
    assert!(error.to_string().starts_with("make the directory /"), "{error}");
    fs::create_dir(files.directory.join(DIND_MTU)).unwrap();
    let error = files.write_mtu(mtu(1450)).unwrap_err();
    assert!(error.to_string().ends_with("/mtu-agent/dind-mtu"), "{error}");
    assert_eq!(error.reason(), "other");
    assert_eq!(names(&files), [DAEMON_JSON, DIND_MTU]);

    let reasons = [28, 122, 30, 13, 5].map(|errno| {
        let source = io::Error::from_raw_os_error(errno);
        HostFileError::Replace { path: "/".into(), source }.reason()
    });
    assert_eq!(reasons, ["disk_full", "disk_full", "read_only", "permission_denied", "other"]);
    assert!(reasons.iter().all(|reason| HostFileError::REASONS.contains(reason)));
}

#[test]
fn a_survey_that_is_none_is_said_and_one_that_is_not_there_is_no_trouble() {
    let (_parent, files) = opened();
    assert!(files.last_measured().unwrap().is_empty());
    files.write_survey(b"{\"paths\":[{\"target\":\"registry\"").unwrap();
    let error = files.last_measured().unwrap_err();
    assert!(
        matches!(error, Unusable::NoSurvey { .. }) && error.to_string().ends_with("survey.json is no survey")
    );
}
