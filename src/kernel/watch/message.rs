//! Which events can change a survey, by the first bytes of their message.

/// `struct nlmsghdr` and, behind it, the longest of the fixed headers that are looked at, `struct rtmsg`.
pub(super) const HEAD_BYTES: usize = 16 + 12;

// `include/uapi/linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_DELNSID: u16 = 89;
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;
/// `include/linux/socket.h`.
const AF_BRIDGE: u8 = 7;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Link,
    Address,
    Route,
    Nsid,
}

/// How far a survey sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// It can enter other namespaces: there is no other way to read their routes.
    pub(super) others_routes: bool,
}

/// `None` for what no survey sees; `from_other`: another namespace sent it.
pub(super) fn classify(head: &[u8], from_other: bool, scope: Scope) -> Option<Kind> {
    let kind = u16::from_ne_bytes(*head.get(4..)?.first_chunk()?);
    let sees_routes = !from_other || scope.others_routes;
    match kind {
        // A bridge tells the state of its ports once more, in a family of its own.
        RTM_NEWLINK | RTM_DELLINK => (*head.get(16)? != AF_BRIDGE).then_some(Kind::Link),
        RTM_NEWADDR | RTM_DELADDR => sees_routes.then_some(Kind::Address),
        RTM_NEWROUTE | RTM_DELROUTE => {
            let (table, kind) = (*head.get(20)?, *head.get(23)?);
            (sees_routes && table == RT_TABLE_MAIN && kind == RTN_UNICAST).then_some(Kind::Route)
        }
        // A new id (`RTM_NEWNSID`) is no change: it is the survey that gives ids, before it reads what has them, or the
        // kernel, which then tells of a link too. Ids in other namespaces mean nothing here.
        RTM_DELNSID => (!from_other).then_some(Kind::Nsid),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
