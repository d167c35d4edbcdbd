//! The classic BPF program of a raw ICMP socket: in the kernel, before a copy is queued and a reader woken, it
//! drops whatever does not speak of this socket's destination and echo identifier. A raw socket otherwise gets
//! every ICMP packet of the host, and with it every flood.
//!
//! It is a sieve, not a proof: sequence number and token are the reader's to check. A load beyond the end of the
//! packet ends a program with "drop" (Documentation/networking/filter.rst), so truncated packets need no care.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use socket2::SockFilter;

/// One instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

// linux/bpf_common.h
const LD_BYTE_ABS: u16 = 0x30;
const LD_HALF_ABS: u16 = 0x28;
const LD_WORD_ABS: u16 = 0x20;
const LD_BYTE_IND: u16 = 0x50;
const LD_HALF_IND: u16 = 0x48;
const LD_WORD_IND: u16 = 0x40;
const LDX_IP_HEADER_LENGTH: u16 = 0xb1;
const AND: u16 = 0x54;
const SHIFT_LEFT: u16 = 0x64;
const ADD_X: u16 = 0x0c;
const A_TO_X: u16 = 0x07;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// One instruction before it has jump distances.
#[derive(Clone, Copy)]
enum Step {
    /// Does this with `k`.
    Do(u16, u32),
    /// Goes on when A is this, else drops.
    Demand(u32),
    /// Goes to the error part when A is this, else on.
    ErrorIf(u32),
    /// Accepts when A is this, else drops. Ends a part.
    AcceptIf(u32),
}

/// The program for echo replies from `destination` with `id`, and ICMP errors that quote such a request.
pub(super) fn program(destination: IpAddr, id: u16) -> Vec<SockFilter> {
    let instructions = instructions(destination, id).into_iter();
    instructions
        .map(|Instruction { code, jump_true, jump_false, k }| SockFilter::new(code, jump_true, jump_false, k))
        .collect()
}

fn instructions(destination: IpAddr, id: u16) -> Vec<Instruction> {
    match destination {
        IpAddr::V4(destination) => v4(destination, id),
        IpAddr::V6(destination) => v6(destination, id),
    }
}

/// Here the packet begins with its IP header (`raw_rcv`).
fn v4(destination: Ipv4Addr, id: u16) -> Vec<Instruction> {
    use Step::{AcceptIf, Demand, Do, ErrorIf};
    let address = destination.to_bits();
    let id = u32::from(id);
    let reply = [
        Do(LDX_IP_HEADER_LENGTH, 0),
        Do(LD_BYTE_IND, 0), // ICMP type
        ErrorIf(3),
        ErrorIf(11),
        Demand(0),
        Do(LD_WORD_ABS, 12), // source address
        Demand(address),
        Do(LD_HALF_IND, 4), // identifier
        AcceptIf(id),
    ];
    let error = [
        Do(LD_BYTE_IND, 8 + 9), // quoted protocol: ICMP
        Demand(1),
        Do(LD_WORD_IND, 8 + 16), // quoted destination
        Demand(address),
        Do(LD_BYTE_IND, 8), // quoted header length, in words
        Do(AND, 0x0f),
        Do(SHIFT_LEFT, 2),
        Do(ADD_X, 0),
        Do(A_TO_X, 0),
        Do(LD_HALF_IND, 8 + 4), // quoted identifier
        AcceptIf(id),
    ];
    assemble(&reply, &error)
}

/// Here the packet begins with its ICMPv6 header (`rawv6_rcv`).
fn v6(destination: Ipv6Addr, id: u16) -> Vec<Instruction> {
    use Step::{AcceptIf, Demand, Do, ErrorIf};
    let id = u32::from(id);
    let reply = [
        Do(LD_BYTE_ABS, 0),
        ErrorIf(1),
        ErrorIf(2),
        ErrorIf(3),
        Demand(129),
        Do(LD_HALF_ABS, 4),
        AcceptIf(id),
    ];
    let mut error = vec![Do(LD_BYTE_ABS, 8 + 6), Demand(58)]; // quoted next header: ICMPv6
    for (offset, word) in (8 + 24..).step_by(4).zip(destination.octets().as_chunks::<4>().0) {
        error.extend([Do(LD_WORD_ABS, offset), Demand(u32::from_be_bytes(*word))]);
    }
    error.extend([Do(LD_HALF_ABS, 8 + 40 + 4), AcceptIf(id)]);
    assemble(&reply, &error)
}

/// Lays out `reply`, `error`, "accept", "drop", and turns the steps into jumps between them.
fn assemble(reply: &[Step], error: &[Step]) -> Vec<Instruction> {
    let total = reply.len() + error.len();
    let distance = |from: usize, to: usize| {
        u8::try_from(to - from - 1).expect("a program of 30 instructions has no longer jump")
    };
    let steps = reply.iter().chain(error).enumerate().map(|(at, &step)| {
        let (accept, drop) = (distance(at, total), distance(at, total + 1));
        let (code, jump_true, jump_false, k) = match step {
            Step::Do(code, k) => (code, 0, 0, k),
            Step::Demand(k) => (JUMP_EQUAL, 0, drop, k),
            Step::ErrorIf(k) => (JUMP_EQUAL, distance(at, reply.len()), 0, k),
            Step::AcceptIf(k) => (JUMP_EQUAL, accept, drop, k),
        };
        Instruction { code, jump_true, jump_false, k }
    });
    let end = |k| Instruction { code: RETURN, jump_true: 0, jump_false: 0, k };
    steps.chain([end(u32::MAX), end(0)]).collect()
}

#[cfg(test)]
mod tests;
