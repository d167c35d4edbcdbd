//! What becomes of links that a dockerd makes while somebody answers them.

use std::{collections::BTreeMap, thread, time::Instant};

use anyhow::{Context as _, Result};

use crate::docker::{ContainerSpec, DockerLab, Happened, Level, LinkEvent, LinkEvents, Place};

/// A link that was made with too large an MTU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name when it was made.
    pub name: String,
    /// Whether it is one end of a veth; else it is a bridge.
    pub is_veth: bool,
    /// When it was made.
    pub at: Instant,
    /// When it had the right MTU.
    pub right: Option<Instant>,
    /// When it moved into its container.
    pub moved: Option<Instant>,
    /// The MTU of the bridge that its other end was a port of then.
    pub bridge: Option<u32>,
}

impl Made {
    /// Whether it was right before it moved away, or is right, if it stays.
    pub fn was_in_time(&self) -> bool {
        match (self.right, self.moved) {
            (Some(right), Some(moved)) => right <= moved,
            (right, None) => right.is_some(),
            (None, Some(_)) => false,
        }
    }
}

/// A link as it is after some of the events.
#[derive(Debug, Default)]
struct Now {
    mtu: u32,
    master: Option<u32>,
    linked: Option<u32>,
    /// Among those that were made.
    position: Option<usize>,
}

/// The links that were made in these events, with more than `mtu`.
pub fn made(events: &[LinkEvent], mtu: u32) -> Vec<Made> {
    let (mut made, mut now) = (Vec::<Made>::new(), BTreeMap::<u32, Now>::new());
    for event in events {
        if event.is_gone() {
            let Some(gone) = now.remove(&event.ifindex) else { continue };
            if let (Some(position), true) = (gone.position, event.is_moved()) {
                let other = event.linked.or(gone.linked).and_then(|other| now.get(&other));
                let bridge = other.and_then(|other| now.get(&other.master?));
                made[position].moved = Some(event.at);
                made[position].bridge = bridge.map(|bridge| bridge.mtu);
            }
            continue;
        }
        let is_large = event.mtu > mtu;
        let link = now.entry(event.ifindex).or_insert_with(|| {
            let is_made_large = is_large && event.happened == Happened::Changed;
            let position = is_made_large.then(|| {
                let (name, is_veth, at) = (event.name.clone(), event.is_veth, event.at);
                made.push(Made { name, is_veth, at, right: None, moved: None, bridge: None });
                made.len() - 1
            });
            Now { position, ..Now::default() }
        });
        (link.mtu, link.master, link.linked) = (event.mtu, event.master, event.linked.or(link.linked));
        if let (Some(position), false) = (link.position, is_large) {
            made[position].right.get_or_insert(event.at);
        }
    }
    made
}

/// Starts so many containers, some at once and each as soon as another one has started, and returns what became of
/// all the links that were made in `place`, where their dockerd is, up to when the last of them moved away.
pub fn storm<'a>(
    lab: &DockerLab,
    level: Level,
    place: impl Into<Place<'a>>,
    spec: &ContainerSpec,
    (containers, at_once): (usize, usize),
    mtu: u32,
) -> Result<Vec<Made>> {
    let events = LinkEvents::of(lab, place)?;
    thread::scope(|scope| {
        let starting: Vec<_> = (0..at_once)
            .map(|turn| {
                let mine = (turn..containers).step_by(at_once).count();
                scope.spawn(move || (0..mine).try_for_each(|_| lab.start_detached(level, spec)))
            })
            .collect();
        let joined = starting.into_iter().map(|it| it.join().expect("no panic"));
        joined.collect::<Result<()>>()
    })
    .with_context(|| format!("start {containers} containers at level {level}"))?;
    let mut moved = 0;
    let events = events.until(|event| {
        moved += usize::from(event.is_moved());
        moved == containers
    })?;
    Ok(made(&events, mtu))
}

#[cfg(test)]
mod tests;
