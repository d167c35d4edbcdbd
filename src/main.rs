//! Command line of `mtu-agent`.

fn main() {}
