//! What the controller is told: flags and environment over defaults, checked once.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::certificates::{Hosts, HostsError};
use crate::domain::duration::{DurationError, duration};
use crate::kernel::host;
use crate::publish::kubernetes::names::{CONTROLLER_NAMESPACE, NODE_SELECTOR, POOL_LABEL, WEBHOOK_SERVICE};

/// Longest label of a DNS name, and so of a namespace (RFC 1035 §2.3.4).
const DNS_LABEL: usize = 63;
/// Longest DNS name.
const DNS_NAME: usize = 253;
/// The Lease is written by the field manager `kube-lease-manager-IDENTITY`, which may have 128 bytes.
const IDENTITY: usize = 128 - "kube-lease-manager-".len();
/// How long the webhook is still served: a Service goes on to lead here for some seconds after the pod was told to stop,
/// and admission asks no second time where it is refused. The manifests' `terminationGracePeriodSeconds` holds it.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Values as they were given, each of them optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: Option<SocketAddr>,
    /// Where the webhook is served.
    pub webhook_listen: Option<SocketAddr>,
    /// Names and addresses in the serving certificate.
    pub webhook_hosts: Option<Vec<String>>,
    /// Namespace of the Lease and the Secret.
    pub namespace: Option<String>,
    /// What the Lease calls this replica.
    pub identity: Option<String>,
    /// Label of a node that names its pool.
    pub pool_label: Option<String>,
    /// Selects the nodes that count in their pools.
    pub node_selector: Option<String>,
    /// How long a larger value of a pool must last before it is published.
    pub raise_after: Option<String>,
    /// Each ConfigMap is written once in this time at most.
    pub debounce: Option<String>,
    /// How long the webhook is served after SIGTERM.
    pub drain: Option<String>,
    /// Who makes the certificates.
    pub certificates: Certificates,
}

/// Who makes the webhook's certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificates {
    /// The leader.
    #[default]
    SelfSigned,
    /// cert-manager: the Secret is only read, and the `caBundle` is left to its cainjector.
    CertManager,
    /// Nobody: no webhook is served.
    Nobody,
}

/// What the controller does. Whatever is in here is possible.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: SocketAddr,
    /// Where the webhook is served.
    pub webhook_listen: SocketAddr,
    /// Names and addresses in the serving certificate.
    pub webhook_hosts: Hosts,
    /// Namespace of the Lease and the Secret.
    pub namespace: String,
    /// What the Lease calls this replica.
    pub identity: String,
    /// Label of a node that names its pool.
    pub pool_label: String,
    /// Selects the nodes that count in their pools, by their labels.
    pub node_selector: String,
    /// How long a larger value of a pool must last before it is published.
    pub raise_after: Duration,
    /// Each ConfigMap is written once in this time at most.
    pub debounce: Duration,
    /// How long the webhook is served after SIGTERM.
    pub drain: Duration,
    /// Who makes the certificates.
    pub certificates: Certificates,
}

/// A configuration that was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A namespace that Kubernetes would refuse.
    #[error("namespace is {value:?}: give the name of a namespace, of lower-case letters, digits and dashes")]
    Namespace {
        /// What was given.
        value: String,
    },
    /// A holder that the Lease would refuse, or that two replicas could share.
    #[error(
        "identity is {value:?}: give the name of this replica's pod, or another of at most {IDENTITY} bytes without spaces"
    )]
    Identity {
        /// What was given.
        value: String,
    },
    /// A label that no node can have.
    #[error(
        "pool_label is {value:?}: give the name of a label, with or without a prefix, such as {POOL_LABEL}"
    )]
    PoolLabel {
        /// What was given.
        value: String,
    },
    /// Something by which no nodes can be selected.
    #[error(
        "node_selector is {value:?}: give what labels of nodes must be, separated by commas, such as \
         pool=runners,type!=virtual-kubelet or !example.org/no-agent; all nodes without any"
    )]
    NodeSelector {
        /// What was given.
        value: String,
    },
    /// A name that cannot be in a certificate.
    #[error(transparent)]
    WebhookHosts(#[from] HostsError),
    /// A duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
}

impl TryFrom<Knobs> for Config {
    type Error = ConfigError;

    fn try_from(knobs: Knobs) -> Result<Self, ConfigError> {
        let Knobs { listen, webhook_listen, webhook_hosts, namespace, identity, pool_label, .. } = knobs;
        let Knobs { node_selector, raise_after, debounce, drain, certificates, .. } = knobs;
        let namespace = namespace.unwrap_or_else(|| CONTROLLER_NAMESPACE.into());
        if !is_dns_label(&namespace) {
            return Err(ConfigError::Namespace { value: namespace });
        }
        let identity = identity.unwrap_or_else(host::host_name);
        if identity.is_empty() || identity.len() > IDENTITY || identity.chars().any(char::is_whitespace) {
            return Err(ConfigError::Identity { value: identity });
        }
        let pool_label = pool_label.unwrap_or_else(|| POOL_LABEL.into());
        if !is_label_name(&pool_label) {
            return Err(ConfigError::PoolLabel { value: pool_label });
        }
        let node_selector = node_selector.unwrap_or_else(|| NODE_SELECTOR.into());
        if !node_selector.is_empty() && !node_selector.split(',').all(is_requirement) {
            return Err(ConfigError::NodeSelector { value: node_selector });
        }
        let webhook_hosts =
            webhook_hosts.unwrap_or_else(|| vec![format!("{WEBHOOK_SERVICE}.{namespace}.svc")]);
        let webhook_hosts = Hosts::new(webhook_hosts)?;
        let (second, hour, day) = (Duration::from_secs(1), Duration::from_hours(1), Duration::from_hours(24));
        let everywhere = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        Ok(Self {
            listen: listen.unwrap_or_else(|| everywhere(9817)),
            webhook_listen: webhook_listen.unwrap_or_else(|| everywhere(9443)),
            webhook_hosts,
            namespace,
            identity,
            pool_label,
            node_selector,
            raise_after: duration("raise_after", raise_after, Duration::from_mins(10), Duration::ZERO..=day)?,
            debounce: duration("debounce", debounce, Duration::from_secs(10), second..=hour)?,
            drain: duration("drain", drain, DRAIN, Duration::ZERO..=hour)?,
            certificates,
        })
    }
}

fn is_dns_label(text: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
    let is_inside = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && text.len() <= DNS_LABEL && is_inside && text.chars().all(is_allowed)
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= DNS_NAME && text.split('.').all(is_dns_label)
}

/// One of a label selector that needs no set: `name=value`, `name!=value`, `name` or `!name`.
fn is_requirement(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else {
        return is_label_name(text.strip_prefix('!').unwrap_or(text));
    };
    let value = value.strip_prefix('=').unwrap_or(value);
    is_label_name(name.strip_suffix('!').unwrap_or(name)) && (value.is_empty() || is_label_value(value))
}

/// As Kubernetes has it: `name` or `dns.prefix/name`.
fn is_label_name(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(is_dns_name) && is_label_value(name)
}

/// Of a label and of a label's name the same is asked.
fn is_label_value(text: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let is_end = |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric());
    let has_ends = is_end(text.chars().next()) && is_end(text.chars().last());
    has_ends && text.len() <= DNS_LABEL && text.chars().all(is_allowed)
}

#[cfg(test)]
mod tests;
