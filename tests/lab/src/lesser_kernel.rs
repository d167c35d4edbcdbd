//! A kernel that lacks something, as far as a process can see.

use std::{collections::BTreeMap, env::consts::ARCH, thread};

use anyhow::{Context as _, Result};
use nix::libc::{AF_NETLINK, EPROTONOSUPPORT, NETLINK_NETFILTER, SYS_socket};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Runs `f` on a thread of its own. To that, and to whatever it starts, the kernel is one without netfilter's netlink:
/// `socket` says what it says of a protocol that nobody has registered (`netlink_create` in
/// `net/netlink/af_netlink.c`).
pub fn without_netfilter<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let filter = refuse_netfilter().context("compile a seccomp filter")?;
    thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            apply_filter(&filter).context("take netfilter's sockets away from a thread")?;
            f()
        });
        filtered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn refuse_netfilter() -> Result<BpfProgram> {
    let (family, protocol) = (0, 2);
    let is = |argument, value: i32| {
        let value = u64::try_from(value)?;
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)?;
        anyhow::Ok(condition)
    };
    let netfilter = SeccompRule::new(vec![is(family, AF_NETLINK)?, is(protocol, NETLINK_NETFILTER)?])?;
    let refused = SeccompAction::Errno(EPROTONOSUPPORT.unsigned_abs());
    let rules = BTreeMap::from([(SYS_socket, vec![netfilter])]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}
