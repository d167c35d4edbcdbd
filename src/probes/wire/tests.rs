//! The captures beside this file were taken with tcpdump; addresses are those of documentation (RFC 5737, 3849).

use std::net::IpAddr;

use proptest::prelude::*;

use super::echo::write_request;
use super::token::TokenKey;
use super::*;
use crate::domain::mtu::PathMtu;

/// Bytes of a commented hex dump.
fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let digits: Vec<char> = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

macro_rules! capture {
    ($name:literal) => {
        hex(include_str!(concat!("tests/", $name, ".hex")))
    };
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn server_v4() -> IpAddr {
    address("198.51.100.2")
}

fn server_v6() -> IpAddr {
    address("2001:db8:2::2")
}

/// Gives an ICMPv4 message behind a 20-byte IP header the checksum that it should have.
fn with_checksum(mut packet: Vec<u8>) -> Vec<u8> {
    packet[22..24].fill(0);
    let checksum = pnet_packet::util::checksum(&packet[20..], 1);
    packet[22..24].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn an_echo_reply_v4_is_read_behind_its_ip_header() {
    let packet = capture!("v4_echo_reply");
    let Ok(Message::EchoReply(echo)) = v4::parse_packet(&packet) else { panic!("no echo reply") };
    assert_eq!((echo.id, echo.sequence, echo.payload.len()), (0x51ae, 1, 40));
    assert_eq!(v4::parse_message(&packet[20..]), Ok(Message::EchoReply(echo)));
}

#[test]
fn an_echo_reply_v6_is_read_from_its_icmp_header() {
    let packet = capture!("v6_echo_reply");
    let Ok(Message::EchoReply(echo)) = v6::parse_message(&packet) else { panic!("no echo reply") };
    assert_eq!((echo.id, echo.sequence, echo.payload.len()), (0x51b4, 1, 40));
}

#[test]
fn a_ptb_v4_names_its_mtu_and_the_packet() {
    let packet = capture!("v4_ptb");
    let Ok(Message::PacketTooBig { mtu, quote }) = v4::parse_packet(&packet) else { panic!("no PTB") };
    assert_eq!(mtu, 1400);
    assert_eq!(quote.destination, server_v4());
    assert_eq!((quote.echo.id, quote.echo.sequence), (0x51af, 1));
    // RFC 1812 §4.3.2.3: as much as fits into 576 bytes.
    assert_eq!(quote.echo.payload.len(), 576 - 20 - 8 - 20 - 8);
}

#[test]
fn a_ptb_v6_names_its_mtu_and_the_packet() {
    let packet = capture!("v6_ptb");
    assert_eq!(v6::PacketTooBig::parse(&packet), Some(v6::PacketTooBig { mtu: 1400 }));
    let Ok(Message::PacketTooBig { mtu, quote }) = v6::parse_message(&packet) else { panic!("no PTB") };
    assert_eq!(mtu, 1400);
    assert_eq!(quote.destination, server_v6());
    assert_eq!((quote.echo.id, quote.echo.sequence), (0x51b5, 1));
    // RFC 4443 §2.4: as much as fits into 1280 bytes.
    assert_eq!(quote.echo.payload.len(), 1280 - 40 - 8 - 40 - 8);
}

#[test]
fn a_ptb_v6_may_claim_32_bits() {
    let mut packet = capture!("v6_ptb");
    packet[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(v6::parse_message(&packet), Ok(Message::PacketTooBig { mtu: u32::MAX, .. })));
}

#[test]
fn ip_options_move_both_headers() {
    let packet = capture!("v4_ptb_with_options");
    let Ok(Message::PacketTooBig { mtu, quote }) = v4::parse_packet(&packet) else { panic!("no PTB") };
    assert_eq!(mtu, 1400);
    assert_eq!(quote.destination, server_v4());
    assert_eq!((quote.echo.id, quote.echo.sequence), (0x51b3, 1));
}

#[test]
fn eight_bytes_behind_the_quoted_header_are_enough() {
    let full = capture!("v4_ptb");
    let packet = with_checksum(full[..20 + 8 + 20 + 8].to_vec());
    let Ok(Message::PacketTooBig { quote, .. }) = v4::parse_packet(&packet) else { panic!("no PTB") };
    assert_eq!((quote.echo.id, quote.echo.sequence, quote.echo.payload), (0x51af, 1, &[][..]));
    let too_short = with_checksum(full[..20 + 8 + 20 + 7].to_vec());
    assert!(matches!(v4::parse_packet(&too_short), Err(WireError::Truncated { .. })));

    let full = capture!("v6_ptb");
    let Ok(Message::PacketTooBig { quote, .. }) = v6::parse_message(&full[..8 + 40 + 8]) else {
        panic!("no PTB")
    };
    assert_eq!((quote.echo.id, quote.echo.sequence, quote.echo.payload), (0x51b5, 1, &[][..]));
    assert!(matches!(v6::parse_message(&full[..8 + 40 + 7]), Err(WireError::Truncated { .. })));
}

#[test]
fn time_exceeded_in_transit_names_the_packet() {
    let packet = capture!("v4_time_exceeded");
    let Ok(Message::TimeExceeded { quote }) = v4::parse_packet(&packet) else { panic!("no time exceeded") };
    assert_eq!((quote.destination, quote.echo.id), (server_v4(), 0x51b0));
    let packet = capture!("v6_time_exceeded");
    let Ok(Message::TimeExceeded { quote }) = v6::parse_message(&packet) else { panic!("no time exceeded") };
    assert_eq!((quote.destination, quote.echo.id), (server_v6(), 0x51b6));
}

#[test]
fn a_reassembly_that_took_too_long_is_no_answer() {
    let mut packet = capture!("v4_time_exceeded");
    packet[21] = 1;
    assert_eq!(v4::parse_packet(&with_checksum(packet)), Ok(Message::Other { kind: 11 }));
    let mut packet = capture!("v6_time_exceeded");
    packet[1] = 1;
    assert_eq!(v6::parse_message(&packet), Ok(Message::Other { kind: 3 }));
}

#[test]
fn other_unreachables_say_why() {
    let packet = capture!("v4_host_unreachable");
    let Ok(Message::Unreachable { code, quote }) = v4::parse_packet(&packet) else {
        panic!("no unreachable")
    };
    assert_eq!((code, quote.destination), (1, address("203.0.113.9")));
    let packet = capture!("v6_no_route");
    let Ok(Message::Unreachable { code, quote }) = v6::parse_message(&packet) else {
        panic!("no unreachable")
    };
    assert_eq!((code, quote.destination), (0, address("2001:db8:9::9")));
}

#[test]
fn a_wrong_checksum_v4_is_refused() {
    let mut packet = capture!("v4_ptb");
    packet[27] ^= 1;
    assert_eq!(v4::parse_packet(&packet), Err(WireError::Checksum));
}

#[test]
fn quotes_of_what_is_no_echo_request_are_refused() {
    let quote = |change: fn(&mut Vec<u8>)| {
        let mut packet = capture!("v4_ptb")[28..].to_vec();
        change(&mut packet);
        quoted::v4(&packet).unwrap_err()
    };
    assert!(matches!(quote(|packet| packet[9] = 17), WireError::NotIcmp { .. }));
    assert!(matches!(quote(|packet| packet[7] = 1), WireError::Fragment));
    assert!(matches!(quote(|packet| packet[20] = 0), WireError::NotEchoRequest { .. }));
    assert!(matches!(quote(|packet| packet[0] = 0x65), WireError::Version { .. }));
    assert!(matches!(quote(|packet| packet[0] = 0x44), WireError::Truncated { .. }));
    assert!(matches!(quote(|packet| packet.truncate(19)), WireError::Truncated { .. }));
    let quote = |change: fn(&mut Vec<u8>)| {
        let mut packet = capture!("v6_ptb")[8..].to_vec();
        change(&mut packet);
        quoted::v6(&packet).unwrap_err()
    };
    assert!(matches!(quote(|packet| packet[6] = 44), WireError::NotIcmp { .. }));
    assert!(matches!(quote(|packet| packet[40] = 129), WireError::NotEchoRequest { .. }));
    assert!(matches!(quote(|packet| packet[0] = 0x40), WireError::Version { .. }));
    assert!(matches!(quote(|packet| packet.truncate(39)), WireError::Truncated { .. }));
}

#[test]
fn the_error_queue_says_the_same_as_a_packet() {
    let packet = capture!("v4_ptb");
    let queued = QueuedError {
        kind: 3,
        code: 4,
        info: 1400,
        destination: server_v4(),
        quoted: &packet[20 + 8 + 20..],
    };
    assert_eq!(queued.into_message(), v4::parse_packet(&packet).map(without_hop_limit));
    let packet = capture!("v6_ptb");
    let queued =
        QueuedError { kind: 2, code: 0, info: 1400, destination: server_v6(), quoted: &packet[8 + 40..] };
    assert_eq!(queued.into_message(), v6::parse_message(&packet).map(without_hop_limit));
}

/// The queue hands over no IP header.
fn without_hop_limit(message: Message<'_>) -> Message<'_> {
    match message {
        Message::PacketTooBig { mtu, quote } => {
            Message::PacketTooBig { mtu, quote: Quote { hop_limit: None, ..quote } }
        }
        other @ (Message::EchoReply(_) | Message::Unreachable { .. }) => other,
        other @ (Message::TimeExceeded { .. } | Message::Other { .. }) => other,
    }
}

#[test]
fn a_request_has_the_size_that_was_asked_for_and_carries_the_token() {
    let token = TokenKey::of_process().token(7, 9);
    let mut buffer = vec![1, 2, 3];
    for size in [68, 69, 1280, 1500, 9000, 65_535].map(|size| PathMtu::new(size).unwrap()) {
        for family in IpFamily::ALL {
            write_request(&mut buffer, family, size, 7, 9, token);
            let expected = usize::from(size.get() - family.header_bytes());
            assert_eq!(buffer.len(), expected, "{family} {size}");
            let echo = quoted::echo_request(family, &buffer).unwrap();
            assert_eq!((echo.id, echo.sequence), (7, 9));
            assert!(token.begins(echo.payload));
        }
    }
}

#[test]
fn the_padding_does_not_compress() {
    let mut buffer = Vec::new();
    let size = PathMtu::new(1500).unwrap();
    write_request(&mut buffer, IpFamily::V4, size, 7, 9, TokenKey::of_process().token(7, 9));
    let mut words: Vec<_> = buffer[16..].chunks(4).collect();
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    assert!(words.len() + 2 > count, "{} of {count} words differ", words.len());
}

proptest! {
    #[test]
    fn a_request_v4_that_comes_back_is_read(id: u16, sequence: u16, size in 68_u16..2000) {
        let token = TokenKey::of_process().token(id, sequence);
        let mut buffer = Vec::new();
        write_request(&mut buffer, IpFamily::V4, PathMtu::new(size).unwrap(), id, sequence, token);
        // A reply differs in its type, 0 instead of 8, and so in its checksum.
        buffer[0] = 0;
        buffer[2..4].fill(0);
        let checksum = pnet_packet::util::checksum(&buffer, 1);
        buffer[2..4].copy_from_slice(&checksum.to_be_bytes());
        let Ok(Message::EchoReply(echo)) = v4::parse_message(&buffer) else { panic!("no echo reply") };
        prop_assert_eq!((echo.id, echo.sequence), (id, sequence));
        prop_assert!(token.begins(echo.payload));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = v4::parse_packet(&bytes);
        let _ = v4::parse_message(&bytes);
        let _ = v6::parse_message(&bytes);
        let _ = quoted::v4(&bytes);
        let _ = quoted::v6(&bytes);
    }

    #[test]
    fn no_changed_byte_makes_a_parser_panic(at in 0_usize..576, to: u8, length in 0_usize..576) {
        let mut packet = capture!("v4_ptb_with_options");
        packet[at] = to;
        packet.truncate(length);
        let _ = v4::parse_packet(&packet);
        let _ = quoted::v4(packet.get(28..).unwrap_or_default());
    }
}
