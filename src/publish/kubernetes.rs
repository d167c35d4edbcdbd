//! What Kubernetes is told, by which names, and how it is listened to.

pub mod client;
pub mod names;
pub mod node_mtu;
pub mod outcome;
pub mod serving_key;
pub mod watch;
