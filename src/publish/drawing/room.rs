//! Namespaces as rooms in one another, each with its links in the order in which packets meet them.

use std::collections::{BTreeMap, BTreeSet};

use super::fold::{fold, fold_rooms};
use super::{Entry, Line, MOST_ROOMS, Mark, Room};
use crate::discovery::advice::{Finding, called};
use crate::discovery::role::role;
use crate::discovery::survey::Survey;
use crate::domain::link::{Ifindex, Link, LinkKind, LinkRef};
use crate::domain::mtu::IpFamily;
use crate::domain::safe::Limiter;
use crate::domain::topology::{HOST, NetnsIx};
use crate::domain::walk::Hop;

/// The host with all that is nested in it; how many namespaces are folded; how many are left out.
pub(super) fn rooms(survey: &Survey) -> (Room, usize, usize) {
    let mut builder = Builder {
        survey,
        findings: survey.findings.iter().map(|finding| (finding.mismatch.at, finding)).collect(),
        limiter: survey.safe_dind_mtu().and_then(|safe| match safe.limited_by {
            Limiter::Hop(hop) => Some(hop),
            Limiter::Path(_) | Limiter::Expected | Limiter::Maximum => None,
        }),
        children: BTreeMap::new(),
    };
    for (ix, netns) in survey.look.topology.iter() {
        if let Some(parent) = netns.place.parent() {
            builder.children.entry(parent).or_default().push(ix);
        }
    }
    let connected = 1 + builder.children.values().map(Vec::len).sum::<usize>();
    let mut host = builder.room(HOST);
    let whole = host.count();
    if whole > MOST_ROOMS {
        host.wrong_first();
        host.keep(&mut (MOST_ROOMS - 1));
    }
    let drawn = host.count();
    (host, connected - whole, whole - drawn)
}

struct Builder<'a> {
    survey: &'a Survey,
    findings: BTreeMap<LinkRef<NetnsIx>, &'a Finding>,
    /// What makes the safe MTU no larger.
    limiter: Option<Hop>,
    children: BTreeMap<NetnsIx, Vec<NetnsIx>>,
}

impl Builder<'_> {
    fn room(&self, ix: NetnsIx) -> Room {
        let look = &self.survey.look;
        let netns = look.topology.netns(ix);
        let (doors, doorless) = self.doors(ix);
        let ways: BTreeSet<_> = IpFamily::ALL
            .into_iter()
            .filter_map(|family| look.topology.way_out(ix, family))
            .map(|way_out| way_out.ifindex)
            .collect();
        let is_master = |index: &Ifindex| netns.links.contains_key(index);
        let roots = netns.links.values().filter(|link| !link.master.as_ref().is_some_and(is_master));
        let mut entries: Vec<_> = roots
            .filter(|link| link.kind != LinkKind::Loopback)
            .map(|link| self.entry(ix, link, &doors, &ways))
            .collect();
        let is_out = |entry: &Entry| entry.any(&|line| line.at.is_some_and(|at| ways.contains(&at.ifindex)));
        entries.sort_by_key(|entry| !is_out(entry));
        let at = entries.iter().filter(|entry| is_out(entry)).count();
        let mut entries = fold(entries);
        let at = at.min(entries.len());
        entries.splice(at..at, self.routes(ix));
        if !doorless.is_empty() {
            let apart = doorless.iter().map(|child| self.room(*child)).collect();
            entries.push(Entry { line: None, ports: Vec::new(), rooms: fold_rooms(apart) });
        }
        let (name, id) = (called(&look.topology, &look.identities, ix), &look.identities[ix.0].id);
        let level = netns.place.level().unwrap_or_default();
        let gets =
            self.survey.effective_mtu(ix).map_or("no way out".to_owned(), |mtu| format!("gets {mtu} out"));
        let detail = format!("level {level} · {gets}");
        let id = (*id != name).then(|| id.clone());
        Room { name, id, detail, level, entries, alike: Vec::new() }
    }

    fn entry(
        &self,
        netns: NetnsIx,
        link: &Link<NetnsIx>,
        doors: &BTreeMap<Ifindex, Vec<NetnsIx>>,
        ways: &BTreeSet<Ifindex>,
    ) -> Entry {
        let topology = &self.survey.look.topology;
        let at = LinkRef { netns, ifindex: link.ifindex };
        let ports = topology.ports(at).map(|port| self.entry(netns, port, doors, ways)).collect();
        let behind = doors.get(&link.ifindex);
        let rooms = behind.into_iter().flatten().map(|child| self.room(*child)).collect();
        let drawn = self.line(at, link, behind.is_some(), ways.contains(&link.ifindex));
        Entry { line: Some(drawn), ports: fold(ports), rooms: fold_rooms(rooms) }
    }

    fn line(&self, at: LinkRef<NetnsIx>, link: &Link<NetnsIx>, is_door: bool, is_way_out: bool) -> Line {
        let look = &self.survey.look;
        let kind = role(&look.topology, at).name();
        let mut drawn = Line { at: Some(at), ..Line::new(link.name.clone(), kind, Some(link.mtu)) };
        if let Some(finding) = self.findings.get(&at) {
            drawn.mark = Mark::Wrong;
            drawn.notes.push(format!("should be {}", finding.mismatch.limit.mtu));
        } else if self.limiter == Some(Hop::Link(at)) {
            drawn.mark = Mark::Limits;
            drawn.notes.push("limits".to_owned());
        } else if look.topology.is_idle(at) {
            drawn.mark = Mark::Idle;
            drawn.notes.push("idle".to_owned());
        }
        if is_way_out {
            drawn.notes.push("default route".to_owned());
        }
        if let Some(far) = link.linked.filter(|far| !is_door && look.topology.is_deeper(far.netns, at.netns))
        {
            drawn.notes.push(format!("to {}", called(&look.topology, &look.identities, far.netns)));
        }
        drawn
    }

    /// Default routes with an MTU of their own.
    fn routes(&self, netns: NetnsIx) -> Vec<Entry> {
        let ways = IpFamily::ALL.into_iter().filter_map(|family| {
            Some((family, self.survey.look.topology.way_out(netns, family)?.route_mtu?))
        });
        let entry = |(family, mtu)| {
            let mut line = Line::new("default route".to_owned(), "route", Some(mtu));
            if self.limiter == Some(Hop::Route { netns, mtu }) {
                line.mark = Mark::Limits;
                line.notes.push("limits".to_owned());
            }
            line.notes.push(format!("of {family}"));
            Entry { line: Some(line), ports: Vec::new(), rooms: Vec::new() }
        };
        ways.map(entry).collect()
    }

    /// By which link each nested namespace is reached, and those of which none is seen.
    fn doors(&self, ix: NetnsIx) -> (BTreeMap<Ifindex, Vec<NetnsIx>>, Vec<NetnsIx>) {
        let topology = &self.survey.look.topology;
        let mut leading: BTreeMap<NetnsIx, Vec<Ifindex>> = BTreeMap::new();
        for link in topology.netns(ix).links.values() {
            if let Some(far) = link.linked {
                leading.entry(far.netns).or_default().push(link.ifindex);
            }
        }
        let (mut doors, mut doorless) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for child in self.children.get(&ix).into_iter().flatten().copied() {
            let mut ways = IpFamily::ALL.into_iter().filter_map(|family| topology.way_out(child, family));
            let links = &topology.netns(child).links;
            let outer_end = |link: &Link<NetnsIx>| link.linked.filter(|far| far.netns == ix);
            let by_way_out = ways.find_map(|way| outer_end(links.get(&way.ifindex)?));
            let by_own_link = || links.values().find_map(outer_end).map(|far| far.ifindex);
            let by_parents = || leading.get(&child)?.first().copied();
            let door = by_way_out.map(|far| far.ifindex).or_else(by_parents).or_else(by_own_link);
            match door.filter(|index| topology.netns(ix).links.contains_key(index)) {
                Some(index) => doors.entry(index).or_default().push(child),
                None => doorless.push(child),
            }
        }
        (doors, doorless)
    }
}

impl Room {
    /// Itself and the rooms in it.
    fn count(&self) -> usize {
        1 + self.entries.iter().map(Entry::count).sum::<usize>()
    }

    fn is_wrong(&self) -> bool {
        self.entries.iter().any(Entry::is_wrong)
    }

    fn wrong_first(&mut self) {
        // The way out stays where it is: it is what all others hang on.
        if let [_, others @ ..] = self.entries.as_mut_slice() {
            others.sort_by_key(|entry| !entry.is_wrong());
        }
        self.entries.iter_mut().for_each(Entry::wrong_first);
    }

    /// Keeps the first `most` rooms in it, and the links that do not lead into any of the others.
    fn keep(&mut self, most: &mut usize) {
        self.entries.retain_mut(|entry| entry.keep(most));
    }
}

impl Entry {
    fn count(&self) -> usize {
        let ports = self.ports.iter().map(Self::count);
        ports.chain(self.rooms.iter().map(Room::count)).sum()
    }

    /// Whether a line of its own, not one in a room, is so.
    fn any(&self, is_so: &impl Fn(&Line) -> bool) -> bool {
        self.line.as_ref().is_some_and(is_so) || self.ports.iter().any(|port| port.any(is_so))
    }

    fn is_wrong(&self) -> bool {
        let of = |marks: Mark| matches!(marks, Mark::Wrong | Mark::Limits);
        self.line.as_ref().is_some_and(|line| of(line.mark))
            || self.ports.iter().any(Self::is_wrong)
            || self.rooms.iter().any(Room::is_wrong)
    }

    fn wrong_first(&mut self) {
        self.ports.sort_by_key(|entry| !entry.is_wrong());
        self.ports.iter_mut().for_each(Self::wrong_first);
        self.rooms.sort_by_key(|room| !room.is_wrong());
        self.rooms.iter_mut().for_each(Room::wrong_first);
    }

    /// Whether anything of it stays.
    fn keep(&mut self, most: &mut usize) -> bool {
        let led_nowhere = self.ports.is_empty() && self.rooms.is_empty();
        self.ports.retain_mut(|port| port.keep(most));
        self.rooms.retain_mut(|room| {
            let stays = *most > 0;
            if stays {
                *most -= 1;
                room.keep(most);
            }
            stays
        });
        led_nowhere || !self.ports.is_empty() || !self.rooms.is_empty()
    }
}
