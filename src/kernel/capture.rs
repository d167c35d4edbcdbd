//! Messages of a real kernel, for tests: hex digits, with `#` before what is said about them.

/// The payload of a message, after its netlink header.
pub(super) fn bytes(capture: &str) -> Vec<u8> {
    let lines = capture.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<_> = lines.flat_map(str::chars).map(|char| char.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}
