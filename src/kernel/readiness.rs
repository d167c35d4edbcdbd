//! Descriptors that tokio waits for.

use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// For a type that keeps its descriptor from here on, and closes it when it is dropped.
#[expect(
    deprecated,
    reason = "its successor is `unsafe`, for types that change or close their descriptor; ours own one for life"
)]
pub(super) fn register<T: AsRawFd>(owner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, interest)
}
