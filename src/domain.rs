//! What is true about MTUs, links and paths. No I/O, clock, async, netlink or Kubernetes types.

pub mod encap;
pub mod evidence;
pub mod mtu;
pub mod search;
