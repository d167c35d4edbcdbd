//! The only syscalls: netlink, namespaces, sockets, `/proc` and `/sys`. Hands out `domain` types.

pub mod addresses;
pub mod capability;
#[cfg(test)]
mod capture;
pub mod clamp;
pub mod clamp_watch;
pub mod counters;
pub mod egress;
pub mod file_watch;
pub mod host;
pub mod limits;
pub mod link_events;
pub mod links;
mod listener;
mod netlink;
pub mod netns;
mod nfnetlink;
pub mod nsid;
pub mod own_process;
pub mod process_end;
pub mod procfs;
mod readiness;
pub mod routes;
pub mod socket;
pub mod watch;

pub use netlink::{NetlinkError, RouteSocket};
