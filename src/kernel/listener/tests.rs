use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NLMSG_NOOP};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::*;
use crate::kernel::watch::grow_receive_buffer;

/// Somebody who is told so many things at once.
fn told(times: usize) -> Listener {
    let mut socket = Socket::new(NETLINK_ROUTE).unwrap();
    socket.bind_auto().unwrap();
    grow_receive_buffer(&socket, 1 << 20).unwrap();
    let mut request = 16_u32.to_ne_bytes().to_vec();
    request.extend([NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK].map(u16::to_ne_bytes).concat());
    request.extend([0; 8]);
    for _ in 0..times {
        socket.send(&request, 0).unwrap();
    }
    Listener::new(socket, 4).unwrap()
}

#[tokio::test]
async fn so_much_is_heard_at_once_and_the_rest_afterwards_of_each_no_more_than_there_is_room_for() {
    let mut listener = told(AT_ONCE + 1);
    for expected in [AT_ONCE, 1] {
        let mut heard = 0;
        let each = |it: Heard<'_>| {
            assert!(matches!(it, Heard::Datagram { bytes, from_other: false } if bytes.len() == 4));
            heard += 1;
            Ok(true)
        };
        listener.hear(each).await.unwrap();
        assert_eq!(heard, expected);
    }
}

#[tokio::test]
async fn while_nothing_is_worth_it_others_have_their_turn_however_much_there_is() {
    let mut listener = told(2 * AT_ONCE);
    let (mut heard, mut other) = (0, None);
    let each = |_: Heard<'_>| {
        let other = other.get_or_insert_with(|| tokio::spawn(async {}));
        assert_eq!(other.is_finished(), heard >= AT_ONCE);
        heard += 1;
        Ok(heard == 2 * AT_ONCE)
    };
    listener.hear(each).await.unwrap();
}
