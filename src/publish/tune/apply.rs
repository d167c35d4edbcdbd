//! Carries steps out, and takes back what it wrote when one is refused: that, and nothing that others did meanwhile.

use std::collections::BTreeSet;

use super::home::{Homes, Whereabouts};
use super::ledger::{Ledger, Session};
use super::record::{NetnsId, RecordError};
use super::step::{self, Done, StepError};
use super::{Step, TuneError, revert};
use crate::discovery::doors::Doors;
use crate::domain::error::with_sources;
use crate::domain::link::Ifindex;
use crate::domain::plan::taken_back;

/// Carries the steps out in their order, and calls `before` each; what was there is recorded first. Tells what came of
/// each.
pub fn apply(
    ledger: &Ledger,
    doors: &Doors,
    steps: &[Step],
    mut before: impl FnMut(&Step),
) -> Result<Vec<Done>, TuneError> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let session = ledger.session()?;
    let known = session.load()?;
    let homes = Homes::new(doors, &known);
    let mut steps = steps.to_vec();
    steps.iter_mut().try_for_each(|step| identify(doors, step))?;
    session.add(|record| steps.iter().for_each(|step| record.add(step)))?;
    let mut run = Run { session, homes, followers: BTreeSet::new() };
    let mut all = Vec::new();
    let (mut written, mut unwritten) = (Vec::new(), Vec::new());
    let mut left = steps.into_iter();
    while let Some(mut step) = left.next() {
        before(&step);
        match run.carry_out(&mut step) {
            Ok(done) => {
                if done == Done::Written { &mut written } else { &mut unwritten }.push(step);
                all.push(done);
            }
            Err(source) => {
                let what = step.what();
                written.push(step); // it may be, and have been read back as something else
                unwritten.extend(left);
                let left = take_back(&run.homes, written, &mut unwritten);
                run.session.restore(&known, &unwritten)?;
                return Err(TuneError::Refused { what, left, source });
            }
        }
    }
    // What is as it should be by somebody else is not ours to take back. A bridge that follows its ports does that by
    // itself.
    run.session.restore(&known, &unwritten)?;
    Ok(all)
}

/// What tells its namespace from one that may get its inode later.
fn identify(doors: &Doors, step: &mut Step) -> Result<(), RecordError> {
    let (netns, cookie) = step.home();
    if let Some(door) = doors.get(netns.inode) {
        *cookie = door.cookie()?;
    }
    Ok(())
}

/// One time that steps are carried out.
struct Run<'a> {
    session: Session<'a>,
    homes: Homes<'a>,
    /// Bridges of which a port was lowered: unless somebody has set them by hand, they are lower by that.
    followers: BTreeSet<(NetnsId, Ifindex)>,
}

impl Run<'_> {
    fn carry_out(&mut self, step: &mut Step) -> Result<Done, StepError> {
        let (netns, cookie) = step.home();
        let Whereabouts::Found(door) = self.homes.of(netns, *cookie)? else { return Ok(Done::Gone) };
        let (link, to) = match step {
            Step::Link { link, to } => (link, *to),
            Step::Clamp(_) => return step::clamp(door),
        };
        let may_follow = self.followers.contains(&(netns, link.ifindex));
        let (session, mut now, mut bridge) = (&self.session, link.clone(), None);
        let done = step::lower(door, link, to, |found| {
            bridge = found.master;
            if found.mtu == now.was || (may_follow && found.mtu < now.was) {
                return Ok(());
            }
            now.was = found.mtu;
            session.add(|record| record.add_link(now.clone()))
        });
        *link = now;
        if let Ok(Done::Written) = done {
            self.followers.extend(bridge.map(|bridge| (netns, bridge)));
        }
        done
    }
}

/// Gives what was written what it had then, and adds it to what is not. Tells what could not be taken back.
fn take_back(homes: &Homes<'_>, written: Vec<Step>, unwritten: &mut Vec<Step>) -> Vec<String> {
    let mut left = Vec::new();
    for step in taken_back(written, Step::turn) {
        let taken_back = match &step {
            Step::Link { link, .. } => revert::restore(homes, link),
            Step::Clamp(clamp) => revert::unclamp(homes, clamp),
        };
        match taken_back {
            Ok(_) => unwritten.push(step),
            Err(error) => left.push(format!("{} ({})", step.what(), with_sources(&error))),
        }
    }
    left
}
