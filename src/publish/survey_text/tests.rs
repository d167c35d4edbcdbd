use super::*;
use crate::domain::topology::sample::{Sample, machine};
use crate::publish::sample::{healthy, identity, paths, seed_problem, survey};

const NARROW: Paint = Paint { colour: false, width: Some(60) };

#[test]
fn the_seed_problem_in_plain_text() {
    insta::assert_snapshot!(render(&seed_problem(Vec::new()), Paint::PLAIN));
}

#[test]
fn the_seed_problem_on_a_narrow_terminal() {
    insta::assert_snapshot!(render(&seed_problem(Vec::new()), NARROW));
}

#[test]
fn no_line_of_the_tree_is_wider_than_the_terminal() {
    let text = render(&seed_problem(Vec::new()), NARROW);
    let links = text.lines().filter(|line| line.contains('│') || line.contains('✗'));
    assert!(links.clone().count() > 5, "{text}");
    for line in links {
        assert!(line.chars().count() <= 60, "{line:?}");
    }
}

#[test]
fn a_host_where_all_is_well() {
    insta::assert_snapshot!(render(&healthy(), Paint::PLAIN));
}

#[test]
fn each_path_is_one_line_with_what_is_known_of_it() {
    let text = render(&seed_problem(paths()), Paint::PLAIN);
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("path to ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_host_without_a_way_out_has_no_value_and_says_why() {
    let text = render(&survey(&Sample::host(), vec![identity("host")], Vec::new(), Vec::new()), Paint::PLAIN);
    assert!(text.contains("safe dind MTU unknown\nnothing here has a default route"), "{text}");
    assert!(!text.contains("no mismatch"), "{text}");
}

#[test]
fn a_value_under_what_ipv6_needs_is_remarked_on() {
    let text = render(&survey(&machine(1200), vec![identity("host")], Vec::new(), Vec::new()), Paint::PLAIN);
    assert!(text.contains("safe dind MTU 1200"), "{text}");
    assert!(text.contains("1200 is under 1280, the least that IPv6 needs"), "{text}");
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let colourful = render(&seed_problem(paths()), Paint { colour: true, ..Paint::PLAIN });
    let mut plain = String::new();
    let mut parts = colourful.split('\u{1b}');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').expect("an escape that sets a colour").1);
    }
    assert_ne!(colourful, plain);
    assert_eq!(plain, render(&seed_problem(paths()), Paint::PLAIN));
}
