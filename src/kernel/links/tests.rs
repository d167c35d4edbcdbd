use proptest::prelude::*;

use super::*;
use crate::kernel::capture::bytes;

const VETH_TO_A_POD: &str = include_str!("tests/veth_to_a_pod.hex");
const VETH_AT_A_BRIDGE: &str = include_str!("tests/veth_at_a_bridge.hex");
const BRIDGE: &str = include_str!("tests/bridge.hex");
const LO: &str = include_str!("tests/lo.hex");
const VXLAN: &str = include_str!("tests/vxlan.hex");
const MACVLAN: &str = include_str!("tests/macvlan.hex");
const DEVICE: &str = include_str!("tests/device.hex");
const CAPTURES: [&str; 7] = [VETH_TO_A_POD, VETH_AT_A_BRIDGE, BRIDGE, LO, VXLAN, MACVLAN, DEVICE];

fn link(capture: &str) -> Link<Linked> {
    parse(&bytes(capture)).unwrap().expect("it has an MTU")
}

fn at(netns: Linked, ifindex: u32) -> LinkRef<Linked> {
    LinkRef { netns, ifindex: Ifindex::new(ifindex).unwrap() }
}

fn summary(link: &Link<Linked>) -> (u32, &str, &LinkKind, u32) {
    (link.ifindex.get(), &link.name, &link.kind, link.mtu.get())
}

#[test]
fn a_veth_names_its_other_end_by_index_and_nsid() {
    let link = link(VETH_TO_A_POD);
    assert_eq!(summary(&link), (2, "cali1", &LinkKind::Veth, 1450));
    assert_eq!(link.linked, Some(at(Nsid::new(0), 2)));
    assert_eq!(link.master, None);
}

#[test]
fn a_name_is_shown_whatever_bytes_a_tenant_put_into_it() {
    assert_eq!(shown(b"docker0\0"), "docker0");
    assert_eq!(shown("br\u{e9}".as_bytes()), "br\u{e9}");
    assert_eq!(shown(b"\xffx\0\0"), "\u{fffd}x");
    assert_eq!(shown(b"\x1b[2Jx"), "\u{fffd}[2Jx");
    assert_eq!(shown(b""), "");
}

#[test]
fn after_an_answer_that_cannot_be_read_the_next_one_is_whole() {
    let mut socket = RouteSocket::open().unwrap();
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let unread = socket.dump("dump the links", all, |(), _| Err(DecodeError::from("no such attribute")));
    assert!(matches!(unread, Err(NetlinkError::Malformed { .. })), "{unread:?}");
    for _ in 0..2 {
        let links = socket.links(None).unwrap();
        assert!(links.iter().any(|link| link.name == "lo"), "{links:?}");
    }
}

#[test]
fn a_port_names_its_bridge() {
    let link = link(VETH_AT_A_BRIDGE);
    assert_eq!(summary(&link), (4, "vetha", &LinkKind::Veth, 1500));
    assert_eq!(link.master, Ifindex::new(3));
    assert_eq!(link.linked, Some(at(Nsid::new(0), 4)));
}

#[test]
fn a_bridge_is_linked_to_nothing() {
    let link = link(BRIDGE);
    assert_eq!(summary(&link), (3, "docker0", &LinkKind::Bridge, 1500));
    assert_eq!((link.master, link.linked), (None, None));
}

#[test]
fn a_macvlan_names_its_lower_link_in_its_own_namespace() {
    let link = link(MACVLAN);
    assert_eq!(summary(&link), (6, "macv", &LinkKind::Macvlan, 1450));
    assert_eq!(link.linked, Some(at(None, 2)));
}

#[test]
fn a_vxlan_is_known_by_its_kind() {
    let link = link(VXLAN);
    assert_eq!(summary(&link), (5, "vxlan.calico", &LinkKind::Vxlan, 1400));
}

#[test]
fn what_has_no_kind_is_lo_or_a_device() {
    assert_eq!(summary(&link(LO)), (1, "lo", &LinkKind::Loopback, 65_536));
    let device = link(DEVICE);
    assert_eq!((device.name.as_str(), &device.kind, device.linked), ("eth0", &LinkKind::Device, None));
}

/// A message with these attributes and index 7.
fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES];
    message[4] = 7;
    for (kind, value) in attributes {
        message.extend(u16::try_from(value.len() + 4).unwrap().to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(*value);
        message.resize(message.len().next_multiple_of(4), 0);
    }
    message
}

#[test]
fn a_link_without_an_mtu_is_none() {
    for attribute in [(IFLA_IFNAME, b"odd\0"), (IFLA_MTU, &[0; 4])] {
        assert_eq!(parse(&message(&[(attribute.0, attribute.1)])).unwrap(), None);
    }
}

#[test]
fn a_link_that_the_kernel_could_not_locate_has_no_nsid() {
    let (mtu, far, unlocated) = (1500_u32.to_ne_bytes(), 3_u32.to_ne_bytes(), (-1_i32).to_ne_bytes());
    let attributes: [(u16, &[u8]); 3] =
        [(IFLA_MTU, &mtu), (IFLA_LINK, &far), (IFLA_LINK_NETNSID, &unlocated)];
    assert_eq!(parse(&message(&attributes)).unwrap().unwrap().linked, None);
}

#[test]
fn an_attribute_of_the_wrong_size_is_an_error() {
    for kind in [IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINK_NETNSID] {
        assert!(parse(&message(&[(kind, &[5, 220])])).is_err(), "attribute {kind}");
    }
}

#[test]
fn a_message_cut_inside_of_its_header_is_an_error() {
    let whole = bytes(VETH_TO_A_POD);
    for length in 0..HEADER_BYTES {
        assert!(parse(&whole[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_message_cut_inside_of_an_attribute_is_an_error() {
    for capture in CAPTURES {
        let whole = bytes(capture);
        let mut begins = HEADER_BYTES;
        while begins < whole.len() {
            let length = usize::from(u16::from_ne_bytes([whole[begins], whole[begins + 1]]));
            for end in begins + 1..begins + length {
                assert!(parse(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
            }
            begins += length.next_multiple_of(4);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 0..256)) {
        let _either_is_fine = parse(&payload);
    }

    #[test]
    fn a_capture_with_any_byte_changed_does_not_make_it_panic(
        capture in prop::sample::select(&CAPTURES[..]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut payload = bytes(capture);
        let at = at.index(payload.len());
        payload[at] = byte;
        let _either_is_fine = parse(&payload);
    }
}
