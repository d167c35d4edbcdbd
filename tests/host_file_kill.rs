//! SIGKILL at any time leaves whole files.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::publish::host_file::{DAEMON_JSON, DIND_MTU, HostFiles, SURVEY_JSON, daemon_json};

const KILLS: usize = 20;
const MTUS: [u32; 2] = [1400, 1450];

#[test]
fn a_writer_that_is_killed_leaves_whole_files() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut was_unfinished = 0;
    for _ in 0..KILLS {
        kill_a_writer(directory.path(), fastrand::usize(1..8), fastrand::usize(0..1500))?;
        was_unfinished += usize::from(fs::read_dir(directory.path())?.count() > 3);
        files_are_whole(directory.path())?;
    }
    writeln!(io::stdout(), "{was_unfinished} of {KILLS} were killed in the middle of a write")?;
    let files = HostFiles::open(directory.path())?;
    assert_eq!(fs::read_dir(directory.path())?.count(), 3, "what they left unfinished is removed");
    assert!(files.last_good()?.is_some());
    Ok(())
}

/// Kills it after it has told `rounds` times that it goes on, and we have looked `looks` times at what it does.
fn kill_a_writer(directory: &Path, rounds: usize, looks: usize) -> Result<()> {
    let mut writer = Command::new(std::env::current_exe()?)
        .args(["--ignored", "--exact", "files_are_rewritten_until_the_writer_is_killed", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = writer.stdin.take().context("it has a stdin")?;
    writeln!(stdin, "{}", directory.display())?;
    let mut said = BufReader::new(writer.stdout.take().context("it has a stdout")?);
    let told = said.by_ref().lines().filter(|line| line.as_ref().is_ok_and(|line| line.contains("goes on")));
    assert_eq!(told.take(rounds).count(), rounds);
    for _ in 0..looks {
        fs::read_dir(directory)?.count();
    }
    writer.kill()?;
    writer.wait()?;
    Ok(())
}

fn files_are_whole(directory: &Path) -> Result<()> {
    let said = fs::read_to_string(directory.join(DIND_MTU))?;
    assert!(MTUS.iter().any(|mtu| said == format!("{mtu}\n")), "{said:?}");
    let said = fs::read_to_string(directory.join(DAEMON_JSON))?;
    assert!(MTUS.iter().any(|mtu| said == daemon_json(LinkMtu::new(*mtu).expect("not 0"))), "{said:?}");
    let survey: Vec<usize> = serde_json::from_slice(&fs::read(directory.join(SURVEY_JSON))?)?;
    assert!(!survey.is_empty());
    Ok(())
}

/// What [`kill_a_writer`] kills. Run with the others it is told no directory, and has nothing to write.
#[test]
#[ignore = "the test that kills it starts it"]
fn files_are_rewritten_until_the_writer_is_killed() -> Result<()> {
    let mut directory = String::new();
    io::stdin().read_line(&mut directory)?;
    if directory.is_empty() {
        return Ok(());
    }
    let files = HostFiles::open(directory.trim_end())?;
    for round in 1.. {
        files.write_mtu(LinkMtu::new(MTUS[round % 2])?)?;
        let survey: Vec<_> = (0..1000 + round % 7).collect();
        files.write_survey(&serde_json::to_vec(&survey)?)?;
        writeln!(io::stdout(), "goes on")?;
    }
    Ok(())
}
