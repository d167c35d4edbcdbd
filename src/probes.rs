//! One driver around the pure search: it owns the socket and the clock.
//!
//! From a text to an answer: [`resolve::Target`] parses and resolves, [`driver::probe`] probes one address;
//! several may run at once, each with its own socket. In another network namespace, [`driver::Prober::open`] is
//! called on a thread that joined it, and [`driver::Prober::run`] anywhere.

pub mod driver;
pub mod ledger;
pub mod resolve;
pub mod wire;
