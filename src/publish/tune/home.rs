//! Whether a recorded namespace is still there. Its inode alone does not tell: the kernel gives that to another one as
//! soon as it has ended.

use super::record::{NetnsId, Record};
use crate::discovery::doors::Doors;
use crate::kernel::netns::{NetnsError, NetnsFile};

/// What became of something that was recorded.
pub(super) enum Whereabouts<T> {
    Found(T),
    Gone,
    /// It may be there, where it cannot be seen.
    Unseen,
}

/// The namespaces that a record tells of, by the ways into namespaces that there are now.
#[derive(Clone, Copy)]
pub(super) struct Homes<'a> {
    pub(super) doors: &'a Doors,
    /// Whether what has no door is gone.
    pub(super) are_all: bool,
}

impl<'a> Homes<'a> {
    pub(super) fn new(doors: &'a Doors, record: &Record) -> Self {
        Self { doors, are_all: doors.are_all_seen_from(record.pid_namespace) }
    }

    /// The namespace, if it is the one that had this cookie. To ask for that it is joined, once.
    pub(super) fn of(
        &self,
        netns: NetnsId,
        cookie: Option<u64>,
    ) -> Result<Whereabouts<&'a NetnsFile>, NetnsError> {
        let Some(door) = self.door(netns) else {
            return Ok(if self.has_ended(netns) { Whereabouts::Gone } else { Whereabouts::Unseen });
        };
        let is_another = match cookie {
            Some(cookie) => door.cookie()?.is_some_and(|now| now != cookie),
            None => false,
        };
        Ok(if is_another { Whereabouts::Gone } else { Whereabouts::Found(door) })
    }

    /// Whether no namespace has its inode any more.
    pub(super) fn has_ended(&self, netns: NetnsId) -> bool {
        self.are_all && self.door(netns).is_none() && !self.doors.was_just_left(netns.inode)
    }

    fn door(&self, netns: NetnsId) -> Option<&'a NetnsFile> {
        self.doors.get(netns.inode).filter(|door| NetnsId::of(door) == netns)
    }
}
