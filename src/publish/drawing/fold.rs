//! What looks the same is drawn once: siblings of one shape, when there are more than a few.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Line, Mark, Room};
use crate::domain::mtu::LinkMtu;

/// So many of one shape are drawn one by one.
const FEW: usize = 3;

/// What is drawn of an entry but for names. How many of a kind hang at it does not count either: a pod with two
/// builds looks like one with three.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    line: Option<(&'static str, Option<LinkMtu>, Mark, Vec<String>)>,
    ports: BTreeSet<Shape>,
    rooms: BTreeSet<RoomShape>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RoomShape(BTreeSet<Shape>);

/// Folds entries of one list.
pub(super) fn fold(entries: Vec<Entry>) -> Vec<Entry> {
    folded(entries, Shape::of, |first, other| {
        if let (Some(first), Some(other)) = (&mut first.line, other.line) {
            first.alike.push(other.name);
            first.alike.extend(other.alike);
        }
        let mut rooms = other.rooms.into_iter();
        if let (Some(first), Some(other)) = (first.rooms.first_mut(), rooms.next()) {
            first.stand_for(other);
        }
    })
}

/// Folds rooms behind one link.
pub(super) fn fold_rooms(rooms: Vec<Room>) -> Vec<Room> {
    folded(rooms, RoomShape::of, Room::stand_for)
}

fn folded<T, K: Ord>(items: Vec<T>, shape: impl Fn(&T) -> K, stand_for: impl Fn(&mut T, T)) -> Vec<T> {
    let mut positions: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (position, item) in items.iter().enumerate() {
        positions.entry(shape(item)).or_default().push(position);
    }
    let mut first_of = BTreeMap::new();
    for group in positions.values().filter(|group| group.len() > FEW) {
        first_of.extend(group[1..].iter().map(|other| (*other, group[0])));
    }
    let mut kept: Vec<(usize, T)> = Vec::new();
    for (position, item) in items.into_iter().enumerate() {
        match first_of.get(&position) {
            None => kept.push((position, item)),
            Some(first) => {
                let at = kept.partition_point(|(position, _)| position < first);
                stand_for(&mut kept[at].1, item);
            }
        }
    }
    kept.into_iter().map(|(_, item)| item).collect()
}

impl Shape {
    fn of(entry: &Entry) -> Self {
        let look = |line: &Line| {
            let notes = line.notes.iter().filter(|note| !note.starts_with("to ")).cloned().collect();
            (line.kind, line.mtu, line.mark, notes)
        };
        Self {
            line: entry.line.as_ref().map(look),
            ports: entry.ports.iter().map(Self::of).collect(),
            rooms: entry.rooms.iter().map(RoomShape::of).collect(),
        }
    }
}

impl RoomShape {
    fn of(room: &Room) -> Self {
        Self(room.entries.iter().map(Shape::of).collect())
    }
}

impl Room {
    fn stand_for(&mut self, other: Self) {
        self.alike.push(other.name);
        self.alike.extend(other.alike);
    }
}
