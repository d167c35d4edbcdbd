use std::time::Duration;

use super::*;
use crate::domain::link::LinkRef;
use crate::domain::strife::{SPAN, TIMES};
use crate::domain::topology::sample::mtu;

#[expect(clippy::disallowed_methods, reason = "any time will do")]
fn any_time() -> Instant {
    Instant::now()
}

fn at(index: u32) -> Ifindex {
    Ifindex::new(index).unwrap()
}

fn rules(ground: Ground) -> Rules {
    let (cap, ways_out) = (mtu(1450), BTreeSet::from([at(2)]));
    Rules { ground, cap, outward: cap, ways_out, in_scope: BTreeSet::new(), apart: BTreeSet::new() }
}

fn link(index: u32, name: &str, kind: LinkKind) -> Link<Option<u8>> {
    Link { ifindex: at(index), name: name.into(), kind, mtu: mtu(1500), master: None, linked: None }
}

fn veth(index: u32, name: &str, netns: Option<u8>) -> Link<Option<u8>> {
    let linked = Some(LinkRef { netns, ifindex: at(index + 1) });
    Link { linked, ..link(index, name, LinkKind::Veth) }
}

fn with(link: &Link<Option<u8>>, bytes: u32) -> Link<Option<u8>> {
    Link { mtu: mtu(bytes), ..link.clone() }
}

fn write(link: &Link<Option<u8>>) -> Action<u8> {
    Action::Write { link: link.clone(), to: mtu(1450) }
}

/// What is done about one link alone.
fn answer(ground: Ground, told: &Link<Option<u8>>) -> Vec<Action<u8>> {
    let now = any_time();
    let mut answers = Answers::new(rules(ground));
    answers.told(told.clone(), false);
    answers.poll(now)
}

/// The kernel tells that a link has what it was to get, and that this was carried out.
fn carry_out(answers: &mut Answers<u8>, link: &Link<Option<u8>>, bytes: u32) {
    let now = with(link, bytes);
    answers.told(now.clone(), false);
    assert_eq!(answers.written(link.ifindex), Some(&now));
}

#[test]
fn a_fresh_pair_is_written_once_and_again_only_if_it_is_set_back() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::OptedIn));
    let fresh = veth(5, "veth0123abc", None);
    answers.told(fresh.clone(), false);
    assert_eq!(answers.written(at(5)), None, "it is not yet");
    assert_eq!(answers.poll(now), [write(&fresh)]);
    answers.told(fresh.clone(), false);
    assert_eq!(answers.poll(now), [], "an event from before it was written");
    carry_out(&mut answers, &fresh, 1450);
    assert_eq!(answers.written(at(5)), None, "that was told");
    assert_eq!(answers.poll(now), []);
    answers.told(fresh.clone(), false);
    assert_eq!(answers.poll(now), [write(&fresh)]);
}

#[test]
fn what_somebody_lowered_before_it_was_written_is_given_back_until_it_has_that() {
    let now = any_time();
    let fresh = veth(5, "veth0123abc", None);
    for before in [&[1300][..], &[1450, 1300], &[1600, 1300]] {
        let mut answers = Answers::new(rules(Ground::OptedIn));
        answers.told(fresh.clone(), false);
        assert_eq!(answers.poll(now), [write(&fresh)]);
        for bytes in before {
            answers.told(with(&fresh, *bytes), false);
            assert_eq!(answers.poll(now), [], "it is not told yet that it was written");
        }
        let ours = with(&fresh, 1450);
        answers.told(ours.clone(), false);
        assert_eq!(answers.written(at(5)), None, "it was, and that is not right");
        let back = [Action::GiveBack { link: ours.clone(), to: mtu(1300) }];
        assert_eq!(answers.poll(now), back, "{before:?}");
        answers.told(ours, true);
        assert_eq!(answers.poll(now), [], "it is under way");
        answers.put_off(at(5));
        assert_eq!(answers.poll(now), back);
        carry_out(&mut answers, &fresh, 1300);
        assert_eq!(answers.poll(now), []);
    }
}

#[test]
fn what_somebody_gives_a_link_after_it_was_written_stays() {
    let now = any_time();
    let fresh = veth(5, "veth0123abc", None);
    for events in [&[1450, 1300][..], &[1300, 1450, 1200], &[1300, 1450, 1400], &[1300]] {
        let mut answers = Answers::new(rules(Ground::OptedIn));
        answers.told(fresh.clone(), false);
        answers.poll(now);
        for bytes in events {
            answers.told(with(&fresh, *bytes), false);
        }
        assert!(answers.written(at(5)).is_some());
        assert_eq!(answers.poll(now), [], "{events:?}");
        answers.told(with(&fresh, 1450), false);
        assert_eq!(answers.poll(now), [], "and it may be raised to what is fine");
    }
}

#[test]
fn a_veth_without_its_other_end_yet_is_asked_for_first() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::OptedIn));
    let unfinished = link(5, "veth0123abc", LinkKind::Veth);
    answers.told(unfinished.clone(), false);
    assert_eq!(answers.poll(now), [Action::Ask(at(5))]);
    assert_eq!(answers.poll(now), []);
    answers.told(veth(5, "veth0123abc", None), true);
    assert_eq!(answers.poll(now), [write(&veth(5, "veth0123abc", None))]);
    let mut answers = Answers::new(rules(Ground::OptedIn));
    for is_asked_for in [false, true] {
        answers.told(unfinished.clone(), is_asked_for);
        answers.poll(now);
    }
    assert_eq!(answers.poll(now), [], "it has none, who knows why");
}

#[test]
fn a_bridge_is_written_only_if_it_does_not_follow_its_ports() {
    let now = any_time();
    let bridge = link(4, "docker0", LinkKind::Bridge);
    let port = Link { master: Some(at(4)), ..veth(5, "veth0123abc", None) };
    let mut answers = Answers::new(rules(Ground::OptedIn));
    answers.told(bridge.clone(), false);
    assert_eq!(answers.poll(now), [], "it carries nothing");
    answers.told(port.clone(), false);
    assert_eq!(answers.poll(now), [write(&port)], "its port comes first");
    carry_out(&mut answers, &port, 1450);
    assert_eq!(answers.poll(now), [Action::Ask(at(4))]);
    let mut follows = answers.clone();
    follows.told(with(&bridge, 1450), true);
    assert_eq!(follows.poll(now), []);
    answers.told(bridge.clone(), false);
    assert_eq!(answers.poll(now), [Action::Ask(at(4))], "an event is of the past");
    answers.told(bridge.clone(), true);
    assert_eq!(answers.poll(now), [write(&bridge)]);
}

#[test]
fn what_a_cni_brought_is_left_alone_unless_a_look_found_it_nested() {
    let now = any_time();
    let cnis = veth(3, "eth0", Some(0));
    assert_eq!(answer(Ground::OptedIn, &cnis), []);
    assert_eq!(answer(Ground::Nested, &cnis), [write(&cnis)], "in a container there is no CNI's");
    let mut answers = Answers::new(Rules { in_scope: BTreeSet::from([at(3)]), ..rules(Ground::OptedIn) });
    answers.told(cnis.clone(), false);
    assert_eq!(answers.poll(now), [write(&cnis)]);
    answers.gone(at(3));
    answers.told(cnis, false);
    assert_eq!(answers.poll(now), [], "another with its index");
    let parted = veth(3, "veth0123abc", Some(0));
    assert_eq!(answer(Ground::OptedIn, &parted), [write(&parted)], "docker's, when it made the pair across");
}

#[test]
fn the_way_out_is_written_only_where_a_daemon_made_it() {
    let uplink = veth(2, "veth0123abc", None);
    assert_eq!(answer(Ground::OptedIn, &uplink), []);
    assert_eq!(answer(Ground::Host, &uplink), []);
    assert_eq!(answer(Ground::Nested, &uplink), [write(&uplink)]);
}

#[test]
fn a_way_out_may_have_what_is_beyond_it_even_if_its_route_takes_less() {
    let now = any_time();
    let mut answers = Answers::new(Rules { outward: mtu(1480), ..rules(Ground::Nested) });
    let [uplink, other] = [veth(2, "eth0", Some(0)), veth(5, "veth0", None)];
    answers.told(uplink.clone(), false);
    answers.told(other.clone(), false);
    assert_eq!(answers.poll(now), [Action::Write { link: uplink, to: mtu(1480) }, write(&other)]);
}

#[test]
fn on_a_docker_host_only_what_is_called_as_docker_calls_it_is_written() {
    for (name, netns) in [("veth0123abc", None), ("vethfedcba9", Some(1))] {
        assert_eq!(answer(Ground::Host, &veth(5, name, netns)).len(), 1, "{name}");
    }
    for name in ["veth0123abcd", "vethernet", "vnet0", "cali0123456", "veth0123abx"] {
        assert_eq!(answer(Ground::Host, &veth(5, name, None)), [], "{name}");
    }
}

#[test]
fn nothing_else_than_bridges_and_veths_is_ever_written() {
    let now = any_time();
    for kind in [LinkKind::Loopback, LinkKind::Device, LinkKind::Tun, LinkKind::Vxlan, LinkKind::Netkit] {
        for ground in [Ground::Host, Ground::OptedIn, Ground::Nested] {
            let mut answers = Answers::new(Rules { in_scope: BTreeSet::from([at(5)]), ..rules(ground) });
            answers.told(Link { kind: kind.clone(), ..veth(5, "docker0", None) }, true);
            assert_eq!(answers.poll(now), [], "{kind:?}");
        }
    }
}

#[test]
fn no_link_is_lowered_under_what_ipv6_needs() {
    let now = any_time();
    let mut answers = Answers::new(Rules { cap: mtu(1200), ..rules(Ground::Nested) });
    answers.told(veth(5, "eth0", Some(0)), false);
    assert_eq!(answers.poll(now), []);
    answers.told(with(&veth(5, "eth0", Some(0)), 1279), false);
    assert_eq!(answers.poll(now).len(), 1, "it has none anyway");
}

/// Sets a link back as often as it takes.
fn contest(answers: &mut Answers<u8>, link: &Link<Option<u8>>, now: Instant) {
    for _ in 0..TIMES {
        answers.told(link.clone(), false);
        assert_eq!(answers.poll(now), [write(link)]);
        carry_out(answers, link, 1450);
    }
    answers.told(link.clone(), false);
    let until = now + SPAN;
    assert_eq!(answers.poll(now), [Action::Contested { link: link.clone(), until }]);
}

#[test]
fn a_link_that_is_set_back_again_and_again_is_contested_and_that_is_said_once() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let contested = veth(5, "eth0", Some(0));
    contest(&mut answers, &contested, now);
    answers.told(contested.clone(), false);
    assert_eq!(answers.poll(now + Duration::from_secs(59)), []);
    answers.gone(at(5));
    answers.told(contested.clone(), false);
    assert_eq!(answers.poll(now), [write(&contested)], "another one with its index");
}

#[test]
fn a_strife_ends_and_then_the_link_is_answered_again_by_whatever_is_told() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let contested = veth(5, "eth0", Some(0));
    contest(&mut answers, &contested, now);
    let later = now + SPAN;
    answers.told(with(&veth(7, "other", Some(0)), 1450), false);
    assert_eq!(answers.poll(later), [write(&contested)]);
    carry_out(&mut answers, &contested, 1450);
    contest(&mut answers, &contested, later + SPAN);
}

#[test]
fn what_is_set_back_now_and_then_is_answered_for_ever() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let link = veth(5, "eth0", Some(0));
    for restart in 0..100 {
        answers.told(link.clone(), false);
        assert_eq!(answers.poll(now + restart * SPAN / 7), [write(&link)], "{restart}");
        carry_out(&mut answers, &link, 1450);
    }
}

#[test]
fn what_new_rules_make_too_large_is_nobodys_strife() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let mut link = with(&veth(5, "eth0", Some(0)), 1450);
    answers.told(link.clone(), false);
    for cap in (1400..1450).rev() {
        answers.set_rules(Rules { cap: mtu(cap), ..rules(Ground::Nested) });
        assert_eq!(answers.poll(now), [Action::Write { link: link.clone(), to: mtu(cap) }]);
        carry_out(&mut answers, &link, cap);
        link = with(&link, cap);
    }
}

#[test]
fn a_port_in_a_strife_keeps_its_bridge_from_nothing() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let port = Link { master: Some(at(4)), ..veth(5, "eth0", Some(0)) };
    contest(&mut answers, &port, now);
    let bridge = link(4, "br0", LinkKind::Bridge);
    answers.told(bridge.clone(), true);
    assert_eq!(answers.poll(now), [write(&bridge)]);
}

#[test]
fn a_refused_link_is_left_alone_and_one_that_was_put_off_is_not() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let stubborn = veth(5, "eth0", Some(0));
    answers.told(stubborn.clone(), false);
    assert_eq!(answers.poll(now).len(), 1);
    for _ in 0..2 * TIMES {
        answers.put_off(at(5));
        assert_eq!(answers.poll(now).len(), 1, "what was not made is no strife");
    }
    assert_eq!(answers.refused(at(5)), Some(&stubborn));
    answers.told(stubborn, false);
    assert_eq!(answers.poll(now), []);
    assert_eq!(answers.refused(at(6)), None);
}

#[test]
fn after_lost_events_what_is_not_told_again_is_gone_and_what_was_written_is_looked_at_again() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let [left, right] = [veth(5, "left", None), veth(6, "right", None)];
    answers.told(left.clone(), false);
    answers.told(right.clone(), false);
    assert_eq!(answers.poll(now).len(), 2);
    answers.begin_anew();
    answers.told(left.clone(), false);
    answers.complete();
    assert_eq!(answers.poll(now), [write(&left)]);
    assert_eq!(answers.refused(at(6)), None, "it is not known any more");
}

#[test]
fn an_end_whose_other_end_stays_larger_is_left_alone_until_both_can_be_written() {
    let now = any_time();
    let mut answers = Answers::new(Rules { apart: [at(5)].into(), ..rules(Ground::Nested) });
    let end = veth(5, "veth0123abc", Some(0));
    answers.told(end.clone(), false);
    assert_eq!(answers.poll(now), []);
    answers.set_rules(rules(Ground::Nested));
    assert_eq!(answers.poll(now), [write(&end)]);
}

#[test]
fn a_smaller_cap_holds_for_what_is_there_and_a_larger_one_raises_nothing() {
    let now = any_time();
    let mut answers = Answers::new(rules(Ground::Nested));
    let link = with(&veth(5, "eth0", Some(0)), 1450);
    answers.told(link.clone(), false);
    assert_eq!(answers.poll(now), []);
    answers.set_rules(Rules { cap: mtu(1400), ..rules(Ground::Nested) });
    assert_eq!(answers.poll(now), [Action::Write { link: link.clone(), to: mtu(1400) }]);
    carry_out(&mut answers, &link, 1400);
    answers.set_rules(Rules { cap: mtu(1500), ..rules(Ground::Nested) });
    assert_eq!(answers.poll(now), []);
}

mod properties;
