//! A drawing as SVG: whole by itself, or as a part of a page that brings [`STYLE`].
//!
//! Nothing is told by colour alone: what is wrong has a cross for a dot and says what it should be, what limits has
//! a diamond and says so.

use std::fmt::Write as _;

use super::layout::{Area, Label, Point, Row, SHEET, Scene, Tile, Wire, lay_out};
use super::{Drawing, Mark, Room};
use crate::publish::markup::Escaped;

/// Colours for a light and a dark background, and fonts.
pub const STYLE: &str = include_str!("svg.css");
/// Radius of a dot.
const DOT: i32 = 4;
/// Folded namespaces that are named where somebody points at the one that stands for them.
const MOST_NAMED: usize = 20;

/// A file of its own.
pub fn document(drawing: &Drawing) -> String {
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() + &write(drawing, Some(STYLE))
}

/// A part of a page in HTML, without its colours.
pub fn inline(drawing: &Drawing) -> String {
    write(drawing, None)
}

fn write(drawing: &Drawing, style: Option<&str>) -> String {
    let scene = lay_out(drawing);
    let Scene { width, height, .. } = scene;
    let mut svg = Svg(String::new());
    svg.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"drawing\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"graphics-document document\" \
         aria-labelledby=\"drawing-title drawing-desc\">"
    ));
    svg.line(format_args!("<title id=\"drawing-title\">{}</title>", Escaped(&drawing.title)));
    svg.line(format_args!("<desc id=\"drawing-desc\">{}</desc>", Escaped(&drawing.summary)));
    if let Some(style) = style {
        svg.line(format_args!("<style>\n{style}</style>"));
    }
    svg.line(format_args!("<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>"));
    for tile in &scene.tiles {
        svg.tile(tile);
    }
    for wire in &scene.wires {
        svg.wire(wire);
    }
    for remark in &scene.remarks {
        svg.text("small", remark);
    }
    svg.line(format_args!("</svg>"));
    svg.0
}

struct Svg(String);

impl Svg {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.0, "{line}");
    }

    fn tile(&mut self, tile: &Tile<'_>) {
        let alike = tile.room.map(|room| room.alike.as_slice()).unwrap_or_default();
        let told = match tile.room {
            Some(Room { name, detail, .. }) => format!("{name}, {detail}{}", named(alike)),
            None => tile.heading.text.clone(),
        };
        self.line(format_args!("<g role=\"group\"><title>{}</title>", Escaped(&told)));
        let class = match tile.room.map(|room| room.level % 2) {
            None => "box list",
            Some(0) => "box",
            Some(_) => "box odd",
        };
        let sheets = if alike.is_empty() { 0 } else { 2 };
        let Area { x, y, width, height } = tile.area;
        let (width, height) = (width - sheets * SHEET, height - sheets * SHEET);
        for sheet in (0..=sheets).rev() {
            let (x, y) = (x + sheet * SHEET, y + sheet * SHEET);
            self.line(format_args!(
                "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"4\"/>"
            ));
        }
        self.text("head", &tile.heading);
        if let Some(detail) = &tile.detail {
            self.text("small", detail);
        }
        for inner in &tile.tiles {
            self.tile(inner);
        }
        // Over the boxes that they lead into.
        for wire in &tile.wires {
            self.wire(wire);
        }
        for row in &tile.rows {
            self.row(row);
        }
        self.line(format_args!("</g>"));
    }

    fn row(&mut self, row: &Row<'_>) {
        let line = row.line;
        let class = match line.mark {
            Mark::Plain => "row",
            Mark::Idle => "row idle",
            Mark::Limits => "row limits",
            Mark::Wrong => "row wrong",
        };
        let mut told = line.name.clone();
        if let Some(mtu) = line.mtu {
            let _infallible = write!(told, ": {mtu}");
        }
        for part in [line.kind].into_iter().chain(line.notes.iter().map(String::as_str)) {
            if !part.is_empty() {
                told.push_str(", ");
                told.push_str(part);
            }
        }
        told.push_str(&named(&line.alike));
        self.line(format_args!("<g class=\"{class}\" role=\"group\"><title>{}</title>", Escaped(&told)));
        self.dot(row.dot, line.mark);
        self.text("name", &row.name);
        if let Some(kind) = &row.kind {
            self.text("small", kind);
        }
        if let Some(Label { at: Point { x, y }, text }) = &row.mtu {
            self.line(format_args!(
                "<text class=\"mtu\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{text}</text>"
            ));
        }
        for note in &row.notes {
            self.text("small", note);
        }
        self.line(format_args!("</g>"));
    }

    fn dot(&mut self, Point { x, y }: Point, mark: Mark) {
        match mark {
            Mark::Plain | Mark::Idle => {
                self.line(format_args!("<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"{DOT}\"/>"));
            }
            Mark::Limits => {
                let (left, top) = (x - 6, y);
                self.line(format_args!("<path class=\"dot\" d=\"M{left} {top}l6 -6 6 6 -6 6z\"/>"));
            }
            Mark::Wrong => {
                let (left, top) = (x - 5, y - 5);
                self.line(format_args!("<path class=\"dot\" d=\"M{left} {top}l10 10m0 -10l-10 10\"/>"));
            }
        }
    }

    fn text(&mut self, class: &str, Label { at: Point { x, y }, text }: &Label) {
        self.line(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", Escaped(text)));
    }

    /// From dot to dot; into another box only up to the dot there, which is drawn already.
    fn wire(&mut self, Wire { from, to }: &Wire) {
        let (x, y) = (from.x, from.y);
        if x == to.x {
            self.line(format_args!("<path class=\"wire\" d=\"M{x} {}V{}\"/>", y + DOT, to.y - DOT));
        } else {
            self.line(format_args!("<path class=\"wire\" d=\"M{x} {y}V{}H{}\"/>", to.y, to.x));
        }
    }
}

/// ` (also: one, another, and 98 more)`
fn named(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let more = names.len().saturating_sub(MOST_NAMED);
    let first = names.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!(" (also: {first}, and {more} more)") } else { format!(" (also: {first})") }
}
