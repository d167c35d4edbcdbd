//! The host files on file systems that refuse to take them.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::host_file::{DIND_MTU, HostFiles, SURVEY_JSON, Written};
use mtu_lab::docker::{NetnsLab, Place};

const MOUNT: &str = "/run/small";

/// A lab with a file system of four pages.
fn small_disk() -> Result<(NetnsLab, PathBuf)> {
    let lab = NetnsLab::new()?;
    lab.check_in(Place::Node, &["mkdir", MOUNT])?;
    lab.check_in(Place::Node, &["mount", "-t", "tmpfs", "-o", "size=16k", "small", MOUNT])?;
    let path = lab.path(MOUNT);
    Ok((lab, path))
}

fn mtu(bytes: u32) -> LinkMtu {
    LinkMtu::new(bytes).expect("not 0")
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_full_disk_leaves_the_old_files_whole_and_heals() -> Result<()> {
    let (_lab, path) = small_disk()?;
    let files = HostFiles::open(path.join("mtu-agent"))?;
    files.write_mtu(mtu(1450))?;
    files.write_survey(b"{}\n")?;

    let error = files.write_survey(&vec![b'x'; 20_000]).expect_err("it does not fit");
    assert_eq!(error.reason(), "disk_full", "{error:?}");
    assert_eq!(fs::read_to_string(path.join("mtu-agent").join(SURVEY_JSON))?, "{}\n");

    let filler = path.join("filler");
    assert!(fs::write(&filler, vec![0; 20_000]).is_err());
    let error = files.write_mtu(mtu(1400)).expect_err("nothing fits");
    assert_eq!(error.reason(), "disk_full", "{error:?}");
    assert_eq!(fs::read_to_string(path.join("mtu-agent").join(DIND_MTU))?, "1450\n");
    assert_eq!(files.last_good()?, Some(mtu(1450)));
    assert_eq!(fs::read_dir(path.join("mtu-agent"))?.count(), 3, "nothing unfinished is left");
    assert_eq!(files.write_mtu(mtu(1450))?, Written::Unchanged);

    fs::remove_file(filler)?;
    assert_eq!(files.write_mtu(mtu(1400))?, Written::Changed);
    assert_eq!(files.last_good()?, Some(mtu(1400)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_disk_without_inodes_is_full_as_well() -> Result<()> {
    let (lab, path) = small_disk()?;
    let files = HostFiles::open(path.join("mtu-agent"))?;
    files.write_mtu(mtu(1450))?;
    lab.check_in(Place::Node, &["mount", "-o", "remount,nr_inodes=4", MOUNT])?;
    let error = files.write_mtu(mtu(1400)).expect_err("no inode is free");
    assert_eq!(error.reason(), "disk_full", "{error:?}");
    assert_eq!(files.last_good()?, Some(mtu(1450)));
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_read_only_disk_is_told_as_such_and_what_it_says_is_read() -> Result<()> {
    let (lab, path) = small_disk()?;
    HostFiles::open(path.join("mtu-agent"))?.write_mtu(mtu(1450))?;
    lab.check_in(Place::Node, &["mount", "-o", "remount,ro", MOUNT])?;
    let files = HostFiles::open(path.join("mtu-agent"))?;
    assert_eq!(files.last_good()?, Some(mtu(1450)));
    let error = files.write_mtu(mtu(1400)).expect_err("it is read-only");
    assert_eq!(error.reason(), "read_only", "{error:?}");
    assert_eq!(HostFiles::open(path.join("another")).expect_err("the same").reason(), "read_only");
    Ok(())
}
