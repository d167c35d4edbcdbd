use super::*;

const NARROW: &str = r#"
    about = "one narrow link"
    [link]
    mtu = 1500
    [[hop]]
    mtu = 1500
    delay_ms = 25
    [[hop]]
    mtu = 1450
    ptb = false
    loss = 0.1
    [expect]
    verdict = "black_hole"
    path_mtu = 1450
    hop = 2
"#;

fn why(text: &str) -> String {
    let error = Scenario::parse("wrong", text).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

#[test]
fn what_is_left_out_is_as_linux_has_it() {
    let scenario = Scenario::parse("narrow", NARROW).unwrap();
    assert_eq!(scenario.family, Family::Ipv4);
    assert_eq!(scenario.hops[0].delay, Duration::from_millis(25));
    assert!(scenario.hops[0].ptb && scenario.hops[0].time_exceeded);
    assert_eq!(scenario.hops[1].time_exceeded_burst, 6);
    assert_eq!(scenario.path_mtu(), 1450);
    assert_eq!(scenario.address_of(2).to_string(), "10.77.2.1");
}

#[test]
fn a_misspelt_key_is_refused_by_name() {
    let error = why(&NARROW.replace("delay_ms", "delay"));
    assert!(error.contains("parse scenario wrong") && error.contains("unknown field `delay`"), "{error}");
}

#[test]
fn a_loss_of_more_than_everything_is_refused() {
    assert!(why(&NARROW.replace("0.1", "1.1")).contains("hop 2: loss: 1.1 is not between 0 and 1"));
}

#[test]
fn an_ipv6_link_is_never_below_1280() {
    let text = format!("family = \"ipv6\"\n{}", NARROW.replace("mtu = 1450", "mtu = 1279"));
    assert!(why(&text).contains("hop 2: mtu: 1279 is below 1280"));
}

#[test]
fn a_change_of_a_router_that_is_not_there_is_refused() {
    let text = format!("{NARROW}\n[[change]]\nafter_ms = 5\nhop = 3\nmtu = 1400");
    assert!(why(&text).contains("there is no router 3"));
}

#[test]
fn a_negative_delay_is_refused() {
    assert!(why(&NARROW.replace("25", "-1")).contains("-1 ms is not between"));
}
