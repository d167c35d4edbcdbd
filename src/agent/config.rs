//! What the agent is told: flags and environment over the file over defaults, checked once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::Deserialize;

use crate::domain::duration::{DurationError, duration};
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::{NoPermission, Permission};
use crate::probes::resolve::{Target, TargetError};

/// More would be a scan: each is probed from every node.
const MAX_TARGETS: usize = 8;

/// Values as they were given, each of them optional. The file has the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// Targets to measure the path MTU to.
    pub targets: Option<Vec<String>>,
    /// Largest safe MTU to publish.
    pub max_dind_mtu: Option<u32>,
    /// How long a larger safe MTU must last before it is published.
    pub raise_after: Option<String>,
    /// How often a known path MTU is checked.
    pub probe_interval: Option<String>,
    /// How often everything is read again although no event said so.
    pub resync_interval: Option<String>,
    /// Where HTTP is served.
    pub listen: Option<SocketAddr>,
    /// Where metrics alone are served.
    pub metrics_listen: Option<SocketAddr>,
    /// Directory of the host files.
    pub directory: Option<PathBuf>,
    /// How far tuning may go.
    pub tune: Option<String>,
    /// Whether all that docker made on a plain docker host is opted in.
    pub all_docker: Option<bool>,
}

/// What the agent does. Whatever is in here is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Targets to measure the path MTU to.
    pub targets: Vec<Target>,
    /// Largest safe MTU to publish.
    pub max_dind_mtu: LinkMtu,
    /// Largest MTU that nested links keep where a larger one would be fine: the same, if it was given.
    pub max_tuned_mtu: LinkMtu,
    /// How long a larger safe MTU must last before it is published.
    pub raise_after: Duration,
    /// How often a known path MTU is checked.
    pub probe_interval: Duration,
    /// How often everything is read again although no event said so.
    pub resync_interval: Duration,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// Where metrics alone are served, for others.
    pub metrics_listen: Option<SocketAddr>,
    /// Directory of the host files.
    pub directory: PathBuf,
    /// How far tuning may go.
    pub tune: Permission,
    /// Whether all that docker made on a plain docker host is opted in.
    pub all_docker: bool,
}

/// A configuration that was refused; whatever ran goes on as it was.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML, or has a name that means nothing.
    #[error("understand the configuration {}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A target is none.
    #[error("target {position} of the configuration")]
    Target {
        /// Counted from 1.
        position: usize,
        /// What is wrong.
        source: TargetError,
    },
    /// Too many targets.
    #[error(
        "{count} targets are configured: give at most {MAX_TARGETS}, since every node probes each of them"
    )]
    TooManyTargets {
        /// How many.
        count: usize,
    },
    /// An MTU that docker cannot use.
    #[error("max_dind_mtu is {value}: give 576 to 65535")]
    MaxDindMtu {
        /// What was given.
        value: u32,
    },
    /// A word that names no permission.
    #[error("tune")]
    Tune(#[source] NoPermission),
    /// A duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// It cannot change while the agent runs.
    #[error(
        "{knob} changed, which takes a restart of the agent: everything else of the new configuration is refused too"
    )]
    NeedsRestart {
        /// Which.
        knob: &'static str,
    },
}

impl Knobs {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source: Box::new(source) })
    }

    /// These, and `others` where these say nothing.
    #[must_use]
    pub fn over(self, others: Self) -> Self {
        Self {
            targets: self.targets.or(others.targets),
            max_dind_mtu: self.max_dind_mtu.or(others.max_dind_mtu),
            raise_after: self.raise_after.or(others.raise_after),
            probe_interval: self.probe_interval.or(others.probe_interval),
            resync_interval: self.resync_interval.or(others.resync_interval),
            listen: self.listen.or(others.listen),
            metrics_listen: self.metrics_listen.or(others.metrics_listen),
            directory: self.directory.or(others.directory),
            tune: self.tune.or(others.tune),
            all_docker: self.all_docker.or(others.all_docker),
        }
    }
}

impl TryFrom<Knobs> for Config {
    type Error = ConfigError;

    fn try_from(knobs: Knobs) -> Result<Self, ConfigError> {
        let Knobs { targets, max_dind_mtu, raise_after, probe_interval, resync_interval, .. } = knobs;
        let Knobs { listen, metrics_listen, directory, tune, all_docker, .. } = knobs;
        let maximum = max_dind_mtu.unwrap_or(LinkMtu::DOCKER_DEFAULT.get());
        let usable = Some(maximum).filter(|value| (576..=65_535).contains(value));
        let usable = usable.and_then(|value| LinkMtu::new(value).ok());
        let max_dind = usable.ok_or(ConfigError::MaxDindMtu { value: maximum })?;
        let (second, day) = (Duration::from_secs(1), Duration::from_hours(24));
        Ok(Self {
            targets: self::targets(&targets.unwrap_or_default())?,
            max_dind_mtu: max_dind,
            max_tuned_mtu: if max_dind_mtu.is_some() { max_dind } else { LinkMtu::LARGEST_USEFUL },
            raise_after: duration("raise_after", raise_after, Duration::from_mins(10), Duration::ZERO..=day)?,
            probe_interval: duration("probe_interval", probe_interval, Duration::from_mins(1), second..=day)?,
            resync_interval: duration(
                "resync_interval",
                resync_interval,
                Duration::from_mins(5),
                second..=day,
            )?,
            listen: listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9817))),
            metrics_listen,
            directory: directory.unwrap_or_else(|| "/run/mtu-agent".into()),
            tune: tune.map_or(Ok(Permission::Observe), |word| word.parse()).map_err(ConfigError::Tune)?,
            all_docker: all_docker.unwrap_or(false),
        })
    }
}

impl Config {
    /// `new`, if an agent that runs by this one can take it over as it runs.
    pub fn replace(&self, new: Self) -> Result<Self, ConfigError> {
        if new.listen != self.listen {
            return Err(ConfigError::NeedsRestart { knob: "listen" });
        }
        if new.metrics_listen != self.metrics_listen {
            return Err(ConfigError::NeedsRestart { knob: "metrics_listen" });
        }
        if new.directory != self.directory {
            return Err(ConfigError::NeedsRestart { knob: "directory" });
        }
        if new.tune != self.tune {
            return Err(ConfigError::NeedsRestart { knob: "tune" });
        }
        if new.all_docker != self.all_docker {
            return Err(ConfigError::NeedsRestart { knob: "all_docker" });
        }
        Ok(new)
    }
}

fn targets(texts: &[String]) -> Result<Vec<Target>, ConfigError> {
    if texts.len() > MAX_TARGETS {
        return Err(ConfigError::TooManyTargets { count: texts.len() });
    }
    let mut targets: Vec<Target> = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        let target = text.parse().map_err(|source| ConfigError::Target { position: position + 1, source })?;
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests;
