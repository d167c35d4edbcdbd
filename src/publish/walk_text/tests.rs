use super::*;
use crate::publish::sample::{DIND, healthy, paths, seed_problem};

#[test]
fn the_walk_of_a_nested_dockerd_marks_what_limits_it() {
    insta::assert_snapshot!(render(&seed_problem(paths()), DIND, Paint::PLAIN));
}

#[test]
fn families_that_go_different_ways_are_told_apart() {
    insta::assert_snapshot!(render(&healthy(), NetnsIx(1), Paint::PLAIN));
}
