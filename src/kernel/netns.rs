//! Network namespaces as files, and the one place that joins them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread::{self, Scope, ScopedJoinHandle};

use rustix::fs::{fstat, fstatfs};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub mod cookie;

/// `NSFS_MAGIC` (`include/uapi/linux/magic.h`).
const NSFS_MAGIC: u64 = 0x6e73_6673;
/// Where iproute2 and docker pin namespaces.
const PINNED: [&str; 2] = ["/run/netns", "/run/docker/netns"];

/// A namespace that could not be opened or joined.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// No such file, or no permission.
    #[error("open network namespace {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is not a network namespace: give a file such as /run/netns/NAME or /proc/PID/ns/net", path.display())]
    NotNetns {
        /// The file.
        path: PathBuf,
    },
    /// `setns` was refused.
    #[error("join network namespace net:[{inode}]: needs CAP_SYS_ADMIN")]
    Join {
        /// Which.
        inode: u64,
        /// Why not.
        source: io::Error,
    },
    /// Its cookie was not told.
    #[error("ask for the cookie of network namespace net:[{inode}] (SO_NETNS_COOKIE)")]
    Cookie {
        /// Which.
        inode: u64,
        /// Why not.
        source: io::Error,
    },
    /// No thread to join it with.
    #[error("start a thread to join network namespaces with")]
    Thread(#[source] io::Error),
}

impl NetnsError {
    /// Whether it is there, and a capability is missing.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Open { source, .. } | Self::Join { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            Self::NotNetns { .. } | Self::Cookie { .. } | Self::Thread(_) => false,
        }
    }

    /// Whether there is no such file any more, or its process has ended.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Open { source, .. } => is_gone(source),
            Self::NotNetns { .. } | Self::Join { .. } | Self::Cookie { .. } | Self::Thread(_) => false,
        }
    }
}

/// Whether a file, or the process that a file in `/proc` tells of, is not there any more.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
}

/// A network namespace that is held open: it lives as long as this does.
#[derive(Debug)]
pub struct NetnsFile {
    fd: OwnedFd,
    device: u64,
    inode: u64,
    cookie: OnceLock<Option<u64>>,
}

impl NetnsFile {
    /// Opens a namespace file: `/run/netns/NAME`, `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        let failed = |source| NetnsError::Open { path: path.to_owned(), source };
        let fd = OwnedFd::from(File::open(path).map_err(failed)?);
        let is_nsfs = |fd: &OwnedFd| Ok(u64::try_from(fstatfs(fd)?.f_type) == Ok(NSFS_MAGIC));
        if !is_nsfs(&fd).map_err(|errno: Errno| failed(errno.into()))? {
            return Err(NetnsError::NotNetns { path: path.to_owned() });
        }
        let status = fstat(&fd).map_err(|errno| failed(errno.into()))?;
        Ok(Self { fd, device: status.st_dev, inode: status.st_ino, cookie: OnceLock::new() })
    }

    /// The calling thread's own.
    pub fn own() -> Result<Self, NetnsError> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Identifies the namespace on this machine, as `net:[INODE]` in `/proc/PID/ns/net` does.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// The device that the inode is of: nsfs.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Tells it from those that get its inode later; `None` where the kernel does not. The first call joins it.
    pub fn cookie(&self) -> Result<Option<u64>, NetnsError> {
        if let Some(known) = self.cookie.get() {
            return Ok(*known);
        }
        let cookie = self.run(cookie::own)?;
        let cookie = cookie.map_err(|source| NetnsError::Cookie { inode: self.inode, source })?;
        Ok(*self.cookie.get_or_init(|| cookie))
    }

    /// Runs `work` on a new thread that joins the namespace, does `work`, and ends.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        thread::scope(|scope| {
            let joined = move || self.join().map(|()| work());
            let thread = thread::Builder::new().name("visitor".to_owned()).spawn_scoped(scope, joined);
            let thread = thread.map_err(NetnsError::Thread)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that joins a namespace")]
    fn join(&self) -> Result<(), NetnsError> {
        let inode = self.inode;
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|errno| NetnsError::Join { inode, source: errno.into() })
    }
}

/// Starts a thread that runs `work` in each of the namespaces in turn, and ends: it does nothing else, so no other
/// code can find itself in the wrong namespace.
pub fn visit<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    namespaces: impl Iterator<Item = &'scope NetnsFile> + Send + 'scope,
    work: impl Fn() -> T + Send + 'scope,
) -> Result<Visits<'scope, T>, NetnsError> {
    let visits = move || namespaces.map(|netns| netns.join().map(|()| work())).collect();
    let thread = thread::Builder::new().name("visitor".to_owned()).spawn_scoped(scope, visits);
    thread.map(Visits).map_err(NetnsError::Thread)
}

/// Visits under way.
pub struct Visits<'scope, T>(ScopedJoinHandle<'scope, Vec<Result<T, NetnsError>>>);

impl<T> Visits<'_, T> {
    /// Waits for the last. What came of each, in the order of the namespaces; the error is that it was not joined.
    pub fn finish(self) -> Vec<Result<T, NetnsError>> {
        self.0.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl AsFd for NetnsFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The namespace that a user means by a pid, a file, or a name that `ip netns` or docker gave it.
pub fn find(name: &str) -> Result<NetnsFile, NetnsError> {
    if name.contains('/') {
        return NetnsFile::open(Path::new(name));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return NetnsFile::open(&PathBuf::from(format!("/proc/{name}/ns/net")));
    }
    let paths = PINNED.map(|directory| Path::new(directory).join(name));
    let pinned = paths.iter().find(|path| path.exists()).unwrap_or(&paths[0]);
    NetnsFile::open(pinned)
}

/// A namespace that a file pins.
#[derive(Debug)]
pub struct PinnedNetns {
    /// The file's name: what `ip netns` calls it.
    pub name: OsString,
    /// The namespace, or why it could not be opened.
    pub netns: Result<NetnsFile, NetnsError>,
}

/// Every namespace that iproute2 or docker pinned. A directory that is not there pins none; of one that cannot be read
/// its own name tells.
pub fn pinned() -> Vec<PinnedNetns> {
    let files = |directory: &'static str| match files(directory) {
        Ok(files) => files,
        Err(source) if is_gone(&source) => Vec::new(),
        Err(source) => {
            let refused = NetnsError::Open { path: directory.into(), source };
            vec![PinnedNetns { name: directory.into(), netns: Err(refused) }]
        }
    };
    let mut pinned: Vec<_> = PINNED.into_iter().flat_map(files).collect();
    pinned.sort_by(|a, b| a.name.cmp(&b.name));
    pinned
}

fn files(directory: &str) -> io::Result<Vec<PinnedNetns>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match NetnsFile::open(&entry.path()) {
            // What `ip netns add` leaves for a moment, and for ever in a mount namespace that it did not reach.
            Err(NetnsError::NotNetns { .. }) => {}
            Err(unpinned) if unpinned.is_gone() => {}
            netns => files.push(PinnedNetns { name: entry.file_name(), netns }),
        }
    }
    Ok(files)
}
