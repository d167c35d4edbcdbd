//! What is changed in a pod that will run a dockerd. Pure, and idempotent: of its own result it changes nothing.

use json_patch::Patch;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde_json::json;

use super::arguments::{self, MtuFlag};
use super::environment::{self, Variable};
use super::outcome::Outcome;
use super::patch::{Additions, List};
use super::policy::{DindMtu, Policy, Source};
use super::shape::Shape;
use super::text::{self, WARNINGS};
use crate::publish::kubernetes::names::{CONTAINERS, DIND_MTU, INJECT, STATUS};

/// Annotation of the API objects of static pods, which the kubelet runs from a file: a change would reach nothing.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// What is changed, and what is said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutation {
    /// Applies to the pod as it came.
    pub patch: Patch,
    /// For whoever makes the pod.
    pub warnings: Vec<String>,
    /// What the patch does.
    pub effect: Effect,
    /// Each container in which a dockerd was recognised, by how it is started and what came of it.
    pub containers: Vec<(Shape, Outcome)>,
}

/// What a patch does to a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: it is empty.
    #[default]
    Unchanged,
    /// Adds annotations, and all that was recognised is told.
    Annotated,
    /// Adds annotations; a dockerd was recognised that nothing is done about.
    Refused,
    /// Adds to a container, too.
    Injected,
    /// The same with the value that is used where none is known.
    Fallback,
}

/// How a pod wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// By `--mtu`, which is `auto` as well as `args`: other ways may follow.
    Args,
    /// By the variable alone, in any shape: its own scripts use that.
    Variable,
    DaemonJson,
    None,
    Unknown,
}

impl Mode {
    fn of(annotation: Option<&str>) -> Self {
        match annotation {
            None | Some("auto" | "args") => Self::Args,
            Some("env") => Self::Variable,
            Some("daemon-json") => Self::DaemonJson,
            Some("none") => Self::None,
            Some(_) => Self::Unknown,
        }
    }
}

/// A container in which a dockerd was recognised.
struct Dind<'a> {
    at: (List, usize),
    container: &'a Container,
    shape: Shape,
    outcome: Outcome,
}

/// Tells the dockerds of a pod what `policy` knows.
pub fn mutate(pod: &Pod, policy: &Policy) -> Mutation {
    let mode = Mode::of(annotation(pod, INJECT));
    if mode == Mode::None || annotation(pod, MIRROR).is_some() || is_windows(pod) {
        return Mutation::default();
    }
    let mut warnings = Vec::new();
    if mode == Mode::Unknown {
        let what = format!("{INJECT} is none of auto, args, env, daemon-json, none");
        warnings.push(format!("nothing is done: {what}"));
        let mut additions = Additions::default();
        additions.annotations(&pod.metadata, &[(STATUS, format!("not-told ({what})"))]);
        return concluded(additions, &warnings, Effect::Annotated, &[]);
    }

    let known = policy.known();
    let policy = told(pod, *policy, &mut warnings);
    let named = Named::of(pod);
    let dinds: Vec<_> = recognised(pod, &named)
        .map(|(at, container, shape)| {
            let outcome = decide(container, shape, mode, known);
            Dind { at, container, shape, outcome }
        })
        .collect();
    let says = complaints(pod, &named, dinds.is_empty());
    let is_asked_for = annotation(pod, DIND_MTU).is_some() || reads_the_annotation(pod);
    if dinds.is_empty() && says.is_empty() && !is_asked_for {
        return Mutation::default();
    }
    warnings.extend(dinds.iter().filter_map(|dind| {
        let warning = dind.outcome.warning(known)?;
        Some(format!("container {}: {warning}", dind.container.name))
    }));
    warnings.extend(says.iter().cloned());
    if policy.source == Source::Fallback {
        warnings.push(format!("no node's MTU is known yet for this namespace: {} until then", policy.mtu));
    }

    let mut additions = Additions::default();
    let containers = dinds.iter().map(|dind| (dind.container.name.as_str(), dind.outcome.status()));
    let status = text::status(policy, containers, &says);
    additions.annotations(&pod.metadata, &[(DIND_MTU, policy.mtu.to_string()), (STATUS, status)]);
    let is_injected = dinds.iter().map(|dind| inject(dind, &mut additions)).fold(false, |any, one| any | one);
    let is_refused = |dind: &Dind<'_>| matches!(dind.outcome, Outcome::Refused(_) | Outcome::NotYet);
    let effect = if is_injected && policy.source == Source::Fallback {
        Effect::Fallback
    } else if is_injected {
        Effect::Injected
    } else if dinds.iter().any(is_refused) {
        Effect::Refused
    } else {
        Effect::Annotated
    };
    concluded(additions, &warnings, effect, &dinds)
}

fn concluded(additions: Additions, warnings: &[String], effect: Effect, dinds: &[Dind<'_>]) -> Mutation {
    let patch = additions.into_patch();
    let effect = if patch.is_empty() { Effect::Unchanged } else { effect };
    let warnings = warnings.iter().take(WARNINGS).map(|warning| text::warning(warning)).collect();
    Mutation {
        patch,
        warnings,
        effect,
        containers: dinds.iter().map(|dind| (dind.shape, dind.outcome)).collect(),
    }
}

fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn is_windows(pod: &Pod) -> bool {
    let os = pod.spec.as_ref().and_then(|spec| spec.os.as_ref());
    os.is_some_and(|os| os.name == "windows")
}

/// The value of the annotation, and a warning if the user's own is not it.
fn told(pod: &Pod, policy: Policy, warnings: &mut Vec<String>) -> Policy {
    let own = annotation(pod, DIND_MTU);
    let told = policy.with_annotation(own);
    if own.is_some_and(|own| DindMtu::parse(own).is_none()) {
        warnings.push(format!("{DIND_MTU} was no MTU: it is {} now", told.mtu));
    } else if own.is_some_and(|own| own != told.mtu.to_string()) {
        warnings.push(format!("{DIND_MTU} came with another value: it is {} now", told.mtu));
    }
    told
}

/// The containers that the user names.
struct Named<'a>(Vec<&'a str>);

impl<'a> Named<'a> {
    fn of(pod: &'a Pod) -> Self {
        let names = annotation(pod, CONTAINERS).into_iter().flat_map(|names| names.split(','));
        Self(names.map(str::trim).filter(|name| !name.is_empty()).collect())
    }

    fn has(&self, container: &Container) -> bool {
        self.0.contains(&container.name.as_str())
    }
}

fn containers(pod: &Pod) -> impl Iterator<Item = ((List, usize), &Container)> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref()).into_iter().flatten().enumerate();
    let main = spec.into_iter().flat_map(|spec| &spec.containers).enumerate();
    let init = init.map(|(index, container)| ((List::InitContainers, index), container));
    init.chain(main.map(|(index, container)| ((List::Containers, index), container)))
}

fn recognised<'a>(
    pod: &'a Pod,
    named: &Named<'_>,
) -> impl Iterator<Item = ((List, usize), &'a Container, Shape)> {
    containers(pod)
        .filter_map(|(at, container)| Some((at, container, Shape::of(container, named.has(container))?)))
}

fn reads_the_annotation(pod: &Pod) -> bool {
    let mut entries = containers(pod).flat_map(|(_, container)| container.env.iter().flatten());
    entries.any(environment::reads_the_annotation)
}

/// What the user asked for and does not get, whatever the containers are.
fn complaints(pod: &Pod, named: &Named<'_>, is_none_recognised: bool) -> Vec<String> {
    let is_there = |name: &str| containers(pod).any(|(_, container)| container.name == name);
    let mut says = Vec::new();
    if !named.0.iter().all(|name| is_there(name)) {
        says.push(format!("{CONTAINERS} names a container that is not there"));
    } else if is_none_recognised && annotation(pod, INJECT).is_some() {
        says.push(format!("no dockerd was recognised: {CONTAINERS} can name its container"));
    }
    says
}

fn decide(container: &Container, shape: Shape, mode: Mode, known: Option<DindMtu>) -> Outcome {
    match mode {
        Mode::Variable => match Variable::of(container) {
            Variable::Absent | Variable::Ours => Outcome::Variable,
            Variable::Bytes(_) | Variable::Unclear => Outcome::KeptVariable,
        },
        Mode::DaemonJson => Outcome::NotYet,
        Mode::Args | Mode::None | Mode::Unknown => match shape {
            Shape::Plain => by_flag(container, known),
            Shape::Shell
            | Shape::Wrapped
            | Shape::ConfigFile
            | Shape::Rootless
            | Shape::OwnKnob(_)
            | Shape::ImageArguments
            | Shape::Other => Outcome::Refused(shape),
        },
    }
}

fn by_flag(container: &Container, known: Option<DindMtu>) -> Outcome {
    let exceeds = |own: u32| known.is_some_and(|mtu| own > mtu.get().into());
    match (flag(container), Variable::of(container)) {
        (MtuFlag::Bytes(own), _) if exceeds(own) => Outcome::Exceeds(own),
        (MtuFlag::Bytes(own), _) => Outcome::Kept(own),
        (MtuFlag::Variable, _) => Outcome::KeptReference,
        (MtuFlag::Unreadable, _) => Outcome::KeptUnreadable,
        (MtuFlag::Absent | MtuFlag::Ours, Variable::Absent | Variable::Ours) => Outcome::Told,
        (MtuFlag::Absent | MtuFlag::Ours, Variable::Bytes(own)) => Outcome::OwnVariable(own),
        (MtuFlag::Absent | MtuFlag::Ours, Variable::Unclear) => Outcome::UnclearVariable,
    }
}

fn flag(container: &Container) -> MtuFlag {
    let words = [&container.command, &container.args].into_iter().flatten().flatten();
    arguments::mtu_flag(words.map(String::as_str))
}

/// Adds to the container what its outcome needs and is not there yet; says whether that is anything.
fn inject(dind: &Dind<'_>, additions: &mut Additions) -> bool {
    let Dind { at, container, outcome, .. } = dind;
    let (needs_variable, needs_flag) = match outcome {
        Outcome::Told => (true, true),
        Outcome::Variable => (true, false),
        Outcome::OwnVariable(_) => (false, true),
        Outcome::UnclearVariable
        | Outcome::KeptVariable
        | Outcome::Kept(_)
        | Outcome::Exceeds(_)
        | Outcome::KeptReference
        | Outcome::KeptUnreadable
        | Outcome::Refused(_)
        | Outcome::NotYet => (false, false),
    };
    let needs_variable = needs_variable && Variable::of(container) == Variable::Absent;
    let needs_flag = needs_flag && flag(container) == MtuFlag::Absent;
    if needs_variable {
        // First, since an entry sees only those before it.
        additions.insert(*at, "env", container.env.is_none(), 0, json!(environment::our_entry()));
    }
    if needs_flag {
        let args = container.args.as_deref();
        let place = arguments::place(args.unwrap_or_default());
        additions.insert(*at, "args", args.is_none(), place, json!(arguments::our_flag()));
    }
    needs_variable || needs_flag
}

#[cfg(test)]
mod tests;
