//! The command line, raw: what clap parses, and the little of the environment that is read.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use mtu_agent::domain::mtu::{IpFamily, PathMtu};
use mtu_agent::probes::resolve::Target;
use mtu_agent::publish::host_file;

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

    /// What to log on stderr: off, error, warn, info, debug, trace, or a filter such as `mtu_agent=debug` [default:
    /// info for the agent and the controller, warn for the rest]
    #[arg(long, global = true, display_order = 100, env = "MTU_AGENT_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,

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

    /// Find the exact path MTU to one destination, and the hop that limits it
    ///
    /// Exit code: 0 exact; 1 a black hole; 2 it could not be told, or there is no way to the destination; 64 bad
    /// usage.
    Probe(ProbeArgs),

    /// Lower the links that let in packets which cannot get out, and clamp what TCP announces: prints the plan
    ///
    /// Writes nothing without --apply, and nothing outside of what is named: what is nested in a pod or container,
    /// or what docker made on a plain docker host. What was there before is recorded first, for --revert.
    ///
    /// Exit code: 0 nothing to change, or all of it done; 1 there are changes to make; 2 it could not be told or done,
    /// and then nothing is changed unless it says otherwise; 64 bad usage.
    Tune(TuneArgs),

    /// Keep the survey true: follow the kernel's events, probe on a schedule, serve metrics, keep the host files
    ///
    /// Runs until SIGTERM or SIGINT. SIGHUP, or a change of the file, has the configuration read again.
    Agent(AgentArgs),

    /// Draw the values of all nodes together: a ConfigMap for each labelled namespace, Events, the admission webhook
    ///
    /// Runs in Kubernetes until SIGTERM or SIGINT, best in two replicas: one leads, each serves the webhook.
    Controller(ControllerArgs),
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
    pub(crate) output: SurveyOutput,
}

/// Forms of a survey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SurveyOutput {
    /// A tree for people
    Text,
    /// One document for programs
    Json,
    /// A picture: namespaces as boxes in one another, each link with its MTU
    Svg,
    /// The same as a graph, for graphviz
    Dot,
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Address or name
    #[arg(value_name = "DEST")]
    pub(crate) destination: Target,

    /// Only its IPv4 address
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub(crate) ipv4: bool,

    /// Only its IPv6 address
    #[arg(short = '6', long)]
    pub(crate) ipv6: bool,

    /// Largest packet to try; without it, the MTU of the link that leads there
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = max_mtu)]
    pub(crate) max_mtu: Option<PathMtu>,

    /// Send by this link
    #[arg(long, value_name = "LINK")]
    pub(crate) device: Option<String>,

    /// Send from this network namespace: a name in /run/netns, a file, or a pid (`CAP_SYS_ADMIN`)
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,

    /// Form of the answer on stdout
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

impl ProbeArgs {
    /// Whether an address of this family may be probed.
    pub(crate) fn allows(&self, family: IpFamily) -> bool {
        match family {
            IpFamily::V4 => !self.ipv6,
            IpFamily::V6 => !self.ipv4,
        }
    }
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).multiple(true)
    .args(["pods", "containers", "namespaces", "all_docker", "revert"]))]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct TuneArgs {
    /// What is nested in this pod: NAMESPACE/NAME, name or uid (repeatable)
    #[arg(long = "pod", value_name = "POD")]
    pub(crate) pods: Vec<String>,

    /// What is nested in this container, and its own end of docker's veth: name or id (repeatable)
    #[arg(long = "container", value_name = "CONTAINER")]
    pub(crate) containers: Vec<String>,

    /// The same for a network namespace: a name in /run/netns, a file, an id of the survey, or a pid (repeatable)
    #[arg(long = "netns", value_name = "NETNS")]
    pub(crate) namespaces: Vec<String>,

    /// All bridges and veths that docker made on this host, and what is nested in its containers; not where pods run
    #[arg(long, conflicts_with_all = ["pods", "containers", "namespaces"])]
    pub(crate) all_docker: bool,

    /// Do it
    #[arg(long)]
    pub(crate) apply: bool,

    /// Take back all that was ever applied, after a crash too
    #[arg(long, conflicts_with_all = ["apply", "pods", "containers", "namespaces", "all_docker", "mode", "targets", "no_probe", "max_dind_mtu"])]
    pub(crate) revert: bool,

    /// What to write
    #[arg(long, value_name = "MODE", default_value = "both")]
    pub(crate) mode: TuneMode,

    /// Measure the path MTU to HOST, and let nested links not exceed it (repeatable)
    #[arg(long = "target", value_name = "HOST", value_delimiter = ',')]
    pub(crate) targets: Vec<Target>,

    /// Send nothing
    #[arg(long)]
    pub(crate) no_probe: bool,

    /// Let nested links not exceed this either
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = max_dind_mtu)]
    pub(crate) max_dind_mtu: Option<NonZeroU32>,

    /// Where what was there before is recorded
    #[arg(long, value_name = "DIRECTORY", env = "MTU_AGENT_DIRECTORY", default_value = host_file::DIRECTORY)]
    pub(crate) directory: PathBuf,

    /// Form of the answer on stdout
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TuneMode {
    /// MTUs of links: helps every protocol
    Links,
    /// The clamp of what TCP announces: touches no link
    Clamp,
    /// Both
    Both,
}

#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Publish to this host's files and metrics only; needs no Kubernetes
    #[arg(long)]
    pub(crate) standalone: bool,

    /// Publish to Kubernetes as well, which is found as kubectl finds it: the NodeMtu of the node NAME, which this is
    #[arg(long, value_name = "NAME", env = "MTU_AGENT_NODE_NAME", value_parser = node_name)]
    pub(crate) node_name: Option<String>,

    /// Configuration in TOML, with the names of the options below; an option given here wins over it
    #[arg(long, value_name = "FILE", env = "MTU_AGENT_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Measure the path MTU to HOST, an address or a name (repeatable)
    #[arg(long = "target", value_name = "HOST", env = "MTU_AGENT_TARGETS", value_delimiter = ',')]
    pub(crate) targets: Option<Vec<String>>,

    /// Largest safe MTU to publish [default: 1500]
    #[arg(long, value_name = "BYTES", env = "MTU_AGENT_MAX_DIND_MTU")]
    pub(crate) max_dind_mtu: Option<u32>,

    /// How long a larger safe MTU must last before it is published [default: 10m]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_RAISE_AFTER")]
    pub(crate) raise_after: Option<String>,

    /// How often the path to a target is measured [default: 1m]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_PROBE_INTERVAL")]
    pub(crate) probe_interval: Option<String>,

    /// How often everything is read again although no event said so [default: 5m]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_RESYNC_INTERVAL")]
    pub(crate) resync_interval: Option<String>,

    /// Where to serve HTTP [default: 127.0.0.1:9817]
    #[arg(long, value_name = "ADDRESS:PORT", env = "MTU_AGENT_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where to serve /metrics and nothing else, for others: the node's address
    #[arg(long, value_name = "ADDRESS:PORT", env = "MTU_AGENT_METRICS_LISTEN", value_parser = address_and_port)]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// Directory of the host files [default: /run/mtu-agent]
    #[arg(long, value_name = "DIRECTORY", env = "MTU_AGENT_DIRECTORY")]
    pub(crate) directory: Option<PathBuf>,

    /// How far tuning may go where somebody opted in: observe, clamp (what TCP announces), links (their MTUs too)
    /// [default: observe]
    #[arg(long, value_name = "HOW_FAR", env = "MTU_AGENT_TUNE")]
    pub(crate) tune: Option<String>,

    /// On a plain docker host: all that docker made is opted in
    #[arg(long, value_name = "true|false", env = "MTU_AGENT_ALL_DOCKER", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) all_docker: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// Where to serve /metrics, /healthz and /readyz [default: [::]:9817]
    #[arg(long, value_name = "ADDRESS:PORT", env = "MTU_AGENT_CONTROLLER_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,

    /// Where to serve the admission webhook [default: [::]:9443]
    #[arg(long, value_name = "ADDRESS:PORT", env = "MTU_AGENT_WEBHOOK_LISTEN")]
    pub(crate) webhook_listen: Option<SocketAddr>,

    /// DNS name or address in the webhook's certificate (repeatable) [default: mtu-agent-webhook.<NAMESPACE>.svc]
    #[arg(
        long = "webhook-host",
        value_name = "NAME",
        env = "MTU_AGENT_WEBHOOK_HOSTS",
        value_delimiter = ','
    )]
    pub(crate) webhook_hosts: Option<Vec<String>>,

    /// Namespace of the Lease and the Secret [default: mtu-agent-controller]
    #[arg(long, value_name = "NAMESPACE", env = "MTU_AGENT_NAMESPACE")]
    pub(crate) namespace: Option<String>,

    /// What the Lease calls this replica; no other may have it [default: the host name]
    #[arg(long, value_name = "NAME", env = "MTU_AGENT_IDENTITY")]
    pub(crate) identity: Option<String>,

    /// Label of a node that names its pool; one without it is in the pool default [default: mtu-agent.dev/pool]
    #[arg(long, value_name = "LABEL", env = "MTU_AGENT_POOL_LABEL")]
    pub(crate) pool_label: Option<String>,

    /// Labels of the nodes on which agents run; others count in no pool [default: all but Windows, virtual kubelets and Fargate]
    #[arg(long, value_name = "SELECTOR", env = "MTU_AGENT_NODE_SELECTOR")]
    pub(crate) node_selector: Option<String>,

    /// How long a larger value of a pool must last before it is published [default: 10m]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_RAISE_AFTER")]
    pub(crate) raise_after: Option<String>,

    /// Write each ConfigMap at most once in this time [default: 10s]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_DEBOUNCE")]
    pub(crate) debounce: Option<String>,

    /// Serve the webhook for so long after SIGTERM, until nobody is sent here any more [default: 10s]
    #[arg(long, value_name = "DURATION", env = "MTU_AGENT_DRAIN")]
    pub(crate) drain: Option<String>,

    /// Who makes the webhook's certificates
    #[arg(long, value_name = "WHO", env = "MTU_AGENT_CERTIFICATES", default_value = "self-signed")]
    pub(crate) certificates: Certificates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Certificates {
    /// The leader
    SelfSigned,
    /// cert-manager: the Secret is only read, the caBundle is left to its cainjector
    CertManager,
    /// Nobody: no webhook is served
    #[value(name = "none")]
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A tree for people
    Text,
    /// One document for programs
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

/// The range of any path; what a family or link demands beyond that is told when it is known.
fn max_mtu(text: &str) -> Result<PathMtu, String> {
    let value = text.parse().ok().and_then(|value| PathMtu::new(value).ok());
    value.ok_or_else(|| format!("{text:?} is not the size of an IP packet: give 68 to 65535"))
}

/// An IPv6 address may come without its brackets: a manifest can only append the port to what Kubernetes gives.
fn address_and_port(text: &str) -> Result<SocketAddr, String> {
    let bare = || {
        let (address, port) = text.rsplit_once(':')?;
        Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
    };
    let parsed = text.parse().ok().or_else(bare);
    parsed.ok_or_else(|| {
        format!("{text:?} is no address and port: give them as 192.0.2.1:9817 or [2001:db8::1]:9817")
    })
}

/// A DNS subdomain, as Kubernetes has it (RFC 1123).
fn node_name(text: &str) -> Result<String, String> {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|byte| is_alphanumeric(*byte))
            && bytes.last().is_some_and(|byte| is_alphanumeric(*byte))
            && bytes.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is no node's name: give it as `kubectl get nodes` shows it"))
}

/// Under 576 there is no safe value, and over 65535 dockerd makes containers that fail.
fn max_dind_mtu(text: &str) -> Result<NonZeroU32, String> {
    let range = 576..=65_535;
    let value = text.parse().ok().filter(|value: &NonZeroU32| range.contains(&value.get()));
    value.ok_or_else(|| {
        format!("{text:?} is not an MTU that docker can use: give {} to {}", range.start(), range.end())
    })
}
