//! The command line, raw: what clap parses, and the little of the environment that is read.

use std::num::NonZeroU32;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use mtu_agent::probes::resolve::Target;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Finds the MTU that nested container networks can really use, and says what is wrong with theirs.
#[derive(Debug, Parser)]
#[command(name = "mtu-agent", version, styles = STYLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// What to log on stderr: off, error, warn, info, debug, trace, or a filter such as `mtu_agent=debug`
    #[arg(
        long,
        global = true,
        display_order = 100,
        env = "MTU_AGENT_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub(crate) log: String,

    /// When to colour the text on stdout
    #[arg(long, global = true, display_order = 100, default_value = "auto", value_name = "WHEN")]
    pub(crate) color: When,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at every network namespace of this host: links, nesting, path MTU, mismatches and their fix
    ///
    /// Exit code: 0 all is well; 1 a mismatch or a black hole was found; 2 no safe MTU could be told, or whom
    /// --of names or a target does not exist; 64 bad usage.
    Survey(SurveyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SurveyArgs {
    /// Measure the path MTU to HOST, an address or a name (repeatable)
    #[arg(long = "target", value_name = "HOST", env = "MTU_AGENT_TARGETS", value_delimiter = ',')]
    pub(crate) targets: Vec<Target>,

    /// Send nothing; tell only what is configured, and what the kernel learned about the targets
    #[arg(long)]
    pub(crate) no_probe: bool,

    /// Largest safe MTU to tell; docker's own default is not exceeded unless this says so
    #[arg(long, value_name = "BYTES", env = "MTU_AGENT_MAX_DIND_MTU", default_value = "1500", allow_negative_numbers = true, value_parser = max_dind_mtu)]
    pub(crate) max_dind_mtu: NonZeroU32,

    /// Only the walk outward of one: a pid, namespace, container or pod
    #[arg(long, value_name = "PID|NETNS|CONTAINER|POD", conflicts_with = "output")]
    pub(crate) of: Option<String>,

    /// Form of the answer on stdout
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A tree for people
    Text,
    /// Schema mtu-agent.dev/survey/v1
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Whether the user asked every program not to colour (<https://no-color.org>).
#[expect(clippy::disallowed_methods, reason = "clap cannot read a variable that counts by being set")]
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Under 576 there is no safe value, and over 65535 dockerd makes containers that fail.
fn max_dind_mtu(text: &str) -> Result<NonZeroU32, String> {
    let range = 576..=65_535;
    let value = text.parse().ok().filter(|value: &NonZeroU32| range.contains(&value.get()));
    value.ok_or_else(|| {
        format!("{text:?} is not an MTU that docker can use: give {} to {}", range.start(), range.end())
    })
}
