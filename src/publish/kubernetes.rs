//! What Kubernetes is told, and by which names.

pub mod client;
pub mod names;
pub mod node_mtu;
pub mod outcome;
pub mod serving_key;
