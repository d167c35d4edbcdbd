//! Makes right what a survey finds wrong where somebody opted in, and tells the guards where to stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{debug, error, info, warn};

use super::guards::{Guards, Order};
use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::opt_in::OptIns;
use crate::discovery::scope::{Chosen, docker_host, opted_in_pods};
use crate::discovery::survey::Survey;
use crate::domain::answer::Rules;
use crate::domain::error::with_sources;
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::Permission;
use crate::domain::plan::{Change, Mode, Plan};
use crate::domain::topology::NetnsIx;
use crate::kernel::clamp::{self, Clamp};
use crate::publish::metrics::{Metrics, TuneResult, Tuned};
use crate::publish::tune::{self, Done, Ledger, Step, TuneError};

/// What an agent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far it may go, wherever somebody opted in.
    pub permission: Permission,
    /// Whether all that docker made on a plain docker host is opted in.
    pub all_docker: bool,
    /// What nested links may not exceed anywhere.
    pub maximum: LinkMtu,
}

/// Acts upon one survey after the other.
#[derive(Debug)]
pub struct Planner {
    policy: Policy,
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    guards: Option<Guards>,
    /// Plans that were refused, by the namespace that opted in: not tried again until they differ.
    refused: BTreeMap<u64, Vec<Step>>,
    /// What was said already.
    said: BTreeSet<String>,
}

impl Planner {
    /// One that has seen no survey yet. Without guards new links wait for the next survey.
    pub fn new(policy: Policy, ledger: Arc<Ledger>, metrics: Arc<Metrics>, guards: Option<Guards>) -> Self {
        Self { policy, ledger, metrics, guards, refused: BTreeMap::new(), said: BTreeSet::new() }
    }

    /// Writes what is to be written by this survey.
    pub fn pass(&mut self, survey: &Survey, opt_ins: &OptIns) {
        let chosen = self.chosen(survey, opt_ins);
        let mut pending = 0;
        let mut orders = Vec::new();
        if !chosen.is_empty() {
            match Doors::open() {
                Ok(mut doors) => {
                    for (chosen, permission) in &chosen {
                        pending += self.tune(survey, &doors, chosen, *permission);
                    }
                    // Afterwards, so that they find what was there before as it should be.
                    for (chosen, permission) in &chosen {
                        orders.extend(orders_for(survey, &mut doors, chosen, *permission));
                    }
                }
                Err(error) => error!(error = %with_sources(&error), "nothing is tuned by this survey"),
            }
        }
        self.metrics.tune_pending(pending);
        if let Some(guards) = &self.guards {
            guards.order(orders);
        }
    }

    /// Who opted in, and how far it goes there.
    fn chosen(&mut self, survey: &Survey, opt_ins: &OptIns) -> Vec<(Chosen, Permission)> {
        let Policy { permission, all_docker, maximum } = self.policy;
        let mut chosen = opted_in_pods(survey, opt_ins, maximum);
        if all_docker {
            match docker_host(survey, maximum) {
                Ok(host) => chosen.push((host, Permission::Links)),
                Err(refused) => self.say(format!("{refused}")),
            }
        }
        for (_, asked) in &mut chosen {
            *asked = permission.min(*asked);
        }
        chosen
    }

    /// Carries out what is allowed of the plan for one namespace that opted in; tells how many changes are left.
    fn tune(&mut self, survey: &Survey, doors: &Doors, chosen: &Chosen, permission: Permission) -> usize {
        let look = &survey.look;
        let netns = chosen.opted_in.netns;
        let inode = look.identities[netns.0].inode.unwrap_or_default();
        let clamped = self.clamped(survey, doors, netns);
        let opted_in = std::slice::from_ref(&chosen.opted_in);
        let plan = Plan::new(&look.topology, opted_in, Mode::Both, &clamped);
        let allowed: Vec<_> =
            plan.changes.iter().copied().filter(|change| needed(*change) <= permission).collect();
        let left = plan.changes.len() - allowed.len();
        if allowed.is_empty() {
            self.refused.remove(&inode);
            return left;
        }
        let steps: Vec<_> = match tune::steps(look, doors, &allowed) {
            Ok(steps) => steps.into_iter().map(Step::live).collect(),
            Err(error) => {
                self.say(with_sources(&error));
                return plan.changes.len();
            }
        };
        if self.refused.get(&inode) == Some(&steps) {
            return plan.changes.len();
        }
        let called = called(&look.topology, &look.identities, netns);
        let mut last = None;
        match tune::apply(&self.ledger, doors, &steps, |step| last = Some(what(step))) {
            Ok(done) => {
                self.refused.remove(&inode);
                let is_written = |(_, done): &(_, Done)| *done == Done::Written;
                let written: Vec<_> = steps.iter().zip(done).filter(is_written).collect();
                for (step, _) in &written {
                    self.metrics.count_tune_write(what(step), TuneResult::Written);
                }
                info!(netns = called, written = written.len(), "tuned");
                left
            }
            Err(error) => {
                if let (TuneError::Refused { .. }, Some(what)) = (&error, last) {
                    self.metrics.count_tune_write(what, TuneResult::Refused);
                }
                warn!(netns = called, error = %with_sources(&error), "not tuned, until something changes");
                self.refused.insert(inode, steps);
                plan.changes.len()
            }
        }
    }

    /// Whether the namespace is clamped already. One that cannot be is not clamped.
    fn clamped(&mut self, survey: &Survey, doors: &Doors, netns: NetnsIx) -> BTreeSet<NetnsIx> {
        let door = survey.look.identities[netns.0].inode.and_then(|inode| doors.get(inode));
        match door.map(|door| door.run(clamp::read)) {
            Some(Ok(Ok(Clamp::Present))) => [netns].into(),
            Some(Ok(Err(error))) => {
                self.say(with_sources(&error));
                [netns].into()
            }
            Some(Ok(Ok(Clamp::Absent | Clamp::Altered)) | Err(_)) | None => BTreeSet::new(),
        }
    }

    /// Says it once.
    fn say(&mut self, what: String) {
        if !self.said.contains(&what) {
            warn!(why = what, "not tuned");
            self.said.insert(what);
        }
    }
}

fn what(step: &Step) -> Tuned {
    match step {
        Step::Link { .. } => Tuned::Link,
        Step::Clamp(_) => Tuned::Clamp,
    }
}

fn needed(change: Change) -> Permission {
    match change {
        Change::LinkMtu { .. } => Permission::Links,
        Change::Clamp { .. } | Change::Unclamp { .. } => Permission::Clamp,
    }
}

/// Where guards are to stand. What has no door is gone, or comes with the next survey.
fn orders_for(survey: &Survey, doors: &mut Doors, chosen: &Chosen, permission: Permission) -> Vec<Order> {
    if permission < Permission::Links {
        return Vec::new();
    }
    let look = &survey.look;
    let measured = &survey.bounds.measured;
    let order = |(netns, rules): (NetnsIx, Rules)| {
        let door = look.identities[netns.0].inode.and_then(|inode| doors.take(inode));
        let called = called(&look.topology, &look.identities, netns);
        if door.is_none() {
            debug!(netns = called, "no way in");
        }
        Some(Order { netns: door?, called, rules })
    };
    chosen.opted_in.rules(&look.topology, measured).into_iter().filter_map(order).collect()
}
