//! The process that every pod has first, by which its namespace is known to be that of this pod.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};

use super::{NetnsLab, Place, Process, topology::POD_UID};

/// The pod's own process, which does nothing. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Pod {
    _pause: Process,
}

impl Pod {
    /// Starts it, in the control group that a kubelet would have made.
    pub(super) fn start(lab: &NetnsLab) -> Result<Self> {
        let pause = lab.spawn(Place::Pod, &mut NetnsLab::command(&["sleep", "infinity"]))?;
        // Version 2, or beside it 1.
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists());
        let group = root.context("find control groups of version 2")?.join(group(lab.name())).join("pause");
        fs::create_dir_all(&group).with_context(|| format!("make {}", group.display()))?;
        let joined = fs::write(group.join("cgroup.procs"), pause.pid().to_string());
        joined.with_context(|| format!("put the pod's process into {}", group.display()))?;
        Ok(Self { _pause: pause })
    }
}

/// The control group of the pod of a lab.
pub(super) fn group(lab: &str) -> String {
    format!("{lab}/kubepods/pod{POD_UID}")
}
