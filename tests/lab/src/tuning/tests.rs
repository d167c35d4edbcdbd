use std::time::{Duration, Instant};

use super::{Happened, LinkEvent, Made, made};

/// The bridge.
const BRIDGE: u32 = 3;

/// Events a millisecond apart. Links 4 and 5 are a pair, and 5 is a port of the bridge.
#[derive(Default)]
struct Told(Vec<LinkEvent>);

impl Told {
    fn link(&mut self, ifindex: u32, mtu: u32) -> Instant {
        self.push(ifindex, mtu, |_| {})
    }

    fn moved(&mut self, ifindex: u32, mtu: u32) -> Instant {
        self.push(ifindex, mtu, |event| event.happened = Happened::Moved)
    }

    fn push(&mut self, ifindex: u32, mtu: u32, more: impl FnOnce(&mut LinkEvent)) -> Instant {
        let at = self.0.last().map_or_else(now, |event| event.at + Duration::from_millis(1));
        let mut event = LinkEvent {
            at,
            happened: Happened::Changed,
            ifindex,
            name: format!("link{ifindex}"),
            is_veth: ifindex != BRIDGE,
            mtu,
            linked: [(4, 5), (5, 4)].into_iter().find_map(|(one, other)| (one == ifindex).then_some(other)),
            master: (ifindex == 5).then_some(BRIDGE),
        };
        more(&mut event);
        self.0.push(event);
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
    told.push(BRIDGE, 1500, |event| event.happened = Happened::WasThere);
    let at = told.link(4, 1500);
    told.link(5, 1500);
    let right = told.link(4, 1450);
    told.link(4, 1450);
    told.link(BRIDGE, 1450);
    let moved = told.moved(4, 1450);
    let made = told.made();
    let (name, is_veth, bridge) = ("link4".to_owned(), true, Some(1450));
    assert_eq!(made[0], Made { name, is_veth, at, right: Some(right), moved: Some(moved), bridge });
    assert!(made[0].was_in_time());
    assert!(made[1].right.is_none() && !made[1].was_in_time(), "its other end was never answered");
    assert_eq!(made.len(), 2, "the bridge was there");
}

#[test]
fn what_moves_with_docker_s_mtu_was_missed_and_a_bridge_that_is_late_is_told() {
    let mut told = Told::default();
    told.link(BRIDGE, 1500);
    told.link(4, 1500);
    told.link(5, 1500);
    told.moved(4, 1500);
    told.link(BRIDGE, 1450);
    let made = told.made();
    assert!(!made[1].was_in_time());
    assert_eq!((made[1].bridge, made[0].right.is_some()), (Some(1500), true));
}

#[test]
fn what_is_made_small_needs_no_answer_and_what_comes_back_is_another() {
    let mut told = Told::default();
    told.link(8, 1450);
    told.link(4, 1500);
    told.link(4, 1450);
    told.moved(4, 1450);
    told.link(4, 1450);
    told.push(4, 1450, |event| event.happened = Happened::Ended);
    told.link(4, 1500);
    let made = told.made();
    assert_eq!(made.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["link4", "link4"]);
    assert!(made[0].was_in_time());
    assert!(!made[1].was_in_time());
}
