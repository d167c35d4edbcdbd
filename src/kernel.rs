//! The only syscalls: netlink, namespaces, sockets, `/proc` and `/sys`. Hands out `domain` types.
