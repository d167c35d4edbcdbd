//! Takes back what is not opted in any more, and forgets what is gone.

use std::collections::BTreeSet;

use tracing::info;

use super::{MUCH_SAID, Planner, SMALL_RECORD};
use crate::agent::clock;
use crate::agent::tuner::reach::out_of_reach;
use crate::discovery::doors::Doors;
use crate::discovery::opt_in::OptIns;
use crate::discovery::scope::Chosen;
use crate::discovery::survey::Survey;
use crate::domain::error::with_sources;
use crate::domain::permission::Permission;
use crate::publish::tune::{self, RecordError, TuneError};

impl Planner {
    /// Takes back what an agent wrote where it may write no more. What it cannot write now by its own permission stays.
    pub(super) fn take_back(
        &mut self,
        survey: &Survey,
        doors: &Doors,
        chosen: &[(Chosen, Permission)],
        opt_ins: &OptIns,
    ) -> Result<(), TuneError> {
        let record = self.ledger.session()?.load()?;
        let is_live =
            record.links.iter().any(|link| link.is_live) || record.clamps.iter().any(|clamp| clamp.is_live);
        if !is_live {
            return Ok(());
        }
        let out = |at_least| {
            if self.policy.permission < at_least {
                return BTreeSet::new();
            }
            out_of_reach(survey, doors, chosen, opt_ins, at_least)
        };
        let (links, clamps) = (out(Permission::Links), out(Permission::Clamp));
        let has_link = |link: &tune::RecordedLink| link.is_live && links.contains(&link.netns);
        let has_clamp = |clamp: &tune::RecordedClamp| clamp.is_live && clamps.contains(&clamp.netns);
        if !record.links.iter().any(has_link) && !record.clamps.iter().any(has_clamp) {
            return Ok(());
        }
        if let Some(guards) = &self.guards {
            guards.withdraw(links.clone());
        }
        for reverted in tune::revert_some(&self.ledger, doors, has_link, has_clamp)? {
            let what = reverted.link.map_or_else(|| "clamp".to_owned(), |(name, _)| name);
            match reverted.outcome {
                Ok(_) => info!(netns = reverted.called, what, "not opted in any more: taken back"),
                Err(error) => self.say(format!("{what} of {}: {}", reverted.called, with_sources(&error))),
            }
        }
        Ok(())
    }

    /// Forgets what is gone, while the guards still keep what has ended: afterwards something else may get its inode. Of
    /// the record when there may be much of it.
    pub(super) fn forget(&mut self, doors: &Doors) -> Result<(), RecordError> {
        let (is_there, now) = (|inode| doors.get(inode).is_some(), clock());
        self.refused.retain(|inode, _| is_there(*inode));
        self.undone.retain(|(netns, _), undone| is_there(netns.inode) && !undone.strife.is_over(now));
        self.news.contested().retain(|(netns, _), until| is_there(netns.inode) && now < *until);
        if self.said.len() > MUCH_SAID {
            self.said.clear();
        }
        if self.ledger.session()?.load()?.links.len() > self.many {
            let left = tune::prune(&self.ledger, doors)?;
            self.many = SMALL_RECORD.max(2 * left);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
