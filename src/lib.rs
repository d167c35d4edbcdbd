//! Finds the path MTU of nested container networks, and the MTU that a nested dockerd may safely use.
//!
//! Read in this order, which is also the order of the layers; a module names only those before it:
//!
//! 1. [`domain`]: sizes, links, the topology across network namespaces, the path MTU search. Pure.
//! 2. [`kernel`]: netlink, namespaces, sockets, `/proc`. The only syscalls.
//! 3. [`probes`]: the driver that turns a search's wishes into packets, and packets into its events.
//! 4. [`discovery`]: kernel facts become a named topology with levels.
//! 5. [`publish`]: everything that leaves the process.
//! 6. [`agent`]: the survey kept true, for months; [`controller`]: the values of pools, made of those of nodes;
//!    [`webhook`]: pods told their MTU. None of these three names another.

pub mod agent;
pub mod controller;
pub mod discovery;
pub mod domain;
pub mod kernel;
pub mod probes;
pub mod publish;
pub mod webhook;
