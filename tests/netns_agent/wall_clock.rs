//! A wall clock that steps by an hour while the agent runs: nothing waits by it, and it dates what is told.

use std::io::{self, Read as _};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use mtu_lab::agent::{Agent, PATIENCE};
use mtu_lab::docker::{NetnsLab, Place, SERVER};
use mtu_lab::wall_clock::{Step, WallClock};
use socket2::{Domain, Protocol, Socket, Type};

use super::{PUBLISHED, agent, lab};

/// Between two checks of a path, to which a node adds up to a tenth, and at least between two surveys.
const INTERVAL: Duration = Duration::from_secs(1);
const RAISE_AFTER: Duration = Duration::from_secs(3);
/// How much later than meant anything happens on a busy machine. Of an hour it is nothing.
const SLACK: Duration = Duration::from_secs(2);
const PATH_MTU: usize = 1460;
const SAFE: &str = "mtu_agent_safe_dind_mtu_bytes{family=\"ipv4\"}";

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_wall_clock_that_steps_an_hour_ahead_hurries_nothing() -> Result<()> {
    goes_on_through(Step::Ahead)
}

#[test]
#[ignore = "needs root and namespaces; `.ci/run lab` runs it"]
fn a_wall_clock_that_steps_an_hour_back_delays_nothing() -> Result<()> {
    goes_on_through(Step::Back)
}

fn goes_on_through(step: Step) -> Result<()> {
    let lab = lab()?;
    let mut clock = WallClock::right(&lab, step)?;
    let mut checks = Checks::of(&lab)?;
    let knobs =
        ["--target", SERVER, "--probe-interval", "1s", "--resync-interval", "1s", "--raise-after", "3s"];
    let mut agent = agent().args(&knobs).through(&clock.program()).start(&lab)?;
    agent.until("a search", |agent| Ok((searches(agent)? == Some(1.0)).then_some(())))?;
    agent.until_sample(PUBLISHED, 1460.0)?;
    is_dated_by(&clock, &agent)?;

    checks.forget()?;
    let mut times = vec![checks.next()?, checks.next()?];
    clock.step()?;
    times.extend([checks.next()?, checks.next()?, checks.next()?]);
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        ensure!((INTERVAL / 2..2 * INTERVAL).contains(&apart), "two checks are {apart:?} apart: {times:?}");
    }
    // A busy machine that answers a check too late is searched once more; a hurried agent would search all the time.
    ensure!(searches(&agent)? <= Some(2.0), "checks, and no searches: {:?}", searches(&agent)?);

    clock.step()?;
    surveys_go_on(&agent)?;
    is_dated_by(&clock, &agent)?;

    lab.set_link_mtu(Place::Node, "eth0", 1400)?;
    agent.until_sample(PUBLISHED, 1400.0)?;
    agent
        .until("the survey", |agent| Ok((agent.survey()?["safe_dind_mtu"]["value"] == 1400).then_some(())))?;
    a_raise_takes_its_time(&lab, &agent, &mut clock)?;
    is_dated_by(&clock, &agent)?;

    assert!(agent.page("/healthz")?.0);
    let complaints: Vec<_> = agent.log()?.iter().filter(|line| line["level"] != "INFO").collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    let (code, took) = agent.stop()?;
    assert!(code == Some(0) && took < SLACK, "{code:?} after {took:?}");
    Ok(())
}

fn searches(agent: &Agent<'_>) -> Result<Option<f64>> {
    Ok(agent.metrics()?.sum("mtu_agent_searches_total"))
}

/// Three that no event asked for come after each other, and not at once.
#[expect(clippy::disallowed_methods, reason = "how long it lasts is what is tested")]
fn surveys_go_on(agent: &Agent<'_>) -> Result<()> {
    const RESYNCS: &str = "mtu_agent_surveys_total{reason=\"timer\"}";
    let began = Instant::now();
    let before = agent.metrics()?.value(RESYNCS).context("a counter")?;
    agent.until("three surveys", |agent| {
        Ok((agent.metrics()?.value(RESYNCS) >= Some(before + 3.0)).then_some(()))
    })?;
    let took = began.elapsed();
    ensure!((2 * INTERVAL..3 * INTERVAL + SLACK).contains(&took), "three surveys took {took:?}");
    Ok(())
}

/// The clock steps while a larger value waits.
#[expect(clippy::disallowed_methods, reason = "how long it lasts is what is tested")]
fn a_raise_takes_its_time(lab: &NetnsLab, agent: &Agent<'_>, clock: &mut WallClock<'_>) -> Result<()> {
    let began = Instant::now();
    lab.set_link_mtu(Place::Node, "eth0", 1460)?;
    agent.until_sample(SAFE, 1460.0)?;
    clock.step()?;
    agent.until_sample(PUBLISHED, 1460.0)?;
    let took = began.elapsed();
    ensure!((RAISE_AFTER..RAISE_AFTER + SLACK).contains(&took), "the value was raised after {took:?}");
    Ok(())
}

/// What is told from now on has the date that the clock reads.
fn is_dated_by(clock: &WallClock<'_>, agent: &Agent<'_>) -> Result<()> {
    let is_now = |date: SystemTime| {
        let now = clock.now();
        now.duration_since(date).or_else(|_| date.duration_since(now)).is_ok_and(|apart| apart < PATIENCE)
    };
    agent.until("a survey of the new date", |agent| {
        let survey = agent.survey()?;
        let observed: jiff::Timestamp = survey["observed_at"].as_str().context("a date")?.parse()?;
        let told = agent.metrics()?.value("mtu_agent_last_survey_timestamp_seconds").context("a date")?;
        let told = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(told);
        Ok((is_now(observed.into()) && is_now(told)).then_some(()))
    })
}

/// The larger packets of checks, as they arrive at the server.
struct Checks {
    socket: Socket,
    last: Option<Instant>,
}

impl Checks {
    fn of(lab: &NetnsLab) -> Result<Self> {
        let open = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4));
        let socket = lab.enter(Place::Server, open)??;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, last: None })
    }

    /// Lets go of all that have arrived.
    fn forget(&mut self) -> Result<()> {
        self.socket.set_nonblocking(true)?;
        loop {
            match self.socket.read(&mut [0; 4096]) {
                Ok(_) => {}
                Err(empty) if empty.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(self.socket.set_nonblocking(false)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the next. One whose answer came too late for a busy machine is repeated at once, and once: that is
    /// no other check.
    fn next(&mut self) -> Result<Instant> {
        let mut arrived = self.large_packet()?;
        if self.last.is_some_and(|last| arrived - last < INTERVAL / 2) {
            arrived = self.large_packet()?;
        }
        self.last = Some(arrived);
        Ok(arrived)
    }

    #[expect(clippy::disallowed_methods, reason = "when it arrives is what is tested")]
    fn large_packet(&mut self) -> Result<Instant> {
        while self.socket.read(&mut [0; 4096]).context("wait for a check")? != PATH_MTU {}
        Ok(Instant::now())
    }
}
