//! The keyed token at the start of each probe's payload: what only somebody who saw the probe can repeat.
//!
//! Identifier and sequence number of an echo are 32 guessable bits. With them alone, an attacker off the path
//! could acknowledge a size that does not fit, or name a tiny MTU. The token makes that 96 bits.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// Length of the token in the payload.
pub const TOKEN_BYTES: usize = 8;

/// The token of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; TOKEN_BYTES]);

impl Token {
    /// As it stands in the payload.
    pub fn as_bytes(&self) -> &[u8; TOKEN_BYTES] {
        &self.0
    }

    /// Whether `payload` begins with this token; one that is cut off inside the token fails.
    pub fn begins(&self, payload: &[u8]) -> bool {
        payload.starts_with(&self.0)
    }

    /// Whether as much of the token as a quote has room for is right. Routers may quote as little as 8 bytes
    /// behind the IP header (RFC 792), which end before the token: then there is nothing to compare.
    pub fn agrees_with_quote(&self, quoted_payload: &[u8]) -> bool {
        quoted_payload.iter().zip(&self.0).all(|(quoted, own)| quoted == own)
    }

    /// Seed for the padding, which is to look random: a tunnel that compresses would let a padding of zeros
    /// pass where real data of the same size does not.
    pub(super) fn seed(self) -> u64 {
        u64::from_be_bytes(self.0)
    }
}

/// Key that tokens are made with. SipHash under a key that never leaves the process is enough: it is a
/// keyed pseudo-random function made for this (Aumasson and Bernstein, 2012), an attacker off the path sees none
/// of its outputs, and one on the path needs no forgery to stop or to acknowledge a probe.
#[derive(Clone, Debug)]
pub struct TokenKey(RandomState);

impl TokenKey {
    /// The key of this process, drawn from the system's randomness at first use.
    pub fn of_process() -> &'static Self {
        static KEY: LazyLock<TokenKey> = LazyLock::new(|| TokenKey(RandomState::new()));
        &KEY
    }

    /// Token of the probe with this identifier and sequence number.
    pub fn token(&self, id: u16, sequence: u16) -> Token {
        Token(self.0.hash_one(("token", id, sequence)).to_be_bytes())
    }

    /// A number that is unguessable from outside, the same for the same `purpose` and `counter`.
    pub fn number(&self, purpose: &'static str, counter: u64) -> u64 {
        self.0.hash_one((purpose, counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_depends_on_identifier_and_sequence_number_both() {
        let key = TokenKey::of_process();
        assert_eq!(key.token(1, 2), key.token(1, 2));
        assert_ne!(key.token(1, 2), key.token(2, 1));
        assert_ne!(key.token(1, 2), key.token(1, 3));
    }

    #[test]
    fn another_key_makes_other_tokens() {
        assert_ne!(TokenKey(RandomState::new()).token(1, 2), TokenKey(RandomState::new()).token(1, 2));
    }

    #[test]
    fn a_quote_may_end_before_the_token_but_not_contradict_it() {
        let token = TokenKey::of_process().token(7, 7);
        assert!(token.agrees_with_quote(&[]));
        assert!(token.agrees_with_quote(&token.as_bytes()[..3]));
        let mut wrong = *token.as_bytes();
        wrong[2] ^= 1;
        assert!(!token.agrees_with_quote(&wrong[..3]));
        assert!(!token.agrees_with_quote(&wrong));
    }

    #[test]
    fn a_reply_has_the_whole_token() {
        let token = TokenKey::of_process().token(7, 8);
        assert!(token.begins(token.as_bytes()));
        assert!(!token.begins(&token.as_bytes()[..7]));
        assert!(!token.begins(&[]));
    }
}
