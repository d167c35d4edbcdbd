//! What is true about MTUs, links and paths. No I/O, clock, async, netlink or Kubernetes types.

pub mod answer;
pub mod damper;
pub mod dockers;
pub mod duration;
pub mod encap;
pub mod error;
pub mod evidence;
pub mod fleet;
pub mod link;
pub mod mismatch;
pub mod mtu;
pub mod permission;
pub mod plan;
pub mod safe;
pub mod scope;
pub mod search;
pub mod steady;
pub mod strife;
pub mod topology;
pub mod walk;
