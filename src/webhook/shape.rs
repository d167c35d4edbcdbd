//! In which way a container starts a dockerd.
//!
//! What Kubernetes runs is `command`, else the image's entrypoint, followed by `args`, else the image's own. An image
//! is known by its name alone, so it counts only where neither `command` nor the first of `args` is a program.

use k8s_openapi::api::core::v1::Container;

use super::arguments;
use super::image::{Docker, Image, Knob};

/// How a dockerd is started in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A flag in `args` reaches it: the one shape that is acted on.
    Plain,
    /// By a shell's script.
    Shell,
    /// By a program in front of it, or behind `--`: whether it gets the arguments is not known.
    Wrapped,
    /// With a configuration file that may hold an MTU; it does not start with a flag beside it.
    ConfigFile,
    /// As a user, behind a user-mode network stack, which no link's MTU limits.
    Rootless,
    /// By an image that takes the MTU from a variable of its own.
    OwnKnob(Knob),
    /// With the arguments of an image that is not known to have none: a flag in `args` would take their place.
    ImageArguments,
    /// The user says that there is one, and something else is started.
    Other,
}

/// dockerd, and the script of docker's image that starts it.
const DAEMON: &str = "dockerd";
const ENTRYPOINT: &str = "dockerd-entrypoint.sh";
const ROOTLESS: [&str; 2] = ["dockerd-rootless.sh", "rootlesskit"];
const SHELLS: [&str; 6] = ["sh", "bash", "ash", "dash", "zsh", "busybox"];

/// Where dockerd looks for its configuration, and what holds that.
const CONFIG_PATHS: [&str; 3] = ["/etc/docker/daemon.json", "/etc/docker", "/etc"];

impl Shape {
    /// Every label of metrics.
    pub(super) const NAMES: [&'static str; 8] =
        ["plain", "shell", "wrapped", "config_file", "rootless", "own_knob", "image_arguments", "other"];

    /// Its label in metrics.
    pub fn name(self) -> &'static str {
        let [plain, shell, wrapped, config_file, rootless, own_knob, image_arguments, other] = Self::NAMES;
        match self {
            Self::Plain => plain,
            Self::Shell => shell,
            Self::Wrapped => wrapped,
            Self::ConfigFile => config_file,
            Self::Rootless => rootless,
            Self::OwnKnob(_) => own_knob,
            Self::ImageArguments => image_arguments,
            Self::Other => other,
        }
    }

    /// That of a container, if a dockerd is started in it; `is_named`: the user says so.
    pub(super) fn of(container: &Container, is_named: bool) -> Option<Self> {
        let image = Image::parse(container.image.as_deref().unwrap_or_default());
        let command = words(container.command.as_ref());
        let args = words(container.args.as_ref());
        let started = match (command.first(), args.first()) {
            (Some(_), _) => started(&[command.as_slice(), &args].concat()),
            (None, _) if image.knob().is_some() => image.knob().map(Self::OwnKnob),
            (None, Some(first)) if !first.starts_with('-') => started(&args),
            (None, _) => by_entrypoint(container, image, &args, is_named),
        };
        let all = command.iter().chain(&args).copied();
        let refined = match started {
            Some(Self::Plain | Self::Wrapped) if image.docker() == Docker::Rootless => Some(Self::Rootless),
            Some(Self::Plain) if has_config(container) || arguments::name_a_config_file(all) => {
                Some(Self::ConfigFile)
            }
            // What is in `args` comes after it.
            Some(Self::Plain) if arguments::end_flags(command) => Some(Self::Wrapped),
            started => started,
        };
        refined.or(is_named.then_some(Self::Other))
    }
}

fn words(list: Option<&Vec<String>>) -> Vec<&str> {
    list.into_iter().flatten().map(String::as_str).collect()
}

/// The image's own entrypoint gets flags, or nothing: then it gets what the image says, which is nothing in docker's.
fn by_entrypoint(container: &Container, image: Image<'_>, args: &[&str], is_named: bool) -> Option<Shape> {
    let is_daemon = match image.docker() {
        Docker::Daemon => true,
        Docker::Rootless => return Some(Shape::Rootless),
        Docker::Either => {
            is_named || is_privileged(container) || arguments::are_of_a_daemon(args.iter().copied())
        }
        Docker::No => is_named,
    };
    let keeps_its_own = args.is_empty() && !image.is_dockers_own();
    is_daemon.then_some(if keeps_its_own { Shape::ImageArguments } else { Shape::Plain })
}

/// What these words start, the first of them being the program.
fn started(words: &[&str]) -> Option<Shape> {
    let (first, rest) = words.split_first()?;
    match program(first) {
        DAEMON => Some(Shape::Plain),
        // It hands flags to dockerd, and runs anything else as it is.
        ENTRYPOINT => match rest.first() {
            Some(word) if !word.starts_with('-') => started(rest),
            Some(_) | None => Some(Shape::Plain),
        },
        name if ROOTLESS.contains(&name) => Some(Shape::Rootless),
        name if SHELLS.contains(&name) => {
            let parts = |word: &&str| mentions(word);
            rest.iter().any(parts).then_some(Shape::Shell)
        }
        _ if rest.iter().any(|word| is_daemon(program(word))) => Some(Shape::Wrapped),
        _ => None,
    }
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_daemon(name: &str) -> bool {
    name == DAEMON || name == ENTRYPOINT || ROOTLESS.contains(&name)
}

/// Whether a script has one of the names as a word.
fn mentions(script: &str) -> bool {
    script.split(|char: char| !(char.is_ascii_alphanumeric() || "-_.".contains(char))).any(is_daemon)
}

fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false)
}

fn has_config(container: &Container) -> bool {
    let mut mounts = container.volume_mounts.iter().flatten();
    mounts.any(|mount| CONFIG_PATHS.contains(&mount.mount_path.trim_end_matches('/')))
}

#[cfg(test)]
mod tests;
