//! One write in one namespace, and what is read back after it.

use super::follow::Found;
use super::record::{RecordError, RecordedLink};
use crate::domain::link::Link;
use crate::domain::mtu::LinkMtu;
use crate::kernel::clamp::{self, Clamp, ClampError};
use crate::kernel::links::Linked;
use crate::kernel::netns::{NetnsError, NetnsFile};
use crate::kernel::{NetlinkError, RouteSocket};

/// One write that was not made.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its namespace could not be joined.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The link.
    #[error(transparent)]
    Link(#[from] NetlinkError),
    /// The table.
    #[error(transparent)]
    Clamp(#[from] ClampError),
    /// What it has could not be recorded before it was to be changed.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The kernel said yes, and did it not.
    #[error("the kernel took the MTU {wanted}, and then said {now}: its driver may not allow it")]
    NotTaken {
        /// What was written.
        wanted: LinkMtu,
        /// What was read back.
        now: LinkMtu,
    },
    /// The same of the table.
    #[error("the table was written, and then it was {now:?}: somebody else writes tables named mtu_agent")]
    ClampNotTaken {
        /// What was read back.
        now: Clamp,
    },
}

/// What came of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is as wanted now, or was when it ended or moved.
    Written,
    /// It was so already.
    WasSo,
    /// The link is not there any more.
    Gone,
    /// Somebody gave it another value since, which stays.
    ChangedSince {
        /// The value.
        now: LinkMtu,
    },
}

/// Lowers a link to `to`, after `record` was told what it has now.
pub(super) fn lower(
    netns: &NetnsFile,
    link: &RecordedLink,
    to: LinkMtu,
    record: impl FnOnce(&Link<Linked>) -> Result<(), RecordError> + Send,
) -> Result<Done, StepError> {
    let at = Found { netns, ifindex: link.ifindex, moved_from: None };
    with_link(&at, link, |found| {
        if found.mtu <= to {
            return Ok(Next::Stop(Done::WasSo));
        }
        record(found)?;
        Ok(Next::Write(to))
    })
}

/// Gives a link what it had, if it still has what we gave it.
pub(super) fn restore(at: &Found<'_>, link: &RecordedLink) -> Result<Done, StepError> {
    with_link(at, link, |found| {
        Ok(if link.is_ours(found.mtu) {
            Next::Write(link.was)
        } else if found.mtu == link.was {
            Next::Stop(Done::WasSo)
        } else {
            Next::Stop(Done::ChangedSince { now: found.mtu })
        })
    })
}

/// Puts the clamp there.
pub(super) fn clamp(netns: &NetnsFile) -> Result<Done, StepError> {
    netns.run(|| {
        if clamp::read()? == Clamp::Present {
            return Ok(Done::WasSo);
        }
        clamp::put()?;
        match clamp::read()? {
            Clamp::Present => Ok(Done::Written),
            now @ (Clamp::Absent | Clamp::Altered) => Err(StepError::ClampNotTaken { now }),
        }
    })?
}

/// Removes the clamp.
pub(super) fn unclamp(netns: &NetnsFile) -> Result<Done, StepError> {
    netns.run(|| {
        if clamp::read()? == Clamp::Absent {
            return Ok(Done::WasSo);
        }
        clamp::remove()?;
        match clamp::read()? {
            Clamp::Absent => Ok(Done::Written),
            now @ (Clamp::Present | Clamp::Altered) => Err(StepError::ClampNotTaken { now }),
        }
    })?
}

enum Next {
    Write(LinkMtu),
    Stop(Done),
}

fn with_link(
    at: &Found<'_>,
    recorded: &RecordedLink,
    decide: impl FnOnce(&Link<Linked>) -> Result<Next, StepError> + Send,
) -> Result<Done, StepError> {
    at.netns.run(|| {
        let mut socket = RouteSocket::open()?;
        let Some(link) = socket.link(at.ifindex)?.filter(|link| at.is(recorded, link)) else {
            return Ok(Done::Gone);
        };
        let wanted = match decide(&link)? {
            Next::Stop(done) => return Ok(done),
            Next::Write(wanted) => wanted,
        };
        match socket.set_link_mtu(at.ifindex, wanted) {
            Err(gone) if gone.is_no_device() => return Ok(Done::Gone),
            written => written?,
        }
        read_back(link.mtu, wanted, socket.link(at.ifindex)?.map(|link| link.mtu))
    })?
}

/// What came of a write that the kernel took, by what the link has `now`.
fn read_back(found: LinkMtu, wanted: LinkMtu, now: Option<LinkMtu>) -> Result<Done, StepError> {
    match now {
        // It has ended, or has moved with what it was given, to be given back there.
        None => Ok(Done::Written),
        Some(now) if now == wanted => Ok(Done::Written),
        Some(now) if now < wanted && wanted < found => Ok(Done::ChangedSince { now }),
        Some(now) => Err(StepError::NotTaken { wanted, now }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::topology::sample::mtu;

    /// What came of 1500 lowered to 1450, or given back from there, when it was read back.
    fn after([found, wanted]: [u32; 2], now: Option<u32>) -> Result<Done, StepError> {
        read_back(mtu(found), mtu(wanted), now.map(mtu))
    }

    #[test]
    fn a_link_that_ends_or_moves_before_it_is_read_back_is_no_refusal() {
        for write in [[1500, 1450], [1450, 1500]] {
            assert!(matches!(after(write, None), Ok(Done::Written)), "and stays recorded: it may have moved");
        }
    }

    #[test]
    fn what_somebody_lowers_further_before_it_is_read_back_is_theirs() {
        let done = after([1500, 1450], Some(1300));
        assert!(matches!(done, Ok(Done::ChangedSince { now }) if now == mtu(1300)), "{done:?}");
    }

    #[test]
    fn what_stays_larger_than_it_was_made_or_is_not_given_back_was_refused() {
        for (write, now) in [([1500, 1450], 1500), ([1500, 1450], 1460), ([1450, 1500], 1450)] {
            assert!(matches!(after(write, Some(now)), Err(StepError::NotTaken { .. })), "{write:?} {now}");
        }
    }
}
