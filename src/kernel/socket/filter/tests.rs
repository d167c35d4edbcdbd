use super::*;

/// Runs the program as `bpf_prog_run` does, for the instructions that are used here; `true` accepts.
fn accepts(program: &[Instruction], packet: &[u8]) -> bool {
    let load = |at: u32, length: usize| {
        let at = usize::try_from(at).unwrap();
        let bytes = packet.get(at..at + length)?;
        Some(bytes.iter().fold(0_u32, |value, &byte| value << 8 | u32::from(byte)))
    };
    let (mut a, mut x, mut next) = (0_u32, 0_u32, 0_usize);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[next];
        next += 1;
        let loaded = match code {
            LD_BYTE_ABS => load(k, 1),
            LD_HALF_ABS => load(k, 2),
            LD_WORD_ABS => load(k, 4),
            LD_BYTE_IND => load(x + k, 1),
            LD_HALF_IND => load(x + k, 2),
            LD_WORD_IND => load(x + k, 4),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return false };
        a = loaded;
        match code {
            LDX_IP_HEADER_LENGTH => match load(k, 1) {
                Some(byte) => x = (byte & 0x0f) * 4,
                None => return false,
            },
            AND => a &= k,
            SHIFT_LEFT => a <<= k,
            ADD_X => a += x,
            A_TO_X => x = a,
            JUMP_EQUAL => next += usize::from(if a == k { jump_true } else { jump_false }),
            RETURN => return k != 0,
            _ => {}
        }
    }
}

const ID: u16 = 0xbeef;

fn header_v4(protocol: u8, source: [u8; 4], destination: [u8; 4], options: usize) -> Vec<u8> {
    let words = 0x45 + u8::try_from(options).unwrap();
    let mut header = vec![words, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(source);
    header.extend(destination);
    header.resize(20 + options * 4, 0);
    header
}

fn echo(kind: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![kind, 0, 0, 0, high, low, 0, 1]
}

const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [198, 51, 100, 2];
const ROUTER: [u8; 4] = [192, 0, 2, 2];

fn reply_v4(id: u16, source: [u8; 4], options: usize) -> Vec<u8> {
    [header_v4(1, source, CLIENT, options), echo(0, id)].concat()
}

fn error_v4(kind: u8, quoted: Vec<u8>, options: usize) -> Vec<u8> {
    [header_v4(1, ROUTER, CLIENT, options), vec![kind, 4, 0, 0, 0, 0, 5, 0], quoted].concat()
}

fn quoted_v4(id: u16, destination: [u8; 4], protocol: u8, options: usize) -> Vec<u8> {
    [header_v4(protocol, CLIENT, destination, options), echo(8, id)].concat()
}

#[test]
fn own_replies_pass_and_those_of_others_do_not() {
    let program = instructions(IpAddr::from(SERVER), ID);
    assert!(accepts(&program, &reply_v4(ID, SERVER, 0)));
    assert!(accepts(&program, &reply_v4(ID, SERVER, 10)));
    assert!(!accepts(&program, &reply_v4(ID + 1, SERVER, 0)));
    assert!(!accepts(&program, &reply_v4(ID, ROUTER, 0)));
    let request = [header_v4(1, SERVER, CLIENT, 0), echo(8, ID)].concat();
    assert!(!accepts(&program, &request));
}

#[test]
fn errors_that_quote_an_own_request_pass_and_others_do_not() {
    let program = instructions(IpAddr::from(SERVER), ID);
    for kind in [3, 11] {
        for (outer, inner) in [(0, 0), (10, 0), (0, 10), (10, 10)] {
            assert!(accepts(&program, &error_v4(kind, quoted_v4(ID, SERVER, 1, inner), outer)));
            assert!(!accepts(&program, &error_v4(kind, quoted_v4(ID + 1, SERVER, 1, inner), outer)));
        }
        assert!(!accepts(&program, &error_v4(kind, quoted_v4(ID, ROUTER, 1, 0), 0)));
        assert!(!accepts(&program, &error_v4(kind, quoted_v4(ID, SERVER, 17, 0), 0)));
    }
    assert!(!accepts(&program, &error_v4(5, quoted_v4(ID, SERVER, 1, 0), 0)), "a redirect");
}

#[test]
fn truncated_packets_do_not_pass() {
    let program = instructions(IpAddr::from(SERVER), ID);
    let packet = error_v4(3, quoted_v4(ID, SERVER, 1, 0), 0);
    // The identifier ends two bytes before the quote of 8 bytes does.
    for length in 0..packet.len() - 2 {
        assert!(!accepts(&program, &packet[..length]), "{length}");
    }
}

#[test]
fn ipv6_is_sieved_alike() {
    let server: Ipv6Addr = "2001:db8:2::2".parse().unwrap();
    let program = instructions(server.into(), ID);
    assert!(accepts(&program, &echo(129, ID)));
    assert!(!accepts(&program, &echo(129, ID + 1)));
    assert!(!accepts(&program, &echo(128, ID)));
    let error = |kind: u8, next_header: u8, destination: Ipv6Addr, id: u16| {
        let header = [vec![0x60, 0, 0, 0, 0, 0, next_header, 64], vec![0; 16], destination.octets().to_vec()];
        [vec![kind, 0, 0, 0, 0, 0, 5, 0], header.concat(), echo(128, id)].concat()
    };
    for kind in [1, 2, 3] {
        let packet = error(kind, 58, server, ID);
        assert!(accepts(&program, &packet));
        assert!(!accepts(&program, &packet[..packet.len() - 3]));
        assert!(!accepts(&program, &error(kind, 17, server, ID)));
        assert!(!accepts(&program, &error(kind, 58, "2001:db8:2::3".parse().unwrap(), ID)));
        assert!(!accepts(&program, &error(kind, 58, server, ID + 1)));
    }
    assert!(!accepts(&program, &error(135, 58, server, ID)), "a neighbour solicitation");
}
