//! Whose dockerd it is, and which iptables it finds: every test may be run over all of them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{LabError, NetnsLab, Place};

/// The Debian whose dockerd, containerd, runc and iptables are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// The machine's own: on Debian 12, Docker 20.10.
    #[default]
    Machine,
    /// Debian 13 with Docker 26.1, from the target directory, where `.ci/run trixie` puts it.
    Trixie,
}

impl Release {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Machine, Self::Trixie];

    /// Its `/usr`, in the lab as in its containers.
    pub(super) fn usr(self) -> &'static str {
        match self {
            Self::Machine => "/run/lab/usr/machine",
            Self::Trixie => "/run/lab/usr/trixie",
        }
    }
}

/// The iptables that a dockerd makes its rules with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Iptables {
    /// What Debian takes: its rules are nftables' too, and flushed with them.
    #[default]
    Nft,
    /// The old kernel interface, which nftables does not see.
    Legacy,
}

/// Where programs are looked for by a dockerd with [`Iptables::Legacy`].
pub(super) const LEGACY: &str = "/run/lab/legacy:/usr/sbin:/usr/bin:/sbin:/bin";

/// Makes all of that ready in the lab.
pub(super) fn prepare(lab: &NetnsLab) -> Result<()> {
    let trixie = trixie().unwrap_or_default();
    let trixie = trixie.to_str().context("the target directory has a name in UTF-8")?;
    lab.check_in(Place::Node, &["sh", "-c", include_str!("userland.sh"), "userland", trixie]).map(drop)
}

/// Fails if a release is not on this machine.
pub(super) fn check(release: Release) -> Result<(), LabError> {
    match release {
        Release::Machine => Ok(()),
        Release::Trixie if trixie().is_some() => Ok(()),
        Release::Trixie => Err(LabError::NoTrixie),
    }
}

/// In the target directory that this program was built into.
fn trixie() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().map(|directory| directory.join("debian-trixie")).find(|root| Path::is_dir(root))
}
