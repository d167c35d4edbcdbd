//! A drawing for graphviz: namespaces are clusters in one another, links are nodes, and packets leave along the
//! arrows.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Drawing, Entry, Line, Mark, Room};
use crate::publish::markup::printable;

/// The whole graph.
pub fn render(drawing: &Drawing) -> String {
    let mut dot = Dot { out: String::new(), nodes: 0, clusters: 0, edges: Vec::new() };
    let mut label = [drawing.title.as_str(), drawing.summary.as_str()].join("\n");
    label.push('\n');
    dot.line(0, format_args!("digraph mtu {{"));
    dot.line(1, format_args!("graph [label={}, labelloc=t, fontname=\"sans-serif\"]", Quoted(&label)));
    dot.line(1, format_args!("node [shape=box, style=rounded, fontname=\"monospace\"]"));
    let uplink = dot.room(&drawing.host, 1);
    if !drawing.outside.is_empty() {
        let paths = dot.list("outside", &drawing.outside);
        for path in paths {
            dot.edges.extend(uplink.map(|uplink| (uplink, path)));
        }
    }
    for (heading, lines) in &drawing.apart {
        dot.list(heading, lines);
    }
    for (from, to) in std::mem::take(&mut dot.edges) {
        dot.line(1, format_args!("{from} -> {to}"));
    }
    dot.line(0, format_args!("}}"));
    dot.out
}

/// Name of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node(usize);

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A string of the language; lines in it are aligned to the left.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\l")?,
                other => f.write_char(printable(other))?,
            }
        }
        f.write_char('"')
    }
}

struct Dot {
    out: String,
    nodes: usize,
    clusters: usize,
    edges: Vec<(Node, Node)>,
}

impl Dot {
    fn line(&mut self, depth: usize, line: fmt::Arguments<'_>) {
        let _infallible = writeln!(self.out, "{:1$}{line}", "", depth * 2);
    }

    fn open(&mut self, label: &str, style: &str, depth: usize) {
        let cluster = self.clusters;
        self.clusters += 1;
        self.line(depth, format_args!("subgraph cluster_{cluster} {{"));
        self.line(depth + 1, format_args!("graph [label={}, labeljust=l, style={style}]", Quoted(label)));
    }

    /// The room, and the node by which packets leave it.
    fn room(&mut self, room: &Room, depth: usize) -> Option<Node> {
        let more = match (room.alike.len(), &room.id) {
            (0, Some(id)) => format!(" · {id}"),
            (0, None) => String::new(),
            (alike, _) => format!(" · and {alike} like it"),
        };
        self.open(&format!("{}\n{}{more}\n", room.name, room.detail), "rounded", depth);
        let mut way_out = None;
        for entry in &room.entries {
            let node = self.entry(entry, way_out, depth + 1);
            way_out = way_out.or(node);
        }
        if room.entries.is_empty() {
            // A cluster without a node is not drawn.
            let node = self.next();
            self.line(depth + 1, format_args!("{node} [label=\"links not seen\", style=dashed]"));
            way_out = Some(node);
        }
        self.line(depth, format_args!("}}"));
        way_out
    }

    /// The entry; its packets leave by `outward`.
    fn entry(&mut self, entry: &Entry, outward: Option<Node>, depth: usize) -> Option<Node> {
        let node = entry.line.as_ref().map(|line| self.node(line, depth));
        let is_used = !entry.ports.is_empty() || !entry.rooms.is_empty();
        if let (Some(node), Some(outward), true) = (node, outward, is_used) {
            self.edges.push((node, outward));
        }
        for port in &entry.ports {
            let inner = self.entry(port, None, depth);
            if let (Some(inner), Some(node)) = (inner, node) {
                self.edges.push((inner, node));
            }
        }
        for room in &entry.rooms {
            let inner = self.room(room, depth);
            if let (Some(inner), Some(outer)) = (inner, node.or(outward)) {
                self.edges.push((inner, outer));
            }
        }
        node
    }

    fn list(&mut self, heading: &str, lines: &[Line]) -> Vec<Node> {
        self.open(heading, "dashed", 1);
        let nodes = lines.iter().map(|line| self.node(line, 2)).collect();
        self.line(1, format_args!("}}"));
        nodes
    }

    fn node(&mut self, line: &Line, depth: usize) -> Node {
        let node = self.next();
        let mtu = line.mtu.map(|mtu| format!(" {mtu}")).unwrap_or_default();
        let mut label = format!("{}{mtu}\n", line.name);
        let alike = match line.alike.len() {
            0 => None,
            alike => Some(format!("and {alike} like it")),
        };
        let notes =
            [line.kind].into_iter().chain(line.notes.iter().map(String::as_str)).chain(alike.as_deref());
        for note in notes.filter(|note| !note.is_empty()) {
            label.push_str(note);
            label.push('\n');
        }
        let look = match line.mark {
            Mark::Plain => "",
            Mark::Idle => ", style=\"rounded,dashed\"",
            Mark::Limits => ", color=\"#0550ae\", fontcolor=\"#0550ae\", penwidth=3",
            Mark::Wrong => ", color=red, fontcolor=\"#b3261e\", penwidth=2",
        };
        self.line(depth, format_args!("{node} [label={}{look}]", Quoted(&label)));
        node
    }

    fn next(&mut self) -> Node {
        let node = Node(self.nodes);
        self.nodes += 1;
        node
    }
}
