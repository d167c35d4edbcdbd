use super::*;

fn scenario(text: &str) -> Scenario {
    Scenario::parse("test", &format!("about = \"test\"\n{text}\n[expect]\nverdict = \"exact\"")).unwrap()
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const TWO_ROUTERS: &str = "
    [link]
    mtu = 1500
    delay_ms = 1
    [[hop]]
    mtu = 1500
    delay_ms = 10
    [[hop]]
    mtu = 1400
    delay_ms = 14";

#[test]
fn an_echo_takes_each_link_twice() {
    let mut network = Network::new(&scenario(TWO_ROUTERS), 1);
    assert_eq!(network.echo(ms(5), 1400, 64, 0), [Event { at: ms(5 + 2 * 25), effect: Effect::Delivered }]);
}

#[test]
fn a_ptb_comes_from_the_router_before_the_narrow_link() {
    let mut network = Network::new(&scenario(TWO_ROUTERS), 1);
    let from = "10.77.2.1".parse().unwrap();
    assert_eq!(
        network.echo(ms(0), 1401, 64, 0),
        [Event { at: ms(2 * 11), effect: Effect::Ptb { from, mtu: 1400 } }]
    );
}

#[test]
fn without_ptbs_a_packet_that_is_too_big_leaves_no_trace() {
    let mut network = Network::new(&scenario(&format!("{TWO_ROUTERS}\nptb = false")), 1);
    assert_eq!(network.echo(ms(0), 1401, 64, 0), []);
}

#[test]
fn a_ttl_ends_before_the_size_is_looked_at() {
    let mut network = Network::new(&scenario(TWO_ROUTERS), 1);
    let from = "10.77.2.1".parse().unwrap();
    assert_eq!(
        network.echo(ms(0), 1500, 2, 0),
        [Event { at: ms(2 * 11), effect: Effect::TimeExceeded { from } }]
    );
    assert_eq!(network.echo(ms(1), 1400, 3, 0)[0].effect, Effect::Delivered, "the server is hop 3");
}

#[test]
fn a_router_says_time_exceeded_six_times_and_then_once_a_second() {
    let mut network = Network::new(&scenario(TWO_ROUTERS), 1);
    let answers = (0..10).filter(|_| !network.echo(ms(0), 100, 1, 0).is_empty()).count();
    assert_eq!(answers, 6);
    assert_eq!(network.echo(ms(900), 100, 1, 0), []);
    assert_eq!(network.echo(ms(1100), 100, 1, 0).len(), 1);
}

#[test]
fn more_than_the_own_link_carries_is_never_sent() {
    let mut network = Network::new(&scenario(TWO_ROUTERS), 1);
    assert_eq!(
        network.echo(ms(3), 1501, 64, 0),
        [Event { at: ms(3), effect: Effect::LocalLimit { mtu: 1500 } }]
    );
}

#[test]
fn a_narrow_way_back_swallows_the_reply() {
    let text = format!("{TWO_ROUTERS}\n[[reverse]]\nmtu = 1380\n[[reverse]]\nmtu = 1500");
    let scenario = scenario(&text);
    let mut network = Network::new(&scenario, 1);
    assert_eq!(network.echo(ms(0), 1381, 64, 0), []);
    assert_eq!(network.echo(ms(0), 1380, 64, 0).len(), 1);
    assert_eq!(scenario.path_mtu(), 1380);
    let reply = Packet { direction: Direction::Reverse, size: 1381, ttl: 64, flow: 0, fragmentable: false };
    assert!(matches!(network.send(ms(0), reply)[..], [Event { effect: Effect::Ptb { mtu: 1380, .. }, .. }]));
    assert!(matches!(
        network.send(ms(0), Packet { fragmentable: true, ..reply })[..],
        [Event { effect: Effect::Delivered, .. }]
    ));
}

#[test]
fn loss_is_each_way_and_seeded() {
    let scenario = scenario(&format!("{TWO_ROUTERS}\nloss = 0.1"));
    let mut network = Network::new(&scenario, 7);
    let answered: Vec<bool> = (0..10_000).map(|_| !network.echo(ms(0), 100, 64, 0).is_empty()).collect();
    let count = answered.iter().filter(|&&it| it).count();
    assert!((8000..8200).contains(&count), "81 % of 10000, not {count}");
    let mut again = Network::new(&scenario, 7);
    assert!(answered.iter().all(|&it| it != again.echo(ms(0), 100, 64, 0).is_empty()));
}

#[test]
fn a_flow_keeps_its_link_and_flows_spread() {
    let mut network = Network::new(&scenario(&format!("{TWO_ROUTERS}\necmp = [1300]")), 3);
    let mut passes =
        |flow| matches!(network.echo(ms(0), 1400, 64, flow)[..], [Event { effect: Effect::Delivered, .. }]);
    let wide = (0..100).filter(|&flow| passes(flow)).count();
    assert!((30..70).contains(&wide), "{wide} of 100 flows take the wide link");
    assert!((0..100).all(|flow| passes(flow) == passes(flow)));
}

#[test]
fn a_link_changes_when_it_is_due() {
    let text = format!("{TWO_ROUTERS}\n[[change]]\nafter_ms = 100\nhop = 1\nmtu = 1300");
    let mut network = Network::new(&scenario(&text), 1);
    assert_eq!(network.echo(ms(50), 1400, 64, 0)[0].effect, Effect::Delivered);
    assert!(matches!(network.echo(ms(150), 1400, 64, 0)[0].effect, Effect::Ptb { mtu: 1300, .. }));
}

#[test]
fn a_liar_forwards_what_it_refuses() {
    let mut network = Network::new(&scenario(&format!("{TWO_ROUTERS}\nptb_lie = 1000")), 1);
    let effects: Vec<Effect> =
        network.echo(ms(0), 1400, 64, 0).into_iter().map(|event| event.effect).collect();
    assert!(matches!(effects[..], [Effect::Ptb { mtu: 1000, .. }, Effect::Delivered]));
}

#[test]
fn forged_ptbs_come_at_their_own_rate() {
    let text = format!(
        "{TWO_ROUTERS}\n[forged]\nmtus = [0, 576]\nper_second = 1000\nfrom = \"10.66.6.6\"\nquote = \"guessed\""
    );
    let network = Network::new(&scenario(&text), 1);
    let third = network.forged(3).unwrap();
    assert_eq!((third.at, third.mtu), (ms(3), 576));
}
