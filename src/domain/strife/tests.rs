use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn many_in_a_short_time_are_a_strife_that_is_said_once_and_ends() {
    let began = Instant::now();
    let second = |second| began + Duration::from_secs(second);
    let mut strife = Strife::default();
    for write in 0..7 {
        strife.written(second(write));
        assert!(!strife.is_on(second(write)));
    }
    strife.written(second(7));
    assert!(strife.is_news(second(8)) && !strife.is_news(second(9)) && strife.is_on(second(59)));
    assert!(!strife.is_on(second(60)), "it is tried again");
    strife.written(second(60));
    assert!(strife.is_on(second(60)) && strife.is_news(second(60)), "and found so again");
    assert_eq!(strife.until(second(60)), Some(second(61)));
    assert!(!strife.is_on(second(61)));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn what_was_not_written_after_all_does_not_count() {
    let now = Instant::now();
    let mut strife = Strife::default();
    for _ in 1..TIMES {
        strife.written(now);
    }
    strife.written(now);
    strife.unwritten();
    assert!(!strife.is_on(now));
    strife.written(now);
    assert!(strife.is_on(now));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn a_firewall_that_starts_anew_now_and_then_is_none() {
    let began = Instant::now();
    let mut strife = Strife::default();
    for minute in 0..100 {
        let now = began + Duration::from_mins(minute);
        strife.written(now);
        assert!(!strife.is_on(now) && !strife.is_over(now));
    }
    assert!(strife.is_over(began + Duration::from_mins(100)));
}
