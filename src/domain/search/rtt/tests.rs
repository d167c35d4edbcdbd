use super::*;
use crate::domain::search::tests::ms;

#[test]
fn nothing_is_overdue_before_a_round_trip_is_known() {
    assert_eq!(Rtt::default().deadline(), None);
    assert_eq!(Rtt::default().patience(), None);
}

#[test]
fn the_deadline_leaves_a_quarter_and_the_spread() {
    let mut rtt = Rtt::default();
    rtt.sample(ms(40));
    assert_eq!(rtt.deadline(), Some(ms(40 + 10 + 4)));
    rtt.sample(ms(60));
    assert_eq!(rtt.deadline(), Some(ms(60 + 15 + 20 + 4)));
}

#[test]
fn a_path_that_reorders_is_given_more_patience() {
    let mut rtt = Rtt::default();
    rtt.sample(ms(50));
    let before = rtt.patience().unwrap();
    assert!(before < ms(5));
    rtt.overtaken(ms(10));
    assert_eq!(rtt.patience(), Some(ms(20)));
}
