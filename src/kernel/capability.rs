//! Which of the capabilities that matter here the process holds.

use std::fmt;

use rustix::thread::{CapabilitySet, capabilities};
use serde::Serialize;

/// A Linux capability that mtu-agent can make use of (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Read links of other namespaces.
    CapNetAdmin,
    /// Send probes from a raw socket.
    CapNetRaw,
    /// Hear events of other namespaces.
    CapNetBroadcast,
    /// Enter other namespaces, to read their routes and to write in there.
    CapSysAdmin,
    /// See which process is in which namespace.
    CapSysPtrace,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CapNetAdmin => "CAP_NET_ADMIN",
            Self::CapNetRaw => "CAP_NET_RAW",
            Self::CapNetBroadcast => "CAP_NET_BROADCAST",
            Self::CapSysAdmin => "CAP_SYS_ADMIN",
            Self::CapSysPtrace => "CAP_SYS_PTRACE",
        })
    }
}

impl Capability {
    const ALL: [(Self, CapabilitySet); 5] = [
        (Self::CapNetAdmin, CapabilitySet::NET_ADMIN),
        (Self::CapNetRaw, CapabilitySet::NET_RAW),
        (Self::CapNetBroadcast, CapabilitySet::NET_BROADCAST),
        (Self::CapSysAdmin, CapabilitySet::SYS_ADMIN),
        (Self::CapSysPtrace, CapabilitySet::SYS_PTRACE),
    ];

    /// Those in the calling thread's effective set; none when the kernel does not tell.
    pub fn held() -> Vec<Self> {
        let Ok(sets) = capabilities(None) else { return Vec::new() };
        Self::ALL.into_iter().filter(|(_, bit)| sets.effective.contains(*bit)).map(|(name, _)| name).collect()
    }
}
