//! What the fuzz targets do with any bytes, and what must hold of the answer. Shared with `tests/corpus.rs`.

use mtu_agent::probes::wire::{Echo, Message, QueuedError, Quote, WireError, quoted, v4, v6};

/// Echo replies of both families, as packets and as bare messages.
pub fn echo(bytes: &[u8]) {
    for parsed in [v4::parse_packet(bytes), v4::parse_message(bytes), v6::parse_message(bytes)] {
        if let Ok(Message::EchoReply(echo)) = parsed {
            is_part(bytes, echo);
            assert_eq!(echo.payload.last(), bytes.last().filter(|_| !echo.payload.is_empty()));
        }
        holds(bytes, parsed);
    }
}

/// What a raw IPv4 socket receives.
pub fn ptb_v4(bytes: &[u8]) {
    let parsed = v4::parse_packet(bytes);
    if let Ok(Message::PacketTooBig { mtu, .. }) = parsed {
        assert!(u16::try_from(mtu).is_ok(), "an ICMPv4 PTB has 16 bits for its MTU");
    }
    holds(bytes, parsed);
}

/// What a raw IPv6 socket receives.
pub fn ptb_v6(bytes: &[u8]) {
    let parsed = v6::parse_message(bytes);
    if let Ok(Message::PacketTooBig { mtu, .. }) = parsed {
        assert_eq!(v6::PacketTooBig::parse(bytes).map(|ptb| ptb.mtu), Some(mtu));
    }
    holds(bytes, parsed);
}

/// Quoted packets of both families, and the same behind an error queue.
pub fn quoted(bytes: &[u8]) {
    for quote in [quoted::v4(bytes), quoted::v6(bytes)].into_iter().flatten() {
        is_part(bytes, quote.echo);
        let from_icmp_header = bytes.len() - quote.echo.payload.len() - 8;
        let queued = QueuedError {
            kind: if quote.destination.is_ipv4() { 3 } else { 1 },
            code: 1,
            info: 0,
            destination: quote.destination,
            quoted: &bytes[from_icmp_header..],
        };
        let quote = Quote { hop_limit: None, ..quote }; // the queue hands over no IP header
        assert_eq!(queued.into_message(), Ok(Message::Unreachable { code: 1, quote }));
    }
}

fn holds(bytes: &[u8], parsed: Result<Message<'_>, WireError>) {
    match parsed {
        Ok(
            Message::PacketTooBig { quote: Quote { echo, .. }, .. }
            | Message::Unreachable { quote: Quote { echo, .. }, .. }
            | Message::TimeExceeded { quote: Quote { echo, .. } }
            | Message::EchoReply(echo),
        ) => is_part(bytes, echo),
        Ok(Message::Other { kind: _ }) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Nothing is made up: identifier, sequence number and payload end the input.
fn is_part(bytes: &[u8], echo: Echo<'_>) {
    assert!(bytes.ends_with(echo.payload));
    let header = &bytes[..bytes.len() - echo.payload.len()];
    let [id, sequence] = [echo.id.to_be_bytes(), echo.sequence.to_be_bytes()];
    assert!(header.ends_with(&[id, sequence].concat()));
}
