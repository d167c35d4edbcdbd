//! Which namespaces the user opts in, by what people call them.

use std::collections::BTreeSet;

use super::identity::Identity;
use super::opt_in::OptIns;
use super::role::{Maker, Role, role};
use super::survey::{Look, Survey};
use super::who::{self, WhoError};
use crate::domain::link::LinkRef;
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::Permission;
use crate::domain::safe::{Bounds, SafeMtu};
use crate::domain::scope::{Most, OptedIn};
use crate::domain::topology::{HOST, NetnsIx, Place};

/// Where the user allows to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What is nested in a pod: `NAMESPACE/NAME`, name or uid.
    Pod(String),
    /// What is nested in a container, and its own end of docker's veth.
    Container(String),
    /// The same for a namespace: a name, file, id or pid.
    Netns(String),
    /// All that docker made on a host that runs no pods.
    AllDocker,
}

/// A selection that allows nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Nobody, or more than one, goes by that name.
    #[error(transparent)]
    Who(#[from] WhoError),
    /// The host's own namespace.
    #[error(
        "{who:?} is in the host's own namespace, whose links are not nested: give a pod or a container of its own \
         network, or --all-docker on a plain docker host"
    )]
    Host {
        /// The name.
        who: String,
    },
    /// A namespace that is not nested in the host.
    #[error("no link connects {who:?} with this host, so what it may carry cannot be told")]
    Unconnected {
        /// The name.
        who: String,
    },
    /// Not plain.
    #[error(
        "this host runs pods ({example}): --all-docker is for plain docker hosts; name the pods by --pod, or the \
         containers by --container"
    )]
    NotPlain {
        /// How that is known.
        example: String,
    },
}

/// One namespace that was opted in, with what is safe in there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What may be written.
    pub opted_in: OptedIn,
    /// What nothing nested may exceed; `None` when it could not be told, and then no link is written.
    pub safe: Option<SafeMtu>,
}

/// What the selections allow.
pub fn choose(survey: &Survey, selections: &[Selection]) -> Result<Vec<Chosen>, ScopeError> {
    selections.iter().map(|selection| chosen(survey, selection)).collect()
}

fn chosen(survey: &Survey, selection: &Selection) -> Result<Chosen, ScopeError> {
    let Look { topology, identities, .. } = &*survey.look;
    let (netns, own) = match selection {
        Selection::AllDocker => {
            refuse_pods(&survey.look)?;
            (HOST, None)
        }
        Selection::Pod(who) => {
            // What is nested in a pod is in its cgroup too.
            let is_pod = |ix: NetnsIx, identity: &Identity| {
                identity.pod_uid.is_some() && topology.netns(ix).place.level() == Some(1)
            };
            (nested(&survey.look, who, is_pod)?, None)
        }
        Selection::Container(who) => {
            let netns = nested(&survey.look, who, |_, identity| identity.container_id.is_some())?;
            (netns, dockers_end(&survey.look, netns))
        }
        Selection::Netns(who) => {
            let netns = nested(&survey.look, who, |_, _| true)?;
            let is_pod =
                identities[netns.0].pod_uid.is_some() && topology.netns(netns).place.level() == Some(1);
            (netns, dockers_end(&survey.look, netns).filter(|_| !is_pod))
        }
    };
    Ok(Chosen::new(survey, netns, own, survey.bounds.maximum))
}

impl Chosen {
    /// What is nested in `netns`: in the host's own, what docker made.
    fn new(survey: &Survey, netns: NetnsIx, own: Option<LinkRef<NetnsIx>>, maximum: LinkMtu) -> Self {
        let topology = &survey.look.topology;
        let safe = survey.safe_mtu_under(netns, maximum);
        let most = Most::inside(topology, netns, &Bounds { maximum, ..survey.bounds.clone() });
        let is_dockers = |at| role(topology, at).maker() == Maker::Docker;
        let mut opted_in = if netns == HOST {
            OptedIn::docker_host(topology, is_dockers, most)
        } else {
            OptedIn::nested_in(topology, netns, own, most)
        };
        if safe.is_none() {
            (opted_in.links, opted_in.most) = (BTreeSet::new(), None);
        }
        Self { opted_in, safe }
    }
}

/// The pods that ask for something, with what they ask for. `maximum` is what no nested link may exceed anywhere.
pub fn opted_in_pods(survey: &Survey, opt_ins: &OptIns, maximum: LinkMtu) -> Vec<(Chosen, Permission)> {
    let Look { topology, identities, .. } = &*survey.look;
    let namespaces = topology.iter().zip(identities);
    let pods = namespaces.filter(|((_, netns), _)| netns.place.level() == Some(1));
    let asked = |((netns, _), identity): ((NetnsIx, _), &Identity)| {
        let permission = opt_ins.pods.get(identity.pod_uid.as_ref()?)?;
        Some((Chosen::new(survey, netns, None, maximum), *permission))
    };
    pods.filter_map(asked).collect()
}

/// A plain docker host as a whole.
pub fn docker_host(survey: &Survey, maximum: LinkMtu) -> Result<Chosen, ScopeError> {
    refuse_pods(&survey.look)?;
    Ok(Chosen::new(survey, HOST, None, maximum))
}

fn nested(
    look: &Look,
    who: &str,
    is_candidate: impl Fn(NetnsIx, &Identity) -> bool,
) -> Result<NetnsIx, ScopeError> {
    let netns = who::find_among(&look.identities, who, is_candidate)?;
    match look.topology.netns(netns).place {
        Place::Nested { .. } => Ok(netns),
        Place::Host => Err(ScopeError::Host { who: who.to_owned() }),
        Place::Outside | Place::Unconnected => Err(ScopeError::Unconnected { who: who.to_owned() }),
    }
}

/// The namespace's own end of the veth that a dockerd around it made.
fn dockers_end(look: &Look, netns: NetnsIx) -> Option<LinkRef<NetnsIx>> {
    let parent = look.topology.netns(netns).place.parent()?;
    let links = look.topology.netns(netns).links.values();
    let mut outward = links.filter(|link| link.linked.is_some_and(|linked| linked.netns == parent));
    let end = outward.next().map(|link| LinkRef { netns, ifindex: link.ifindex })?;
    (role(&look.topology, end) == Role::DockerVeth).then_some(end)
}

fn refuse_pods(look: &Look) -> Result<(), ScopeError> {
    let is_pod = |(position, identity): &(usize, &Identity)| {
        identity.pod_uid.is_some() && look.topology.netns(NetnsIx(*position)).place.level() == Some(1)
    };
    if let Some((_, pod)) = look.identities.iter().enumerate().find(is_pod) {
        return Err(ScopeError::NotPlain { example: pod.name.clone().unwrap_or_else(|| pod.id.clone()) });
    }
    let is_a_cnis = |at: LinkRef<NetnsIx>| match role(&look.topology, at).maker() {
        Maker::Calico | Maker::Cni => true,
        Maker::Docker | Maker::Podman | Maker::Administrator => false,
    };
    let links = look.topology.netns(HOST).links.values();
    let mut pairs = links.filter(|link| link.kind.is_pair());
    match pairs.find(|link| is_a_cnis(LinkRef { netns: HOST, ifindex: link.ifindex })) {
        Some(link) => Err(ScopeError::NotPlain { example: link.name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
