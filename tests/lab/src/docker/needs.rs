//! The programs that a lab starts, and the packages that have them.

use std::path::Path;

use super::LabError;

/// Where programs are looked for, distribution first: another docker client may be in `/usr/local/bin`.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/// For a lab without docker. `unshare`, `mount`, `find`, `perl` and `sh` are in every Debian.
pub(crate) const NETNS: &[(&str, &str)] = &[("ip", "iproute2"), ("nft", "nftables")];

/// For a lab with docker, beside [`NETNS`].
pub(crate) const DOCKER: &[(&str, &str)] = &[
    ("docker", "docker.io"),
    ("dockerd", "docker.io"),
    ("iptables", "iptables"),
    ("busybox", "busybox-static"),
    ("curl", "curl"),
    ("ping", "iputils-ping"),
];

/// To check metrics and alerts.
pub(crate) const METRICS: &[(&str, &str)] = &[("promtool", "prometheus")];

/// To look at pages and pictures.
pub(crate) const BROWSER: &[(&str, &str)] = &[("chromium", "chromium")];

/// To have a graph drawn.
pub(crate) const GRAPHVIZ: &[(&str, &str)] = &[("dot", "graphviz")];

/// To be scraped, and to be alerted.
pub(crate) const MONITORING: &[(&str, &str)] =
    &[("prometheus", "prometheus"), ("prometheus-alertmanager", "prometheus-alertmanager")];

/// For a wall clock of its own.
pub(crate) const CLOCK: &[(&str, &str)] = &[("faketime", "faketime")];

/// Fails with the name of the first program, and its package, that is not installed.
pub(crate) fn check(needs: &[(&'static str, &'static str)]) -> Result<(), LabError> {
    let installed = |program| PATH.split(':').any(|directory| Path::new(directory).join(program).exists());
    match needs.iter().find(|(program, _)| !installed(program)) {
        Some(&(program, package)) => Err(LabError::Missing { program, package }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{BROWSER, CLOCK, DOCKER, GRAPHVIZ, LabError, METRICS, MONITORING, NETNS, check};

    #[test]
    fn the_list_of_packages_is_what_the_lab_needs() {
        let listed: BTreeSet<_> = include_str!("../../packages").lines().collect();
        let needed = [NETNS, DOCKER, METRICS, MONITORING, CLOCK, BROWSER, GRAPHVIZ];
        let needed: BTreeSet<_> = needed.into_iter().flatten().map(|(_, package)| *package).collect();
        assert_eq!(listed, needed);
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let missing = check(&[("sh", "dash"), ("no-such-program", "no-such-package")]);
        assert!(matches!(
            missing,
            Err(LabError::Missing { program: "no-such-program", package: "no-such-package" })
        ));
    }
}
