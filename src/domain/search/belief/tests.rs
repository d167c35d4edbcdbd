use super::*;

const CLEAN: Loss = Loss { answered: 12, lost: 0 };
const HEAVY: Loss = Loss { answered: 20, lost: 11 };
const NOTHING: Named = Named { hint: None, ptb: None };

#[test]
fn a_path_that_loses_more_needs_more_copies() {
    assert_eq!(CLEAN.copies_needed(1.0, SIGNIFICANCE), 4);
    assert_eq!(HEAVY.copies_needed(1.0, SIGNIFICANCE), 10);
}

#[test]
fn three_tries_are_never_enough_where_a_third_is_lost() {
    assert!(HEAVY.chance_of_silence(3) > 0.03);
}

#[test]
fn more_answers_make_fewer_copies_enough() {
    let few = Loss { answered: 3, lost: 0 };
    assert!(few.copies_needed(1.0, SIGNIFICANCE) > CLEAN.copies_needed(1.0, SIGNIFICANCE));
}

#[test]
fn one_refused_copy_is_enough_where_a_ptb_named_the_size() {
    let named = Named { hint: None, ptb: Some(1450) };
    let few = Loss { answered: 4, lost: 0 };
    assert_eq!(few.copies_needed(named.chance_above(1450), SIGNIFICANCE), 1);
    assert!(few.copies_needed(named.chance_above(1449), SIGNIFICANCE) > 3, "it named another");
}

#[test]
fn silence_above_what_passed_raises_the_belief_in_what_passed() {
    let belief = |silent: &[u16]| Belief::new(1400, 1500, silent, CLEAN, NOTHING).in_low();
    assert!(belief(&[]) < belief(&[1401]));
    assert!(belief(&[1401]) < belief(&[1401, 1401]));
    assert!(belief(&[1401, 1401]) > 0.9);
}

#[test]
fn splits_are_new_sizes_in_the_gap() {
    let belief = Belief::new(1280, 1500, &[1500], CLEAN, NOTHING);
    let sizes = belief.splits(6);
    assert_eq!(sizes.len(), 6);
    assert!(sizes.is_sorted() && sizes[0] > 1280 && sizes[5] <= 1500, "{sizes:?}");
}

#[test]
fn a_hint_is_split_from_both_sides() {
    let named = Named { hint: Some(1433), ptb: None };
    let sizes = Belief::new(1280, 1500, &[1500], CLEAN, named).splits(6);
    assert!(sizes.contains(&1433) && sizes.contains(&1434), "{sizes:?}");
}

#[test]
fn nothing_is_left_to_split_at_the_top() {
    let belief = Belief::new(1500, 1500, &[], CLEAN, NOTHING);
    assert!(belief.splits(6).is_empty() && belief.at(&[0.4]).is_empty());
    assert!((belief.in_low() - 1.0).abs() < f64::EPSILON);
}
