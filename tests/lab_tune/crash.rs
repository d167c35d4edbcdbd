//! A run that is killed, or refused, at any of its writes.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mtu_agent::discovery::doors::Doors;
use mtu_agent::discovery::scope::{Selection, choose};
use mtu_agent::discovery::survey::{Sources, Survey, look};
use mtu_agent::domain::mtu::LinkMtu;
use mtu_agent::domain::plan::{Mode, Plan};
use mtu_agent::kernel::RouteSocket;
use mtu_agent::publish::tune::{Ledger, Step, apply, steps};
use mtu_lab::docker::{Container, DockerLab, Dockerd, Level, NetnsLab, Place, Process, Ptb, Signal};
use rustix::process::{getpid, kill_process};

use crate::state::{MTU_AGENT, State, record, tuned};

const KILLS_FROM_OUTSIDE: usize = 20;
/// The clamp, two bridges, two pairs.
const STEPS: usize = 7;

fn lab() -> Result<(DockerLab, Container)> {
    let lab = DockerLab::builder().ptb(Ptb::Blocked).level3(Dockerd::new()).build()?;
    let deep = lab.start_container(Level::Three, &Container::on_network("bridge").name("deep"))?;
    Ok((lab, deep))
}

/// This test's own program in the lab, told what to do to itself.
fn applying(lab: &DockerLab, what: &str) -> Result<Process> {
    let program = std::env::current_exe()?;
    let test = "crash::a_plan_is_applied_until_something_happens";
    let words = [program.to_str().context("text")?, "--ignored", "--exact", test, "--nocapture"];
    let mut command = NetnsLab::command(&words);
    let process = lab.spawn(Place::Node, command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    writeln!(process.take_stdin().context("it has a stdin")?, "{what}")?;
    Ok(process)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn killed_before_any_of_its_writes_another_process_takes_back_all_of_them() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    for step in 0..STEPS {
        let status = applying(&lab, &format!("kill {step}"))?.wait()?;
        ensure!(!status.success() && status.code().is_none(), "it was killed: {status}");
        let killed = State::of(&lab, &[&deep])?;
        assert_eq!(killed.clamped().is_empty(), step == 0, "the clamp is the first step");
        let written = killed.differing(&before).len();
        // A bridge follows its ports by itself.
        assert!((step.saturating_sub(1)..=step).contains(&written), "{written} of {step} are written");
        let recorded = record(&lab)?.context("it was recorded before the first write")?;
        assert_eq!(recorded["links"].as_array().map(Vec::len), Some(STEPS - 1), "all of it");
        if step % 2 == 1 {
            tuned(&lab, &["--netns", "pod", "--apply"])?;
            assert_eq!(
                State::of(&lab, &[&deep])?.differing(&before).len(),
                STEPS - 1,
                "what is left is done"
            );
        }
        tuned(&lab, &["--revert"])?;
        assert_eq!((&State::of(&lab, &[&deep])?, record(&lab)?), (&before, None), "step {step}");
    }
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn killed_from_outside_while_it_writes_links_everything_is_taken_back() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    let mut socket = lab.enter(&deep, RouteSocket::open)??;
    let untouched = socket.links(None)?;
    let mut in_the_middle = 0;
    for _ in 0..KILLS_FROM_OUTSIDE {
        let mut command = NetnsLab::command(&[MTU_AGENT, "tune", "--netns", "pod", "--apply"]);
        let process = lab.spawn(Place::Node, command.stdout(Stdio::null()))?;
        // The container's end is the first link that is written.
        while !process.exit().wait(Duration::ZERO)? && socket.links(None)? == untouched {}
        for _ in 0..fastrand::usize(0..20) {
            socket.links(None)?;
        }
        process.signal(Signal::KILL)?;
        process.wait()?;
        let written = State::of(&lab, &[&deep])?.differing(&before).len();
        in_the_middle += usize::from((1..STEPS - 1).contains(&written));
        tuned(&lab, &["--revert"])?;
        assert_eq!((&State::of(&lab, &[&deep])?, record(&lab)?), (&before, None));
    }
    writeln!(io::stdout(), "{in_the_middle} of {KILLS_FROM_OUTSIDE} were killed between two links")?;
    Ok(())
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn refused_at_any_of_its_links_it_takes_back_what_it_wrote_and_says_which_and_why() -> Result<()> {
    let (lab, deep) = lab()?;
    let before = State::of(&lab, &[&deep])?;
    for step in 1..STEPS {
        let process = applying(&lab, &format!("refuse {step}"))?;
        let said = io::read_to_string(process.take_stdout().context("it has a stdout")?)?;
        ensure!(process.wait()?.success(), "{said}");
        assert!(said.contains("the MTU 60: refused, and what was written before is taken back"), "{said}");
        assert!(said.contains("Invalid argument"), "{said}");
        assert_eq!((&State::of(&lab, &[&deep])?, record(&lab)?), (&before, None), "step {step}");
    }
    Ok(())
}

/// What the tests above start in the lab. Nextest leaves it out: alone it is told nothing, and fails.
#[test]
#[ignore = "the tests that kill it start it"]
fn a_plan_is_applied_until_something_happens() -> Result<()> {
    let mut told = String::new();
    io::stdin().read_line(&mut told)?;
    let (what, step) = told.trim().split_once(' ').context("told when to be killed, or refused")?;
    let at: usize = step.parse()?;

    let doors = Doors::open()?;
    let look = look(&Sources::default())?;
    let survey = Survey::conclude(look, Vec::new(), LinkMtu::DOCKER_DEFAULT, jiff::Timestamp::UNIX_EPOCH);
    let chosen = choose(&survey, &[Selection::Netns("pod".into())])?;
    let opted_in: Vec<_> = chosen.into_iter().map(|chosen| chosen.opted_in).collect();
    let plan = Plan::new(&survey.look.topology, &opted_in, Mode::Both, &[].into());
    let mut steps = steps(&survey.look, &doors, &plan.changes)?;
    ensure!(steps.len() == STEPS, "{steps:?}");
    if what == "refuse" {
        let Step::Link { to, .. } = &mut steps[at] else { anyhow::bail!("a link") };
        *to = LinkMtu::new(60)?; // no link of IPv4 has less than 68
    }
    let mut position = 0;
    let done = apply(&Ledger::new(Path::new("/run/mtu-agent")), &doors, &steps, |_| {
        if what == "kill" && position == at {
            kill_process(getpid(), Signal::KILL).expect("it is our own");
        }
        position += 1;
    });
    let error = anyhow::Error::from(done.expect_err("it was to be refused"));
    writeln!(io::stdout(), "{error:#}")?;
    Ok(())
}
