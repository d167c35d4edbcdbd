//! Files on this host that tell its dind MTU to whoever can read a file, whether a cluster is there or not.
//!
//! Each file is replaced as a whole: readers see the old content or the new one, whatever kills this process or
//! fills the disk meanwhile. What is unchanged is not written again.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::{Builder, NamedTempFile};
use tracing::warn;

use super::survey_json;
use crate::discovery::path::Path as ProbedPath;
use crate::domain::mtu::LinkMtu;
use crate::domain::safe::SMALLEST_USEFUL;

/// Where the files are, unless the user says otherwise.
pub const DIRECTORY: &str = "/run/mtu-agent";
/// The number and a newline.
pub const DIND_MTU: &str = "dind-mtu";
/// What a dockerd takes as `/etc/docker/daemon.json`.
pub const DAEMON_JSON: &str = "daemon.json";
/// The last survey.
pub const SURVEY_JSON: &str = "survey.json";

/// Files of which only the name is random are ours, and of no use to anybody once their writer is gone.
const UNFINISHED: (&str, &str) = (".mtu-agent-", ".tmp");
/// Everybody may read what is published.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;
/// The largest MTU that docker can use.
const LARGEST_USEFUL: u32 = 65_535;
/// A number of five digits is shorter; what is longer is none.
const LONGEST_NUMBER: u64 = 16;
/// Of a node with thousands of namespaces it has some megabytes.
const LONGEST_SURVEY: u64 = 64 << 20;

/// The files of one directory.
#[derive(Clone, Debug)]
pub struct HostFiles {
    directory: PathBuf,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// It said so before.
    Unchanged,
    /// It says so now.
    Changed,
}

impl Written {
    /// Its name in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
        }
    }
}

/// A file or its directory could not be written. What was there before is still there, whole.
#[derive(Debug, thiserror::Error)]
pub enum HostFileError {
    /// The directory is not there, and could not be made.
    #[error("make the directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file could not be replaced.
    #[error("replace {path}")]
    Replace {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl HostFileError {
    /// Every [`HostFileError::reason`].
    pub const REASONS: [&'static str; 4] = ["disk_full", "read_only", "permission_denied", "other"];

    /// For a metric label.
    pub fn reason(&self) -> &'static str {
        let (Self::Directory { source, .. } | Self::Replace { source, .. }) = self;
        let [disk_full, read_only, permission_denied, other] = Self::REASONS;
        let is_any_of = |kinds: &[io::ErrorKind]| kinds.contains(&source.kind());
        if is_any_of(&[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded]) {
            disk_full
        } else if is_any_of(&[io::ErrorKind::ReadOnlyFilesystem]) {
            read_only
        } else if is_any_of(&[io::ErrorKind::PermissionDenied]) {
            permission_denied
        } else {
            other
        }
    }
}

/// Why what an earlier run wrote is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It could not be read.
    #[error("read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a number and a newline.
    #[error("{path} says {said:?}, which is no number")]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// How it begins.
        said: String,
    },
    /// It is no survey.
    #[error("{path} is no survey")]
    NoSurvey {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
    /// No dockerd could use it.
    #[error("{path} says {said}, which is outside of {SMALLEST_USEFUL} to {LARGEST_USEFUL}")]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// What it says.
        said: u64,
    },
}

/// What a dockerd needs to give its networks `mtu`: docker0 by the one key, all others by the other (Docker 24).
pub fn daemon_json(mtu: LinkMtu) -> String {
    let options = json!({"bridge": {"com.docker.network.driver.mtu": mtu.to_string()}});
    format!("{{\"mtu\":{mtu},\"default-network-opts\":{options}}}\n")
}

impl HostFiles {
    /// Makes the directory, and removes what a killed run left unfinished in it.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, HostFileError> {
        let files = Self { directory: directory.into() };
        files.make_directory()?;
        files.remove_unfinished();
        Ok(files)
    }

    /// The number that an earlier run wrote; `None` if there was none.
    pub fn last_good(&self) -> Result<Option<LinkMtu>, Unusable> {
        let path = self.directory.join(DIND_MTU);
        let Some(said) = read_earlier(&path, LONGEST_NUMBER)? else { return Ok(None) };
        let said = String::from_utf8_lossy(&said).into_owned();
        let digits = said.trim_ascii_end();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = is_number.then(|| digits.parse::<u64>().ok()).flatten() else {
            return Err(Unusable::NoNumber { path, said });
        };
        let mtu = u32::try_from(number).ok().filter(|mtu| (SMALLEST_USEFUL..=LARGEST_USEFUL).contains(mtu));
        match mtu.and_then(|mtu| LinkMtu::new(mtu).ok()) {
            Some(mtu) => Ok(Some(mtu)),
            None => Err(Unusable::OutOfRange { path, said: number }),
        }
    }

    /// What an earlier run measured to its targets; none if there was no run.
    pub fn last_measured(&self) -> Result<Vec<ProbedPath>, Unusable> {
        let path = self.directory.join(SURVEY_JSON);
        let Some(document) = read_earlier(&path, LONGEST_SURVEY)? else { return Ok(Vec::new()) };
        survey_json::measured(&document).map_err(|source| Unusable::NoSurvey { path, source })
    }

    /// Tells `mtu` in [`DAEMON_JSON`] and [`DIND_MTU`], the one that is read back last.
    pub fn write_mtu(&self, mtu: LinkMtu) -> Result<Written, HostFileError> {
        let daemon_json = self.write(DAEMON_JSON, daemon_json(mtu).as_bytes())?;
        Ok(daemon_json.max(self.write(DIND_MTU, format!("{mtu}\n").as_bytes())?))
    }

    /// Puts the document into [`SURVEY_JSON`].
    pub fn write_survey(&self, document: &[u8]) -> Result<Written, HostFileError> {
        self.write(SURVEY_JSON, document)
    }

    /// Only to read and write: what another run is about to finish stays.
    pub(super) fn beside_others(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where they are.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Replaces the file `name` by this content.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<Written, HostFileError> {
        self.make_directory()?;
        let path = self.directory.join(name);
        if is_as_wanted(&path, content) {
            return Ok(Written::Unchanged);
        }
        match self.replace(&path, content) {
            Ok(()) => Ok(Written::Changed),
            Err(source) => Err(HostFileError::Replace { path, source }),
        }
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let (prefix, suffix) = UNFINISHED;
        let mut file: NamedTempFile =
            Builder::new().prefix(prefix).suffix(suffix).tempfile_in(&self.directory)?;
        file.as_file().set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(&self.directory)?.sync_all()
    }

    /// Whoever cleans `/run` may take it away at any time.
    pub(super) fn make_directory(&self) -> Result<(), HostFileError> {
        let directory = &self.directory;
        if directory.is_dir() {
            return Ok(());
        }
        let made = fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE)));
        made.map_err(|source| HostFileError::Directory { path: directory.clone(), source })
    }

    fn remove_unfinished(&self) {
        let (prefix, suffix) = UNFINISHED;
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let is_ours = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
            if entry.file_name().to_str().is_some_and(is_ours)
                && let Err(error) = fs::remove_file(entry.path())
            {
                warn!(path = %entry.path().display(), %error, "an unfinished file of an earlier run stays");
            }
        }
    }
}

/// A file that says and may be read as it should: not a link to one, and with nobody's `chmod`.
fn is_as_wanted(path: &Path, content: &[u8]) -> bool {
    let is_candidate = fs::symlink_metadata(path).is_ok_and(|found| {
        let has_mode = found.permissions().mode() & 0o7777 == FILE_MODE;
        found.is_file() && has_mode && usize::try_from(found.len()) == Ok(content.len())
    });
    is_candidate && fs::read(path).is_ok_and(|found| found == content)
}

/// The first bytes of a file that an earlier run wrote; `None` if there is none.
fn read_earlier(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Unusable> {
    match read_regular(path, most) {
        Ok(content) => Ok(Some(content)),
        Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Unusable::Unreadable { path: path.to_owned(), source }),
    }
}

fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
