use super::*;
use crate::discovery::identity::Identity;
use crate::domain::link::LinkKind;
use crate::domain::topology::HOST;
use crate::domain::topology::sample::{Docker, Sample, machine, pod};
use crate::publish::sample::{healthy, identity, paths, seed_problem, survey};

/// So many pods of two containers each; every tenth has a smaller MTU at its second.
fn crowd(pods: usize) -> Survey {
    let mut sample = machine(1500);
    for number in 0..pods {
        let (pod, _) = pod(&mut sample, 1450);
        Docker::start(&mut sample, pod, 1500);
        Docker::start(&mut sample, pod, if number % 10 == 0 { 1400 } else { 1500 });
    }
    numbered(&sample)
}

fn numbered(sample: &Sample) -> Survey {
    let namespaces = sample.topology().namespaces.len();
    let named =
        |number| Identity { name: Some(format!("ns-{number}")), ..identity(&format!("nsid:{number}")) };
    let identities = [identity("host")].into_iter().chain((1..namespaces).map(named));
    survey(sample, identities.collect(), Vec::new(), Vec::new())
}

#[test]
fn the_seed_problem_as_svg() {
    insta::assert_snapshot!(svg::document(&Drawing::of(&seed_problem(Vec::new()))));
}

#[test]
fn the_seed_problem_as_dot() {
    insta::assert_snapshot!(dot::render(&Drawing::of(&seed_problem(paths()))));
}

#[test]
fn the_same_survey_is_always_the_same_picture() {
    let draw = || {
        let drawing = Drawing::of(&crowd(20));
        (svg::document(&drawing), dot::render(&drawing))
    };
    assert_eq!(draw(), draw());
}

#[test]
fn in_a_page_it_brings_no_colours_of_its_own() {
    let drawing = Drawing::of(&healthy());
    assert!(svg::document(&drawing).contains(STYLE_TAG));
    assert!(!svg::inline(&drawing).contains(STYLE_TAG));
}

const STYLE_TAG: &str = "<style>";

#[test]
fn what_is_wrong_and_what_limits_is_told_without_colour() {
    let svg = svg::document(&Drawing::of(&seed_problem(Vec::new())));
    assert_eq!(svg.matches("class=\"row wrong\"").count(), 5, "{svg}");
    assert_eq!(svg.matches(">should be 1450").count(), 5, "{svg}");
    assert_eq!(svg.matches("class=\"row limits\"").count(), 1, "{svg}");
    assert_eq!(svg.matches(">limits").count(), 1, "{svg}");
    let healthy = svg::document(&Drawing::of(&healthy()));
    assert!(!healthy.contains("class=\"row wrong\""), "{healthy}");
    assert!(healthy.contains("default route: 1480, route, limits, of IPv6"), "{healthy}");
}

#[test]
fn measured_paths_are_outside_and_a_black_hole_is_wrong() {
    let drawing = Drawing::of(&seed_problem(paths()));
    let outside: Vec<_> = drawing.outside.iter().map(|line| (line.name.as_str(), line.mark)).collect();
    let expected = [
        ("example.org", Mark::Wrong),
        ("2001:db8::1", Mark::Plain),
        ("203.0.113.9", Mark::Plain),
        ("mirror", Mark::Plain),
        ("quiet", Mark::Plain),
        ("nowhere", Mark::Plain),
    ];
    assert_eq!(outside, expected);
    assert_eq!(drawing.outside[0].notes, ["black hole, 1400 measured, limited by 10.0.0.1 (hop 2)"]);
}

#[test]
fn hundreds_of_namespaces_that_look_the_same_are_a_few_boxes() {
    let drawing = Drawing::of(&crowd(100));
    let svg = svg::document(&drawing);
    assert!(svg.matches("class=\"box").count() < 20, "{svg}");
    // The one that limits, and of 9 and of 90 pods one that stands for all.
    assert_eq!(drawing.folded, 300 - 3 * 3);
    assert!(svg.contains("and 89 like it"), "{svg}");
    assert!(svg.contains("and 8 like it"), "{svg}");
    assert!(svg.contains(">291 namespaces look like one that is drawn<"), "{svg}");
}

#[test]
fn of_hundreds_that_all_differ_the_wrong_ones_are_drawn_and_the_rest_is_counted() {
    let mut sample = machine(1500);
    for number in 0..300 {
        let mtu = if number == 299 { 1500 } else { 1000 + number };
        let (pod, _) = pod(&mut sample, mtu);
        if number == 299 {
            Docker::start(&mut sample, pod, 9000);
        }
    }
    let drawing = Drawing::of(&numbered(&sample));
    assert_eq!((drawing.folded, drawing.left_out), (0, 302 - MOST_ROOMS));
    let svg = svg::document(&drawing);
    // Beside the host, 58 pods and the container of one: each pod with both ends of its veth.
    assert_eq!(svg.matches("Calico veth</text>").count(), 2 * 58, "{svg}");
    assert_eq!(svg.matches("class=\"row wrong\"").count(), 3, "{svg}");
    assert!(svg.contains(">242 more namespaces are not drawn<"), "{svg}");
}

#[test]
fn siblings_that_are_few_are_all_drawn() {
    let mut sample = machine(1500);
    let (first, _) = pod(&mut sample, 1450);
    for _ in 0..3 {
        Docker::start(&mut sample, first, 1500);
    }
    let drawing = Drawing::of(&numbered(&sample));
    assert_eq!(drawing.folded, 0);
    let svg = svg::document(&drawing);
    for name in ["ns-2", "ns-3", "ns-4"] {
        assert!(svg.contains(&format!(">netns {name}<")), "{name}");
    }
}

#[test]
fn a_namespace_without_a_visible_link_is_drawn_all_the_same() {
    let mut sample = machine(1500);
    sample.nested_in(HOST);
    let drawing = Drawing::of(&numbered(&sample));
    assert!(svg::document(&drawing).contains(">netns ns-1<"));
    assert!(dot::render(&drawing).contains("links not seen"));
}

#[test]
fn a_macvlan_hangs_at_the_link_that_carries_it() {
    let mut sample = machine(1500);
    let container = sample.nested_in(HOST);
    let lower = LinkRef { netns: HOST, ifindex: *sample.topology().netns(HOST).links.keys().next().unwrap() };
    let own = sample.link(container, "eth0", LinkKind::Macvlan, 1500);
    sample.link_mut(own).linked = Some(lower);
    let drawing = Drawing::of(&numbered(&sample));
    assert_eq!(drawing.host.entries[0].rooms[0].name, "netns ns-1");
}

/// Names that kernels and people allow.
const ODD: [&str; 5] = ["<script>", "a&b\"'", "\u{1}\u{7f}\u{202e}", "\\N\\\"", "网络网络网"];

#[test]
fn odd_names_are_text_in_both_forms() {
    let mut sample = machine(1500);
    for (name, mtu) in ODD.into_iter().zip(1501..) {
        sample.link(HOST, name, LinkKind::Bridge, mtu);
    }
    let drawing = Drawing::of(&numbered(&sample));
    let svg = svg::document(&drawing);
    assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
    assert!(svg.contains(">a&amp;b&quot;&#39;<"), "{svg}");
    let shown = |char: char| char == '\n' || !char.is_control();
    assert!(svg.chars().all(shown) && !svg.contains('\u{202e}'));
    let dot = dot::render(&drawing);
    assert!(dot.contains("label=\"\\\\N\\\\\\\" 1504\\l"), "{dot}");
    assert!(dot.chars().all(shown));
}
