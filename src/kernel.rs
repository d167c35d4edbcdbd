//! The only syscalls: netlink, namespaces, sockets, `/proc` and `/sys`. Hands out `domain` types.

pub mod egress;
pub mod socket;
