//! Real paths between real sockets: [`chain`] of kernel routers, and a [`crate::network`] behind a tun device.
//!
//! Every namespace is a thread's own ([`space`]): it has no name, and goes with the process however that ends.

pub mod chain;
pub mod space;
