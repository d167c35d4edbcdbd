//! Limits of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one: every namespace that is read is held open meanwhile.
///
/// What the kernel refuses stays as it was; a survey of more namespaces than that says which it could not open.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _kept_as_it_was = setrlimit(Resource::Nofile, limit);
}
