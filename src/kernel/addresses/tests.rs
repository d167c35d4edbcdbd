use proptest::prelude::*;

use super::*;
use crate::kernel::capture::bytes;

const V4_WITH_PEER: &str = include_str!("tests/v4_with_peer.hex");
const V6: &str = include_str!("tests/v6.hex");

fn nsid(id: i32) -> Nsid {
    Nsid::new(id).unwrap()
}

fn on_eth0(address: &str) -> (Ifindex, IpAddr) {
    (Ifindex::new(2).unwrap(), address.parse().unwrap())
}

#[test]
fn an_address_is_its_own_end_of_a_link() {
    assert_eq!(parse(&bytes(V4_WITH_PEER), nsid(0)).unwrap(), Some(on_eth0("172.30.0.1")));
    assert_eq!(parse(&bytes(V6), nsid(0)).unwrap(), Some(on_eth0("2001:db8:1::2")));
}

#[test]
fn an_address_of_a_namespace_that_was_not_asked_is_none() {
    assert_eq!(parse(&bytes(V6), nsid(1)).unwrap(), None);
}

#[test]
fn a_message_that_is_cut_short_is_an_error_or_tells_nothing_else() {
    for capture in [V4_WITH_PEER, V6].map(bytes) {
        let whole = parse(&capture, nsid(0)).unwrap();
        for length in 0..capture.len() {
            let found = parse(&capture[..length], nsid(0)).ok().flatten();
            // Its attributes are in order: the one that is looked for may be there already.
            assert!(found.is_none() || found.map(|it| it.0) == whole.map(|it| it.0), "{length} bytes");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..96)) {
        let _either_is_fine = parse(&payload, nsid(0));
    }
}
