use super::*;

const LOSS: Loss = Loss { answered: 12, lost: 0 };

fn at(hop: u8) -> IpAddr {
    [10, 77, hop, 1].into()
}

fn probe(size: u16, hop: u8, fate: Fate) -> Limited {
    Limited { size, hop, fate }
}

fn limited_by(hop: u8) -> Step {
    Step::Done(Some(LimitedBy { address: Some(at(hop)), hop: Some(hop) }))
}

/// 1451 is answered by routers 1 and 2, and vanishes behind.
fn swept() -> Vec<Limited> {
    vec![
        probe(1451, 1, Fate::Reached(at(1))),
        probe(1451, 2, Fate::Reached(at(2))),
        probe(1451, 3, Fate::Silent),
        probe(1451, 4, Fate::Silent),
    ]
}

#[test]
fn first_the_next_hops_are_swept() {
    let Step::Send(packets) = step(&[], 1451, 1451, 84, LOSS) else { panic!("nothing is known") };
    assert_eq!(packets, (1..=3).map(|hop| (1451, hop)).collect::<Vec<_>>());
}

#[test]
fn a_small_packet_tells_a_narrow_link_from_a_silent_router() {
    let Step::Send(packets) = step(&swept(), 1451, 1451, 84, LOSS) else { panic!("router 3 may be silent") };
    assert!(packets.contains(&(84, 3)), "{packets:?}");
}

#[test]
fn the_last_router_that_answers_a_large_packet_is_the_one() {
    let mut probes = swept();
    probes.push(probe(84, 3, Fate::Reached(at(3))));
    probes.push(probe(1451, 3, Fate::Silent));
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), limited_by(2));
}

#[test]
fn the_link_to_the_destination_needs_no_further_packet() {
    let mut probes = swept();
    probes.push(probe(84, 3, Fate::Destination));
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), limited_by(2));
}

#[test]
fn the_own_link_is_hop_0() {
    let probes =
        [probe(1451, 1, Fate::Silent), probe(84, 1, Fate::Reached(at(1))), probe(1451, 1, Fate::Silent)];
    let own = LimitedBy { address: None, hop: Some(0) };
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), Step::Done(Some(own)));
}

#[test]
fn an_answer_that_may_still_come_is_waited_for() {
    let mut probes = swept();
    probes.push(probe(84, 3, Fate::Waiting));
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), Step::Wait);
}

#[test]
fn a_larger_packet_that_got_further_proves_that_smaller_ones_do() {
    let probes =
        [probe(1500, 1, Fate::Reached(at(1))), probe(1451, 2, Fate::Silent), probe(84, 2, Fate::Destination)];
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), limited_by(1));
}

#[test]
fn no_router_gets_more_packets_than_it_may_answer() {
    let mut probes = Vec::new();
    let lossy = Loss { answered: 20, lost: 12 };
    for _ in 0..50 {
        match step(&probes, 1451, 1451, 84, lossy) {
            Step::Send(packets) => {
                probes.extend(packets.into_iter().map(|(size, hop)| probe(size, hop, Fate::Silent)));
            }
            Step::Wait | Step::Done(_) => break,
        }
    }
    for hop in 1..=20 {
        assert!(probes.iter().filter(|probe| probe.hop == hop).count() <= PER_ROUTER);
    }
    assert_eq!(step(&probes, 1451, 1451, 84, lossy), Step::Done(None), "no router answers at all");
}

#[test]
fn a_packet_that_is_hardly_larger_vanishes_at_the_same_router() {
    let mut probes = swept();
    probes.push(probe(84, 3, Fate::Reached(at(3))));
    for larger in [1452, 1453] {
        probes.push(probe(larger, 3, Fate::Silent));
    }
    assert_eq!(step(&probes, 1451, 1451, 84, LOSS), limited_by(2));
    let other = [
        probe(1451, 2, Fate::Reached(at(2))),
        probe(1460, 3, Fate::Silent),
        probe(84, 3, Fate::Reached(at(3))),
    ];
    let Step::Send(packets) = step(&other, 1451, 1452, 84, LOSS) else {
        panic!("that tells nothing of 1451")
    };
    assert_eq!(packets, [(1452, 3); 2]);
}

#[test]
fn scouts_go_as_far_as_none_went_and_no_further_while_one_may_tell() {
    assert_eq!(scout(&[], 8001, 9000), [(9000, 1), (9000, 2), (9000, 3)]);
    let mut probes = vec![probe(9000, 1, Fate::Reached(at(1))), probe(9000, 2, Fate::Silent)];
    assert!(scout(&probes, 8001, 8500).is_empty());
    probes[1].fate = Fate::Reached(at(2));
    assert_eq!(scout(&probes, 8001, 8500), [(8500, 3), (8500, 4), (8500, 5)]);
}

#[test]
fn a_router_that_may_answer_the_first_copy_is_not_sent_all_of_them_at_once() {
    let lossy = Loss { answered: 20, lost: 12 };
    let mut probes = swept();
    probes.push(probe(84, 3, Fate::Reached(at(3))));
    assert_eq!(step(&probes, 1451, 1451, 84, lossy), Step::Send(vec![(1451, 3); 2]));
}
