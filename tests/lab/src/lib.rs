//! Networks to test `mtu-agent` in. Not shipped; shared by the tests and the benches.
//!
//! - [`agent`]: the agent as a process on a lab's node, and what it tells.
//! - [`api_server`]: an API server that refuses what a real one refuses, records, and fails on purpose.
//! - [`browser`]: headless Chromium, and what it shows of a page.
//! - [`docker`]: the seed problem, real: a server, a node, a pod, and real dockerds at level 2 and 3.
//! - [`graphviz`]: what graphviz makes of a graph.
//! - [`lesser_kernel`]: a kernel that lacks something, as far as a process can see.
//! - [`monitoring`]: a real Prometheus and Alertmanager on a lab's node.
//! - [`scenario`] and [`network`]: a path described in a file, and what it does to packets, seeded and pure.
//! - [`promtool`]: what Prometheus' own tool says of metrics.
//! - [`router`]: real paths: kernel routers in a chain, and the same seeded network between real sockets.
//! - [`tuning`]: what becomes of links that a dockerd makes while somebody answers them.
//! - [`wall_clock`]: a wall clock of a process's own, which steps.

pub mod agent;
pub mod api_server;
pub mod browser;
pub mod docker;
pub mod graphviz;
pub mod lesser_kernel;
pub mod monitoring;
pub mod network;
pub mod promtool;
pub mod router;
pub mod scenario;
pub mod tuning;
pub mod wall_clock;
