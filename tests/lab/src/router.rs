//! Real paths between real sockets: a [`chain`] of kernel routers, and a [`seeded`] router that does to packets
//! what a scenario says.
//!
//! Every namespace is a thread's own ([`space`]): it has no name, and goes with the process however that ends.

pub mod chain;
pub mod seeded;
pub mod space;

mod packet;
mod port;
