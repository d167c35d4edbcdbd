//! One driver around the pure search: it owns the socket and the clock.

pub mod wire;
