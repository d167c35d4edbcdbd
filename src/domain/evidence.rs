//! How a number is known. Every number that leaves the program carries one of these.

use serde::Serialize;

/// How a number is known; later variants are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Read from a link, a route or a file: what somebody configured.
    Configured,
    /// What the kernel learned by itself (route cache, PTB). A hint: kernels believe forged PTBs.
    Learned,
    /// A probe of that size went through, and larger ones did not.
    Measured,
}
