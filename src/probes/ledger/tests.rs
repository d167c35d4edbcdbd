use super::super::wire::{quoted, v4};
use super::*;

const ID: u16 = 0x1234;
const BASE: u16 = 65_530;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn server() -> IpAddr {
    address("198.51.100.2")
}

fn router() -> IpAddr {
    address("192.0.2.2")
}

/// A ledger with one probe of 1400 bytes out, and the packet of that.
fn ledger(probe: u16) -> (Ledger, Vec<u8>) {
    let mut ledger = Ledger::new(server(), ID, BASE, TokenKey::of_process());
    let mut packet = Vec::new();
    let transmit = Transmit { id: ProbeId(probe), size: PathMtu::new(1400).unwrap(), hop_limit: None };
    ledger.write(&transmit, &mut packet);
    (ledger, packet)
}

fn echo(packet: &[u8]) -> Echo<'_> {
    quoted::echo_request(IpFamily::V4, packet).unwrap()
}

fn reply(packet: &[u8]) -> Message<'_> {
    Message::EchoReply(echo(packet))
}

fn ptb(packet: &[u8], destination: IpAddr) -> Message<'_> {
    Message::PacketTooBig { mtu: 1300, quote: Quote { destination, hop_limit: None, echo: echo(packet) } }
}

#[test]
fn the_reply_to_a_probe_is_believed_once() {
    let (mut ledger, packet) = ledger(3);
    assert_eq!(ledger.judge(reply(&packet), server()), Ok(Event::Ack { id: ProbeId(3) }));
    assert_eq!(ledger.judge(reply(&packet), server()), Err(Ignored::Duplicate));
}

#[test]
fn sequence_numbers_go_on_behind_65535() {
    let (mut ledger, packet) = ledger(7);
    assert_eq!(echo(&packet).sequence, 1);
    assert_eq!(ledger.judge(reply(&packet), server()), Ok(Event::Ack { id: ProbeId(7) }));
}

#[test]
fn somebody_elses_reply_is_off_the_path() {
    let (mut ledger, packet) = ledger(0);
    assert_eq!(ledger.judge(reply(&packet), router()), Err(Ignored::OffPath));
}

#[test]
fn a_reply_without_the_token_is_forged() {
    let (mut ledger, mut packet) = ledger(0);
    packet[8] ^= 1;
    assert_eq!(ledger.judge(reply(&packet), server()), Err(Ignored::Forged));
    assert_eq!(ledger.judge(reply(&packet[..12]), server()), Err(Ignored::Forged));
}

#[test]
fn a_reply_longer_than_its_request_is_absurd_and_a_shorter_one_is_fine() {
    let (mut ledger, mut packet) = ledger(0);
    packet.push(0);
    assert_eq!(ledger.judge(reply(&packet), server()), Err(Ignored::Absurd));
    assert_eq!(ledger.judge(reply(&packet[..64]), server()), Ok(Event::Ack { id: ProbeId(0) }));
}

#[test]
fn what_no_probe_said_is_stale() {
    let (mut ledger, packet) = ledger(0);
    for at in [4, 6] {
        let mut other = packet.clone();
        other[at] ^= 1;
        assert_eq!(ledger.judge(reply(&other), server()), Err(Ignored::Stale));
        assert_eq!(ledger.judge(ptb(&other, server()), router()), Err(Ignored::Stale));
    }
}

#[test]
fn a_ptb_is_believed_by_its_quote_whoever_sent_it() {
    let (mut ledger, packet) = ledger(5);
    let believed = Ok(Event::Ptb { id: ProbeId(5), mtu: 1300, from: router() });
    assert_eq!(ledger.judge(ptb(&packet, server()), router()), believed);
    // 8 bytes behind the IP header: identifier and sequence number, no token.
    assert_eq!(ledger.judge(ptb(&packet[..8], server()), router()), believed);
    assert_eq!(ledger.judge(ptb(&packet[..11], server()), router()), believed);
}

#[test]
fn a_quote_that_reaches_into_the_token_must_have_it_right() {
    let (mut ledger, mut packet) = ledger(5);
    packet[10] ^= 1;
    assert!(ledger.judge(ptb(&packet[..10], server()), router()).is_ok());
    assert_eq!(ledger.judge(ptb(&packet[..11], server()), router()), Err(Ignored::Forged));
    assert_eq!(ledger.judge(ptb(&packet, server()), router()), Err(Ignored::Forged));
}

#[test]
fn a_quote_of_a_packet_to_somebody_else_is_off_the_path() {
    let (mut ledger, packet) = ledger(5);
    assert_eq!(ledger.judge(ptb(&packet, router()), router()), Err(Ignored::OffPath));
}

#[test]
fn the_other_errors_carry_who_sent_them() {
    let (mut ledger, packet) = ledger(5);
    let quote = Quote { destination: server(), hop_limit: None, echo: echo(&packet) };
    assert_eq!(
        ledger.judge(Message::TimeExceeded { quote }, router()),
        Ok(Event::TimeExceeded { id: ProbeId(5), from: router() })
    );
    assert_eq!(
        ledger.judge(Message::Unreachable { code: 1, quote }, router()),
        Ok(Event::Unreachable { id: ProbeId(5), from: router() })
    );
    assert_eq!(ledger.judge(Message::Other { kind: 8 }, router()), Err(Ignored::Unrelated));
}

#[test]
fn our_own_request_is_no_reply() {
    let (mut ledger, packet) = ledger(5);
    // A raw socket on loopback sees both.
    let message = v4::parse_message(&packet).unwrap();
    assert_eq!(ledger.judge(message, server()), Err(Ignored::Unrelated));
}

#[test]
fn each_reason_has_its_own_count() {
    let mut counts = IgnoredCounts::default();
    for why in [
        Ignored::Forged,
        Ignored::Stale,
        Ignored::OffPath,
        Ignored::Absurd,
        Ignored::Malformed,
        Ignored::Duplicate,
        Ignored::Unrelated,
    ] {
        counts.add(why);
    }
    let each = IgnoredCounts {
        forged: 1,
        stale: 1,
        off_path: 1,
        absurd: 1,
        malformed: 1,
        duplicate: 1,
        unrelated: 1,
    };
    assert_eq!(counts, each);
}
