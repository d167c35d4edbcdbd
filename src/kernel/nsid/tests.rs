use proptest::prelude::*;

use super::*;
use crate::kernel::capture::bytes;

const ASSIGNED: &str = include_str!("tests/assigned.hex");
const NOT_ASSIGNED: &str = include_str!("tests/not_assigned.hex");

#[test]
fn an_answer_tells_the_id() {
    assert_eq!(assigned(&bytes(ASSIGNED)).unwrap(), Some(Nsid(0)));
}

#[test]
fn minus_one_is_no_id() {
    assert_eq!(assigned(&bytes(NOT_ASSIGNED)).unwrap(), None);
}

#[test]
fn an_answer_that_is_cut_short_is_an_error_or_tells_no_id() {
    let whole = bytes(ASSIGNED);
    for length in 0..whole.len() {
        assert_eq!(assigned(&whole[..length]).ok().flatten(), None, "{length} bytes");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let _either_is_fine = assigned(&payload);
    }
}
