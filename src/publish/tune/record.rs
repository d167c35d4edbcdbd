//! What was there before, such that another process finds it again.

use serde::{Deserialize, Serialize};

use super::Step;
use crate::domain::link::{Ifindex, Link};
use crate::domain::mtu::LinkMtu;
use crate::kernel::host;
use crate::kernel::links::Linked;
use crate::kernel::netns::NetnsFile;
use crate::kernel::procfs::{INITIAL_PID_NAMESPACE, pid_namespace};

pub use error::RecordError;

mod error;

/// Changes only add.
pub(super) const SCHEMA: &str = "mtu-agent.dev/tune-record/v1";

/// Identifies a network namespace as long as it is there. One that comes after its end may get the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetnsId {
    /// Device of its file.
    pub device: u64,
    /// Inode of its file: `net:[INODE]`.
    pub inode: u64,
}

impl NetnsId {
    /// That of a namespace which is held open.
    pub fn of(netns: &NetnsFile) -> Self {
        Self { device: netns.device(), inode: netns.inode() }
    }
}

/// A link that was, or is about to be, written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedLink {
    /// Its namespace.
    pub netns: NetnsId,
    /// What tells its namespace from those that get its inode later, if the kernel tells it (`SO_NETNS_COOKIE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// What people called the namespace.
    pub called: String,
    /// Its index.
    pub ifindex: Ifindex,
    /// Its name.
    pub name: String,
    /// What drives it.
    pub kind: String,
    /// Index of the other end of a pair, or of the lower link.
    pub linked: Option<Ifindex>,
    /// Its MTU before anything was written.
    pub was: LinkMtu,
    /// What we gave it. Anything else is somebody's later will.
    pub written: Vec<LinkMtu>,
    /// Both ends of the pair were in this namespace: either may have moved since.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_whole_pair: bool,
    /// An agent did it by itself, and takes it back when it may not any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_live: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

impl RecordedLink {
    /// One that is about to get `to`, by hand, in a namespace of which the cookie is not asked for yet. `is_here` tells
    /// whether the other end of a pair is in that namespace, too.
    pub fn of<N>(
        (netns, called): (NetnsId, String),
        link: &Link<N>,
        to: LinkMtu,
        is_here: impl FnOnce(&N) -> bool,
    ) -> Self {
        let Link { ifindex, name, kind, mtu, master: _, linked } = link;
        Self {
            netns,
            cookie: None,
            called,
            ifindex: *ifindex,
            name: name.clone(),
            kind: kind.name().to_owned(),
            linked: linked.as_ref().map(|linked| linked.ifindex),
            was: *mtu,
            written: vec![to],
            is_whole_pair: kind.is_pair() && linked.as_ref().is_some_and(|linked| is_here(&linked.netns)),
            is_live: false,
        }
    }

    /// Whether a link of the same namespace is this one, and not another that got its index.
    pub(super) fn is(&self, link: &Link<Linked>) -> bool {
        // The other end of a pair gets another index where it moves to a namespace that has a link with that one.
        let has_parted = self.is_whole_pair && link.linked.is_some_and(|linked| linked.netns.is_some());
        self.ifindex == link.ifindex
            && self.name == link.name
            && self.kind == link.kind.name()
            && (has_parted || self.linked == link.linked.map(|linked| linked.ifindex))
    }

    /// Whether that MTU is what we gave it, to be taken back.
    pub(super) fn is_ours(&self, mtu: LinkMtu) -> bool {
        mtu != self.was && self.written.contains(&mtu)
    }

    /// Whether both are of one link, as far as can be told.
    fn is_same(&self, other: &Self) -> bool {
        self.has_names_of(other) && !is_another(self.cookie, other.cookie)
    }

    /// The same, but for the namespace's cookie.
    fn has_names_of(&self, other: &Self) -> bool {
        (self.netns, self.ifindex, self.linked) == (other.netns, other.ifindex, other.linked)
            && (&self.name, &self.kind) == (&other.name, &other.kind)
    }

    /// Whether what is found now is what was there or what we gave it: anything else is somebody's later will, which is
    /// what is to be given back from then on.
    fn explains(&self, found: &Self) -> bool {
        self.is_same(found) && (self.was == found.was || self.written.contains(&found.was))
    }

    /// With what is written next.
    fn and(mut self, next: Self) -> Self {
        self.written.extend(next.written);
        self.written.sort_unstable();
        self.written.dedup();
        self.cookie = self.cookie.or(next.cookie);
        self.is_live &= next.is_live;
        self
    }
}

/// Of namespaces with one inode.
fn is_another(cookie: Option<u64>, other: Option<u64>) -> bool {
    cookie.zip(other).is_some_and(|(cookie, other)| cookie != other)
}

/// A namespace that was, or is about to be, clamped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedClamp {
    /// The namespace.
    pub netns: NetnsId,
    /// As that of [`RecordedLink::cookie`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<u64>,
    /// What people called it.
    pub called: String,
    /// An agent did it by itself, and takes it back when it may not any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_live: bool,
}

impl RecordedClamp {
    fn is_same(&self, other: &Self) -> bool {
        self.netns == other.netns && !is_another(self.cookie, other.cookie)
    }
}

/// All that can be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub(super) schema: String,
    /// Inodes and indices mean nothing after the next boot.
    pub(super) boot: String,
    /// From where it was seen. Who looks from elsewhere does not see whether it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pid_namespace: Option<u64>,
    /// Links in the order in which they were written.
    pub links: Vec<RecordedLink>,
    /// Namespaces with the table.
    pub clamps: Vec<RecordedClamp>,
}

impl Record {
    pub(super) fn new() -> Self {
        let (schema, boot, pid_namespace) = (SCHEMA.to_owned(), host::boot_id(), pid_namespace());
        Self { schema, boot, pid_namespace, links: Vec::new(), clamps: Vec::new() }
    }

    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.clamps.is_empty()
    }

    /// Adds what is about to be written.
    pub(super) fn add(&mut self, step: &Step) {
        match step {
            Step::Link { link, .. } => self.add_link(link.clone()),
            Step::Clamp(clamp) => self.add_clamp(clamp.clone()),
        }
    }

    /// Of what the steps are about: what was `known` before these were added.
    pub(super) fn restore(&mut self, known: &Self, steps: &[&Step]) {
        for step in steps {
            match step {
                Step::Link { link, .. } => {
                    let before = known.links.iter().find(|it| it.is_same(link));
                    restore(&mut self.links, before, |it| it.is_same(link));
                }
                Step::Clamp(clamp) => {
                    let before = known.clamps.iter().find(|it| it.is_same(clamp));
                    restore(&mut self.clamps, before, |it| it.is_same(clamp));
                }
            }
        }
        // Those that are as they were are where they were.
        let position = |link: &RecordedLink| known.links.iter().position(|it| it == link);
        self.links.sort_by_cached_key(|link| position(link).unwrap_or(usize::MAX));
    }

    /// Forgets these.
    pub(super) fn forget(&mut self, links: &[RecordedLink], clamps: &[RecordedClamp]) {
        self.links.retain(|link| !links.contains(link));
        self.clamps.retain(|clamp| !clamps.contains(clamp));
    }

    /// Adds a link. Of one that is there, what it was at first stays, unless somebody gave it another value since.
    pub(super) fn add_link(&mut self, link: RecordedLink) {
        let known = self.links.iter().position(|it| it.has_names_of(&link));
        let known = known.map(|position| self.links.remove(position));
        self.links.push(match known.filter(|known| known.explains(&link)) {
            Some(known) => known.and(link),
            None => link,
        });
    }

    /// Adds a clamp, unless it is there.
    pub(super) fn add_clamp(&mut self, clamp: RecordedClamp) {
        match self.clamps.iter_mut().find(|it| it.netns == clamp.netns) {
            Some(known) if known.is_same(&clamp) => {
                known.cookie = known.cookie.or(clamp.cookie);
                known.is_live &= clamp.is_live;
            }
            Some(of_an_ended_namespace) => *of_an_ended_namespace = clamp,
            None => self.clamps.push(clamp),
        }
    }

    /// Tells from where it is seen now.
    pub(super) fn seen_from(&mut self, pid_namespace: Option<u64>) {
        if self.pid_namespace != pid_namespace {
            // Both of them are seen from there alone.
            self.pid_namespace = Some(INITIAL_PID_NAMESPACE);
        }
    }
}

fn restore<T: Clone>(all: &mut Vec<T>, before: Option<&T>, is_it: impl Fn(&T) -> bool) {
    let Some(position) = all.iter().position(is_it) else { return };
    match before {
        Some(before) => all[position] = before.clone(),
        None => drop(all.remove(position)),
    }
}

#[cfg(test)]
mod tests;
