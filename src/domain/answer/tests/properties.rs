//! Links come, go and are set by others in any order, and events are heard late.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// A kernel's links of one namespace, and what it has to tell.
#[derive(Debug, Default)]
struct Kernel {
    links: BTreeMap<Ifindex, Link<Option<u8>>>,
    told: VecDeque<Event>,
    set_by_hand: BTreeSet<Ifindex>,
    /// What each had last without the agent: as it was made, by somebody's hand, or by its ports.
    others: BTreeMap<Ifindex, LinkMtu>,
    next: u32,
}

#[derive(Clone, Debug)]
enum Event {
    Link(Link<Option<u8>>, bool),
    Gone(Ifindex),
    Written(Ifindex),
}

#[derive(Clone, Debug)]
enum Deed {
    Bridge,
    /// Named by docker or not, its other end here or elsewhere.
    Pair(bool, bool),
    Enslave(usize, usize),
    Set(usize, u32),
    Delete(usize),
    /// The agent hears so many events, and acts.
    Hear(usize),
}

impl Kernel {
    fn add(&mut self, name: &str, kind: LinkKind, linked: Option<(Option<u8>, u32)>) {
        let index = 3 + self.next;
        self.next += 1;
        let linked = linked.map(|(netns, offset)| LinkRef { netns, ifindex: at(index + offset) });
        let added = Link { linked, ..link(index, name, kind) };
        self.links.insert(added.ifindex, added.clone());
        self.others.insert(added.ifindex, added.mtu);
        self.told.push_back(Event::Link(added, false));
    }

    fn any(&self, which: usize) -> Option<Ifindex> {
        self.links.keys().nth(which % self.links.len().max(1)).copied()
    }

    /// As `dev_set_mtu`: nothing is told where nothing changes, and a bridge follows its ports.
    fn set(&mut self, ifindex: Ifindex, bytes: LinkMtu) {
        let Some(link) = self.links.get_mut(&ifindex) else { return };
        if link.mtu == bytes {
            return;
        }
        link.mtu = bytes;
        let (link, master) = (link.clone(), link.master);
        self.told.push_back(Event::Link(link, false));
        if let Some(bridge) = master {
            self.follow_ports(bridge);
        }
    }

    /// For the agent, whom it tells that it is done.
    fn write(&mut self, ifindex: Ifindex, bytes: LinkMtu) {
        if self.links.contains_key(&ifindex) {
            self.set_by_hand.insert(ifindex);
            self.set(ifindex, bytes);
            self.told.push_back(Event::Written(ifindex));
        }
    }

    fn follow_ports(&mut self, bridge: Ifindex) {
        let ports = self.links.values().filter(|port| port.master == Some(bridge));
        if let Some(least) = ports.map(|port| port.mtu).min()
            && !self.set_by_hand.contains(&bridge)
        {
            self.others.insert(bridge, least);
            self.set(bridge, least);
        }
    }

    fn enslave(&mut self, port: Ifindex, bridge: Ifindex) {
        if self.links[&bridge].kind != LinkKind::Bridge || self.links[&port].kind != LinkKind::Veth {
            return;
        }
        let link = self.links.get_mut(&port).expect("it is there");
        link.master = Some(bridge);
        self.told.push_back(Event::Link(link.clone(), false));
        self.follow_ports(bridge);
    }

    fn delete(&mut self, ifindex: Ifindex) {
        self.links.remove(&ifindex);
        self.told.push_back(Event::Gone(ifindex));
        let ports: Vec<_> =
            self.links.values().filter(|port| port.master == Some(ifindex)).cloned().collect();
        for mut port in ports {
            port.master = None;
            self.links.insert(port.ifindex, port.clone());
            self.told.push_back(Event::Link(port, false));
        }
    }

    fn perform(&mut self, deed: &Deed) {
        match *deed {
            Deed::Bridge => self.add("docker0", LinkKind::Bridge, None),
            Deed::Pair(by_docker, is_here) => {
                let name = if by_docker { "veth0123abc" } else { "left" };
                self.add(name, LinkKind::Veth, Some((if is_here { None } else { Some(1) }, 1)));
            }
            Deed::Enslave(port, bridge) => {
                if let (Some(port), Some(bridge)) = (self.any(port), self.any(bridge)) {
                    self.enslave(port, bridge);
                }
            }
            Deed::Set(which, bytes) => {
                if let Some(ifindex) = self.any(which) {
                    self.set_by_hand.insert(ifindex);
                    self.others.insert(ifindex, mtu(bytes));
                    self.set(ifindex, mtu(bytes));
                }
            }
            Deed::Delete(which) => {
                if let Some(ifindex) = self.any(which) {
                    self.delete(ifindex);
                }
            }
            Deed::Hear(_) => {}
        }
    }
}

/// The agent with what it did.
struct Agent {
    answers: Answers<u8>,
    now: Instant,
    writes: Vec<(Link<Option<u8>>, LinkMtu)>,
}

impl Agent {
    fn hear(&mut self, kernel: &mut Kernel, events: usize) {
        for event in kernel.told.drain(..events.min(kernel.told.len())) {
            match event {
                Event::Link(link, is_asked_for) => self.answers.told(link, is_asked_for),
                Event::Gone(ifindex) => self.answers.gone(ifindex),
                Event::Written(ifindex) => {
                    self.answers.written(ifindex);
                }
            }
        }
        for action in self.answers.poll(self.now) {
            match action {
                Action::Ask(ifindex) => {
                    let link = kernel.links.get(&ifindex).cloned();
                    kernel.told.extend(link.map(|link| Event::Link(link, true)));
                }
                Action::Write { link, to } => {
                    kernel.write(link.ifindex, to);
                    self.writes.push((link, to));
                }
                Action::GiveBack { link, to } => kernel.write(link.ifindex, to),
                Action::Contested { .. } => {}
            }
        }
    }
}

fn any_deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        2 => Just(Deed::Bridge),
        4 => (any::<bool>(), any::<bool>()).prop_map(|(by_docker, is_here)| Deed::Pair(by_docker, is_here)),
        4 => (any::<usize>(), any::<usize>()).prop_map(|(port, bridge)| Deed::Enslave(port, bridge)),
        3 => (any::<usize>(), prop_oneof![Just(1500), Just(1300), Just(1450), 600_u32..2000])
            .prop_map(|(which, bytes)| Deed::Set(which, bytes)),
        1 => any::<usize>().prop_map(Deed::Delete),
        4 => (0_usize..6).prop_map(Deed::Hear),
    ]
}

fn any_ground() -> impl Strategy<Value = Ground> {
    prop_oneof![Just(Ground::Host), Just(Ground::OptedIn), Just(Ground::Nested)]
}

/// Whose a link is, told another way.
fn is_ours(ground: Ground, link: &Link<Option<u8>>) -> bool {
    let is_here = link.linked.is_some_and(|linked| linked.netns.is_none());
    match ground {
        Ground::Nested => true,
        Ground::OptedIn => link.kind == LinkKind::Bridge || is_here || link.name == "veth0123abc",
        Ground::Host => link.name == "docker0" || link.name == "veth0123abc",
    }
}

proptest! {
    #[test]
    fn in_the_end_all_that_is_ours_is_right_and_nothing_else_was_touched(
        deeds in proptest::collection::vec(any_deed(), 1..60),
        ground in any_ground(),
    ) {
        let mut kernel = Kernel::default();
        let mut agent = Agent { answers: Answers::new(rules(ground)), now: any_time(), writes: Vec::new() };
        for deed in &deeds {
            kernel.perform(deed);
            if let Deed::Hear(events) = deed {
                agent.hear(&mut kernel, *events);
            }
        }
        while !kernel.told.is_empty() {
            agent.hear(&mut kernel, usize::MAX);
        }
        prop_assert_eq!(agent.answers.poll(agent.now), []);
        for (link, to) in &agent.writes {
            prop_assert!(is_ours(ground, link) && *to < link.mtu && *to == mtu(1450), "{link:?} got {to}");
        }
        let mut counted: BTreeMap<Ifindex, usize> = BTreeMap::new();
        for (link, _) in &agent.writes {
            *counted.entry(link.ifindex).or_default() += 1;
        }
        prop_assert!(counted.values().all(|writes| *writes <= TIMES));
        for link in kernel.links.values() {
            let others = kernel.others[&link.ifindex];
            prop_assert!(link.mtu <= others, "{link:?} is raised: without the agent it has {others}");
        }
        for link in kernel.links.values().filter(|link| link.mtu > mtu(1450)) {
            let is_contested = counted.get(&link.ifindex) == Some(&TIMES);
            let has_ports = kernel.links.values().any(|port| port.master == Some(link.ifindex));
            let is_idle = link.kind == LinkKind::Bridge && !has_ports;
            prop_assert!(is_contested || is_idle || !is_ours(ground, link), "{link:?} is left as it is");
        }
    }
}
