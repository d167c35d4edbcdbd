use std::time::{Duration, Instant};

use super::{LinkEvent, Made, made};

/// Events a millisecond apart: link 8 is a bridge, all others are veths.
#[derive(Default)]
struct Told(Vec<LinkEvent>);

impl Told {
    fn link(&mut self, ifindex: u32, mtu: u32) -> Instant {
        self.push(ifindex, mtu, false, false)
    }

    fn moved(&mut self, ifindex: u32, mtu: u32) -> Instant {
        self.push(ifindex, mtu, true, true)
    }

    fn push(&mut self, ifindex: u32, mtu: u32, is_gone: bool, is_moved: bool) -> Instant {
        let at = self.0.last().map_or_else(now, |event| event.at + Duration::from_millis(1));
        let (name, is_veth, linked) = (format!("veth{ifindex}"), ifindex != 8, None);
        self.0.push(LinkEvent { at, is_gone, ifindex, name, is_veth, mtu, linked, is_moved });
        at
    }

    fn made(&self) -> Vec<Made> {
        made(&self.0, 1450)
    }
}

#[expect(clippy::disallowed_methods, reason = "any moment")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn what_is_right_before_it_moves_was_in_time() {
    let mut told = Told::default();
    let at = told.link(4, 1500);
    told.link(5, 1500);
    let right = told.link(4, 1450);
    told.link(4, 1450);
    let moved = told.moved(4, 1450);
    let made = told.made();
    let (name, is_veth) = ("veth4".to_owned(), true);
    assert_eq!(made[0], Made { name, is_veth, at, right: Some(right), moved: Some(moved) });
    assert!(made[0].was_in_time());
    assert!(made[1].right.is_none() && !made[1].was_in_time(), "its other end was never answered");
}

#[test]
fn what_moves_with_docker_s_mtu_was_missed() {
    let mut told = Told::default();
    told.link(4, 1500);
    told.moved(4, 1500);
    assert!(!told.made()[0].was_in_time());
}

#[test]
fn what_is_made_small_needs_no_answer_and_what_comes_back_is_another() {
    let mut told = Told::default();
    told.link(8, 1450);
    told.link(4, 1500);
    told.link(4, 1450);
    told.moved(4, 1450);
    told.link(4, 1450);
    told.push(4, 1450, true, false);
    told.link(4, 1500);
    let made = told.made();
    assert_eq!(made.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["veth4", "veth4"]);
    assert!(made[0].was_in_time());
    assert!(!made[1].was_in_time());
}
