//! Where everything of a drawing goes, in whole pixels. Pure: the same drawing gives the same places.
//!
//! One column, narrow enough for a phone: a room in a room costs [`STEP`] on the left, where the wires are, and
//! [`EDGE`] on the right.

use super::{Drawing, Entry, Line, Room};

/// Width of a drawing up to three levels deep.
const WIDTH: i32 = 400;
const USUAL_DEPTH: u8 = 3;
/// Around everything, and between boxes.
const MARGIN: i32 = 8;
/// From a wire to those that hang on it.
const STEP: i32 = 18;
/// Between a box and the one around it, on the right.
const EDGE: i32 = 8;
/// From the left of a box to its wire, and from that to its text.
const RAIL: i32 = 10;
const INDENT: i32 = 12;
/// Heights.
const ROW: i32 = 20;
const NOTE: i32 = 15;
const HEAD: i32 = 40;
/// How far each sheet of a stack is drawn behind the one before it.
pub(super) const SHEET: i32 = 3;
/// Between two texts on one line.
const SPACE: i32 = 8;
/// Width of a character of a name, and of smaller text: no monospace font is wider than 0.61 em.
pub(super) const NAME_PX: i32 = 8;
pub(super) const SMALL_PX: i32 = 7;
/// Columns for the name of a link, which has 15 bytes at most.
const NAME_COLUMNS: i32 = 15;

/// A drawing with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scene<'a> {
    pub(super) width: i32,
    pub(super) height: i32,
    /// One below the other.
    pub(super) tiles: Vec<Tile<'a>>,
    /// Between them.
    pub(super) wires: Vec<Wire>,
    /// What is said below.
    pub(super) remarks: Vec<Label>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: i32,
    pub(super) y: i32,
}

/// Down, then to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) from: Point,
    pub(super) to: Point,
}

/// Text that was cut where it had no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) at: Point,
    pub(super) text: String,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tile<'a> {
    pub(super) area: Area,
    /// `None`: not a namespace, but what is around or beside them.
    pub(super) room: Option<&'a Room>,
    pub(super) heading: Label,
    pub(super) detail: Option<Label>,
    pub(super) rows: Vec<Row<'a>>,
    pub(super) tiles: Vec<Tile<'a>>,
    pub(super) wires: Vec<Wire>,
}

/// A line: a dot on the wire, a name, what kind of thing it is, and at the right its MTU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) line: &'a Line,
    pub(super) dot: Point,
    pub(super) name: Label,
    pub(super) kind: Option<Label>,
    /// Ends there.
    pub(super) mtu: Option<Label>,
    pub(super) notes: Vec<Label>,
}

/// Columns that a text takes; outside of ASCII two for each character, to be on the safe side.
pub(super) fn columns(text: &str) -> i32 {
    text.chars().map(|char| if char.is_ascii() { 1 } else { 2 }).sum()
}

/// Puts everything in its place.
pub(super) fn lay_out(drawing: &Drawing) -> Scene<'_> {
    let extra = i32::from(depth(&drawing.host).saturating_sub(USUAL_DEPTH)) * (STEP + EDGE);
    let width = WIDTH + extra;
    let mut scene =
        Scene { width, height: MARGIN, tiles: Vec::new(), wires: Vec::new(), remarks: Vec::new() };
    let mut uplink = None;
    if !drawing.outside.is_empty() {
        let tile = scene.list("outside", &drawing.outside);
        uplink = tile.rows.last().map(|row| row.dot);
        scene.add(tile);
    }
    let host = tile(&drawing.host, Point { x: MARGIN, y: scene.height }, width - MARGIN);
    if let Some(from) = uplink {
        let to = host.first_dot().unwrap_or(Point { x: MARGIN + RAIL, y: host.area.y });
        scene.wires.push(Wire { from, to });
    }
    scene.add(host);
    for (heading, lines) in &drawing.apart {
        let tile = scene.list(heading, lines);
        scene.add(tile);
    }
    for remark in drawing.remarks() {
        let at = Point { x: MARGIN, y: scene.height + NOTE - 4 };
        scene.remarks.push(label(at, &remark, width - MARGIN, SMALL_PX));
        scene.height += NOTE;
    }
    scene.height += if scene.remarks.is_empty() { 0 } else { MARGIN };
    scene
}

fn depth(room: &Room) -> u8 {
    fn inside(entry: &Entry) -> u8 {
        let ports = entry.ports.iter().map(inside);
        ports.chain(entry.rooms.iter().map(|room| depth(room).saturating_add(1))).max().unwrap_or_default()
    }
    room.entries.iter().map(inside).max().unwrap_or_default()
}

impl<'a> Scene<'a> {
    fn add(&mut self, tile: Tile<'a>) {
        self.height = tile.area.y + tile.area.height + MARGIN;
        self.tiles.push(tile);
    }

    /// A box with lines and nothing in them.
    fn list(&self, heading: &str, lines: &'a [Line]) -> Tile<'a> {
        let (x, right) = (MARGIN, self.width - MARGIN);
        let mut tile = Tile::new(Point { x, y: self.height }, right, heading, None);
        tile.area.height = ROW + 4;
        for line in lines {
            tile.row(line, x + RAIL, right);
        }
        tile.rail();
        tile.area.height += MARGIN;
        tile
    }
}

/// A room with its top left corner at `at`.
fn tile(room: &Room, at: Point, right: i32) -> Tile<'_> {
    let sheets = if room.alike.is_empty() { 0 } else { 2 * SHEET };
    let right = right - sheets;
    let mut tile = Tile::new(at, right, &room.name, Some(room));
    let detail = match (room.alike.len(), &room.id) {
        (0, Some(id)) => format!("{} · {id}", room.detail),
        (0, None) => room.detail.clone(),
        (alike, _) => format!("and {alike} like it · {}", room.detail),
    };
    tile.detail =
        Some(label(Point { x: at.x + RAIL + INDENT, y: at.y + 32 }, &detail, right - EDGE, SMALL_PX));
    tile.area.height = HEAD;
    // Where the first line is: what is indented hangs on the wire that begins there.
    let hang = Point { x: at.x + RAIL, y: at.y + HEAD + ROW / 2 };
    for entry in &room.entries {
        tile.entry(entry, hang, hang.x, right);
    }
    tile.rail();
    tile.area.height += MARGIN + sheets;
    tile.area.width += sheets;
    tile
}

impl<'a> Tile<'a> {
    fn new(at: Point, right: i32, name: &str, room: Option<&'a Room>) -> Self {
        Self {
            area: Area { x: at.x, y: at.y, width: right - at.x, height: 0 },
            room,
            heading: label(Point { x: at.x + RAIL + INDENT, y: at.y + 17 }, name, right - EDGE, NAME_PX),
            detail: None,
            rows: Vec::new(),
            tiles: Vec::new(),
            wires: Vec::new(),
        }
    }

    fn bottom(&self) -> i32 {
        self.area.y + self.area.height
    }

    fn first_dot(&self) -> Option<Point> {
        self.rows.first().map(|row| row.dot)
    }

    /// A line at the wire `rail`, what hangs at it, and the rooms behind it.
    fn entry(&mut self, entry: &'a Entry, hang: Point, rail: i32, right: i32) {
        let own = self.area.x + RAIL;
        // What leads into a room is a step to the right, so that its wire runs straight down into the room.
        let is_door =
            !entry.rooms.is_empty() && entry.ports.is_empty() && rail == own && !self.rows.is_empty();
        let rail = if is_door { rail + STEP } else { rail };
        let mut from = None;
        if let Some(line) = &entry.line {
            let dot = self.row(line, rail, right);
            if rail > own {
                self.wires.push(Wire { from: hang, to: dot });
            }
            from = Some(dot);
        }
        for port in &entry.ports {
            self.entry(port, from.unwrap_or(hang), rail + STEP, right);
        }
        for room in &entry.rooms {
            let x = if rail == own { self.area.x + STEP } else { rail - RAIL };
            let inner = tile(room, Point { x, y: self.bottom() }, right - EDGE);
            if let Some(from) = from {
                let to = inner.first_dot().unwrap_or(Point { x: x + RAIL, y: inner.area.y });
                self.wires.push(Wire { from, to });
            }
            self.area.height += inner.area.height + MARGIN / 2;
            self.tiles.push(inner);
        }
    }

    /// Adds a line at the bottom, and returns where its dot is.
    fn row(&mut self, line: &'a Line, rail: i32, right: i32) -> Point {
        let y = self.bottom();
        let (text, end) = (rail + INDENT, right - EDGE - 2);
        let baseline = y + 14;
        let mtu = line.mtu.map(|mtu| Label { at: Point { x: end, y: baseline }, text: mtu.to_string() });
        let before_mtu = mtu.as_ref().map_or(end, |mtu| end - columns(&mtu.text) * NAME_PX - SPACE);
        let name = label(Point { x: text, y: baseline }, &line.name, before_mtu, NAME_PX);
        let after_name = text + columns(&name.text).max(NAME_COLUMNS) * NAME_PX + SPACE;
        let kind = label(Point { x: after_name, y: baseline }, line.kind, before_mtu, SMALL_PX);
        let mut notes = line.notes.clone();
        if !line.alike.is_empty() {
            notes.push(format!("and {} like it", line.alike.len()));
        }
        let mut bottom = y + ROW;
        let notes = wrapped(&notes, (end - text) / SMALL_PX).into_iter().map(|note| {
            bottom += NOTE;
            label(Point { x: text, y: bottom - 5 }, &note, end, SMALL_PX)
        });
        let notes = notes.collect();
        self.area.height += bottom - y;
        let dot = Point { x: rail, y: y + ROW / 2 };
        let kind = Some(kind).filter(|kind| !kind.text.is_empty());
        self.rows.push(Row { line, dot, name, kind, mtu, notes });
        dot
    }

    /// The wire on the left of the box, along the dots on it.
    fn rail(&mut self) {
        let x = self.area.x + RAIL;
        let mut dots = self.rows.iter().map(|row| row.dot).filter(|dot| dot.x == x);
        if let (Some(from), Some(to)) = (dots.next(), dots.next_back()) {
            self.wires.push(Wire { from, to });
        }
    }
}

/// Notes on as few lines as hold them whole.
fn wrapped(notes: &[String], room: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for note in notes {
        match lines.last_mut() {
            Some(line) if columns(line) + 4 + columns(note) <= room => {
                line.push_str(" · ");
                line.push_str(note);
            }
            Some(_) | None => lines.push(note.clone()),
        }
    }
    lines
}

/// The text, cut with a `…` where it would reach beyond `right`.
fn label(at: Point, text: &str, right: i32, column_px: i32) -> Label {
    let room = (right - at.x) / column_px;
    if columns(text) <= room {
        return Label { at, text: text.to_owned() };
    }
    let mut cut = String::new();
    for char in text.chars() {
        if columns(&cut) + columns(char.encode_utf8(&mut [0; 4])) + 2 > room {
            break;
        }
        cut.push(char);
    }
    if cut.is_empty() { Label { at, text: cut } } else { Label { at, text: cut + "…" } }
}

#[cfg(test)]
mod tests;
