//! From what a user types to addresses: parsing, which is pure, and name resolution, which asks the system.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::domain::mtu::IpFamily;

/// What is to be probed, as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address: `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`.
    Address(IpAddr),
    /// A link-local IPv6 address with its link: `fe80::1%eth0`.
    LinkLocal {
        /// The address.
        address: Ipv6Addr,
        /// Name of the link.
        device: String,
    },
    /// A host name, to be resolved.
    Name(String),
}

/// The text names no target. Bad usage: nothing was attempted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Empty.
    #[error("a target is an IP address or a host name, not an empty text")]
    Empty,
    /// Neither an address nor a host name.
    #[error(
        "{text:?} is no target: {why}; give an IP address or a host name, such as 192.0.2.1, 2001:db8::1 or example.org"
    )]
    Unparsable {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The name is fine, and has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver said no, or could not be asked.
    #[error("resolve host name {name}; check the name and /etc/resolv.conf, or give an IP address")]
    Failed {
        /// The name.
        name: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// It exists, without any address.
    #[error("host name {name} has no address")]
    NoAddress {
        /// The name.
        name: String,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::LinkLocal { address, device } => write!(f, "{address}%{device}"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        let unparsable = |why| TargetError::Unparsable { text: text.to_owned(), why };
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or_else(|| unparsable("a [ without its ] at the end"))?;
            return parse_v6(inner).ok_or_else(|| unparsable("only an IPv6 address stands in brackets"));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if let Some(target) = parse_v6(text) {
            return Ok(target);
        }
        host_name(text).map_err(unparsable).map(|()| Self::Name(text.to_owned()))
    }
}

impl Target {
    /// The link that the target itself names.
    pub fn device(&self) -> Option<&str> {
        match self {
            Self::LinkLocal { device, .. } => Some(device),
            Self::Address(_) | Self::Name(_) => None,
        }
    }

    /// Its addresses, in the resolver's order, each once. Only a name asks the system resolver; it needs a
    /// `tokio` runtime and may take as long as the resolver's own time limit.
    pub async fn resolve(&self) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match self {
            Self::Address(address) => return Ok(vec![*address]),
            Self::LinkLocal { address, .. } => return Ok(vec![IpAddr::V6(*address)]),
            Self::Name(name) => name,
        };
        let found = tokio::net::lookup_host((name.as_str(), 0))
            .await
            .map_err(|source| ResolveError::Failed { name: name.clone(), source })?;
        let mut addresses = Vec::new();
        for address in found.map(|address| address.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(ResolveError::NoAddress { name: name.clone() });
        }
        Ok(addresses)
    }
}

/// The first address of each family, IPv4 first: one path per family is probed.
pub fn first_of_each_family(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first = |family| addresses.iter().copied().find(|&address| IpFamily::of(address) == family);
    IpFamily::ALL.into_iter().filter_map(first).collect()
}

fn parse_v6(text: &str) -> Option<Target> {
    let Some((address, device)) = text.split_once('%') else {
        return Some(Target::Address(text.parse::<Ipv6Addr>().ok()?.into()));
    };
    let address = address.parse::<Ipv6Addr>().ok()?;
    let is_complete = address.is_unicast_link_local() && !device.is_empty();
    is_complete.then(|| Target::LinkLocal { address, device: device.to_owned() })
}

/// RFC 1123 §2.1, with the underscore that names in clusters have.
fn host_name(text: &str) -> Result<(), &'static str> {
    if text.contains("://") || text.contains('/') {
        return Err("a URL or a prefix");
    }
    if text.contains('%') {
        return Err("only a link-local IPv6 address has a link behind a %");
    }
    if text.contains(':') {
        return Err("a wrong IPv6 address, or a port, which ICMP does not have");
    }
    if !text.is_ascii() {
        return Err("not ASCII: give an internationalised name in its xn-- form");
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.len() > 253 {
        return Err("a host name has at most 253 characters");
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if !name.split('.').all(is_label) {
        return Err("parts of a host name are 1 to 63 letters, digits or inner hyphens");
    }
    // The C resolver would read "10.1" as 10.0.0.1.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x");
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err("ends in a number, but is no IPv4 address");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
