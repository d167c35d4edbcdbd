//! Where a recorded link is now: a daemon moves one end of each pair that it makes into a container, where it has
//! another name and maybe another index. Its other end stays, and tells where it is.

use std::os::fd::AsFd as _;

use super::home::{Homes, Whereabouts};
use super::record::RecordedLink;
use super::step::StepError;
use crate::domain::link::{Ifindex, Link, LinkKind};
use crate::kernel::RouteSocket;
use crate::kernel::links::Linked;
use crate::kernel::netns::NetnsFile;

/// A recorded link, found again.
pub(super) struct Found<'a> {
    pub(super) netns: &'a NetnsFile,
    pub(super) ifindex: Ifindex,
    /// Of one that has moved: its other end, which its namespace knows by this index.
    pub(super) moved_from: Option<Ifindex>,
}

impl Found<'_> {
    /// Whether a link of that namespace is the one.
    pub(super) fn is(&self, recorded: &RecordedLink, link: &Link<Linked>) -> bool {
        match self.moved_from {
            None => recorded.is(link),
            Some(other_end) => {
                link.kind == LinkKind::Veth
                    && link.linked.is_some_and(|it| it.netns.is_some() && it.ifindex == other_end)
            }
        }
    }
}

/// Looks for it where it was, and then at the other end of its pair.
pub(super) fn follow<'a>(
    homes: &Homes<'a>,
    recorded: &RecordedLink,
) -> Result<Whereabouts<Found<'a>>, StepError> {
    let home = match homes.of(recorded.netns, recorded.cookie)? {
        Whereabouts::Found(home) => home,
        Whereabouts::Gone => return Ok(Whereabouts::Gone),
        Whereabouts::Unseen => return Ok(Whereabouts::Unseen),
    };
    let found = |netns, ifindex, moved_from| Whereabouts::Found(Found { netns, ifindex, moved_from });
    home.run(|| {
        let mut socket = RouteSocket::open()?;
        if socket.link(recorded.ifindex)?.is_some_and(|link| recorded.is(&link)) {
            return Ok(found(home, recorded.ifindex, None));
        }
        let Some(other_end) = recorded.linked.filter(|_| recorded.is_whole_pair) else {
            return Ok(Whereabouts::Gone);
        };
        let linked = socket.link(other_end)?.filter(|link| link.kind == LinkKind::Veth);
        let Some(moved) = linked.and_then(|link| link.linked) else { return Ok(Whereabouts::Gone) };
        let Some(nsid) = moved.netns else { return Ok(Whereabouts::Gone) };
        for door in homes.doors.iter() {
            if socket.nsid_of(door.as_fd())? == Some(nsid) {
                return Ok(found(door, moved.ifindex, Some(other_end)));
            }
        }
        Ok(if homes.are_all { Whereabouts::Gone } else { Whereabouts::Unseen })
    })?
}
