//! Whom `--of` names: a pid, a namespace, a container or a pod.

use super::identity::Identity;
use crate::domain::topology::NetnsIx;

/// Nobody, or more than one, goes by that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhoError {
    /// Nobody.
    #[error(
        "nobody here is called {who:?}: give a pid, an id or name from `mtu-agent survey`, \
         a container's id or name, or a pod as NAMESPACE/NAME"
    )]
    Unknown {
        /// The name.
        who: String,
    },
    /// A process whose namespace cannot be told.
    #[error(
        "no process {pid} is known: it has ended, or belongs to somebody else; seeing others' takes CAP_SYS_PTRACE"
    )]
    UnknownPid {
        /// The pid.
        pid: u32,
    },
    /// More than one.
    #[error("{who:?} may be {}: give one of these ids", ids.join(" or "))]
    Ambiguous {
        /// The name.
        who: String,
        /// Ids of those that it may be.
        ids: Vec<String>,
    },
}

/// Finds the namespace. A number is a pid; else exact ids and names win over the beginning of a container's id.
pub fn find(identities: &[Identity], who: &str) -> Result<NetnsIx, WhoError> {
    find_among(identities, who, |_, _| true)
}

/// The same among candidates only.
pub fn find_among(
    identities: &[Identity],
    who: &str,
    is_candidate: impl Fn(NetnsIx, &Identity) -> bool,
) -> Result<NetnsIx, WhoError> {
    let candidates = || {
        let all = identities.iter().enumerate().map(|(position, identity)| (NetnsIx(position), identity));
        all.filter(|(netns, identity)| is_candidate(*netns, identity))
    };
    if let Ok(pid) = who.parse() {
        let mut holders = candidates().filter(|(_, identity)| identity.pids.contains(&pid));
        return holders.next().map(|(netns, _)| netns).ok_or(WhoError::UnknownPid { pid });
    }
    let exact = |identity: &Identity| {
        let pinned = who.rsplit_once("netns/").map(|(_, name)| name);
        let names = [
            Some(&identity.id),
            identity.name.as_ref(),
            identity.container_id.as_ref(),
            identity.pod_uid.as_ref(),
        ];
        names.into_iter().flatten().any(|name| name == who)
            || identity
                .inode
                .is_some_and(|inode| who == format!("inode:{inode}") || who == format!("net:[{inode}]"))
            || identity.pinned.iter().any(|name| name == who || Some(name.as_str()) == pinned)
    };
    let loose = |identity: &Identity| {
        let beginning =
            identity.container_id.as_ref().is_some_and(|id| who.len() >= 4 && id.starts_with(who));
        let pod = identity.pod_uid.is_some();
        let short =
            identity.name.as_ref().and_then(|name| name.split_once('/')).is_some_and(|(_, name)| name == who);
        beginning || (pod && short)
    };
    let readings: [&dyn Fn(&Identity) -> bool; 2] = [&exact, &loose];
    for is_meant in readings {
        let meant: Vec<_> = candidates().filter(|(_, identity)| is_meant(identity)).collect();
        match meant.as_slice() {
            [] => {}
            [(netns, _)] => return Ok(*netns),
            several => {
                let ids = several.iter().map(|(_, identity)| identity.id.clone()).collect();
                return Err(WhoError::Ambiguous { who: who.to_owned(), ids });
            }
        }
    }
    Err(WhoError::Unknown { who: who.to_owned() })
}

#[cfg(test)]
mod tests;
