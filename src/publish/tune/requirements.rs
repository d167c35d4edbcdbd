//! What it takes to write in other namespaces.

use crate::kernel::capability::Capability;

const NEEDED: [(Capability, &str); 3] = [
    (Capability::CapNetAdmin, "to set MTUs and nftables"),
    (Capability::CapSysAdmin, "to enter network namespaces"),
    (Capability::CapSysPtrace, "to find them by the processes in them"),
];

/// What of it the calling thread lacks, and what for.
pub fn missing() -> Vec<String> {
    let held = Capability::held();
    let lacking = NEEDED.into_iter().filter(|(capability, _)| !held.contains(capability));
    lacking.map(|(capability, why)| format!("{capability} {why}")).collect()
}
