//! Makes right what a survey finds wrong where somebody opted in, takes back what is not opted in any more, and tells
//! the guards where to stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{error, info, warn};

use super::guards::{Guards, News};
use super::reach::{inodes_inside, orders, within_reach};
use super::undone::Undone;
use crate::agent::clock;
use crate::discovery::advice::called;
use crate::discovery::doors::Doors;
use crate::discovery::opt_in::OptIns;
use crate::discovery::scope::{Chosen, docker_host, opted_in_pods};
use crate::discovery::survey::Survey;
use crate::domain::error::with_sources;
use crate::domain::link::Ifindex;
use crate::domain::mtu::LinkMtu;
use crate::domain::permission::Permission;
use crate::domain::plan::{Change, Mode, Plan};
use crate::domain::topology::NetnsIx;
use crate::kernel::clamp::{self, Clamp, ClampError};
use crate::publish::metrics::{Metrics, TuneResult, Tuned};
use crate::publish::tune::{self, Done, Ledger, NetnsId, Step, TuneError};

mod leave;

/// So many recorded links are not worth to be looked at.
const SMALL_RECORD: usize = 64;
/// Why something is left, and what to do.
const NO_DOOR: &str = "no process and no file that is seen here leads into it; run with the host's pids (hostPID, docker \
                       run --pid=host), CAP_SYS_PTRACE, and /run/docker/netns";
/// Whatever was said so often is said again.
const MUCH_SAID: usize = 100;

/// What an agent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far it may go, wherever somebody opted in.
    pub permission: Permission,
    /// Whether all that docker made on a plain docker host is opted in.
    pub all_docker: bool,
}

/// What is known when something may have to be written.
#[derive(Clone, Debug)]
pub struct Known {
    /// The last survey.
    pub survey: Arc<Survey>,
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
    /// Plans that were refused, by the inode of what opted in: not tried again until they differ.
    refused: BTreeMap<u64, Vec<Step>>,
    /// What was written by a plan, and may be undone again and again.
    undone: BTreeMap<(NetnsId, Option<Ifindex>), Undone>,
    /// This kernel turned out to be unable to clamp, and is not asked again.
    cannot_clamp: bool,
    /// What the guards see.
    news: News,
    /// With more than that many recorded links it is time to forget some.
    many: usize,
    /// What was said already.
    said: BTreeSet<String>,
}

impl Planner {
    /// One that has seen no survey yet. Without guards, whose `news` it is, new links wait for the next survey.
    pub fn new(
        policy: Policy,
        ledger: Arc<Ledger>,
        metrics: Arc<Metrics>,
        guards: Option<Guards>,
        news: News,
    ) -> Self {
        let (refused, undone, said) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let (cannot_clamp, many) = (false, SMALL_RECORD);
        Self { policy, ledger, metrics, guards, refused, undone, cannot_clamp, news, many, said }
    }

    /// Writes what is to be written by what is known. Tells the inodes of the nested namespaces whose links are kept
    /// right.
    pub fn pass(&mut self, known: &Known, mut opt_ins: OptIns) -> BTreeSet<u64> {
        let Known { survey, maximum } = known;
        let chosen = self.chosen(survey, *maximum, &mut opt_ins);
        let may_write = self.policy.permission > Permission::Observe;
        if chosen.is_empty() && !may_write {
            self.metrics.tune_pending(0);
            return BTreeSet::new();
        }
        let mut doors = match Doors::open() {
            Ok(doors) => doors,
            Err(error) => {
                error!(error = %with_sources(&error), "nothing is tuned by this survey");
                return BTreeSet::new();
            }
        };
        // While the guards still keep what has ended, so that nothing else gets its inode.
        if may_write && let Err(error) = tune::forget_ended(&self.ledger, &doors) {
            self.say(with_sources(&error));
        }
        if may_write && let Err(error) = self.take_back(survey, &doors, &chosen, &opt_ins) {
            self.say(with_sources(&error));
        }
        let without_door = tune::without_door(&survey.look, &doors);
        let pending = chosen.iter().map(|chosen| self.tune(survey, (&doors, &without_door), chosen)).sum();
        self.metrics.tune_pending(pending);
        if may_write && let Err(error) = self.forget(&doors) {
            self.say(with_sources(&error));
        }
        // Afterwards, so that they find what was there before as it should be.
        if let Some(guards) = &self.guards {
            let can_clamp = !self.cannot_clamp;
            let orders = chosen.iter().flat_map(|(chosen, permission)| {
                orders(survey, &mut doors, &without_door, (chosen, *permission), can_clamp)
            });
            guards.order(orders.collect());
        }
        let tuned = chosen.iter().filter(|(_, permission)| *permission == Permission::Links);
        tuned.flat_map(|(chosen, _)| inodes_inside(survey, chosen)).collect()
    }

    /// Who opted in, and how far it goes there. Who else did may not be known by that.
    fn chosen(
        &mut self,
        survey: &Survey,
        maximum: LinkMtu,
        opt_ins: &mut OptIns,
    ) -> Vec<(Chosen, Permission)> {
        let Policy { permission, all_docker } = self.policy;
        let mut chosen = opted_in_pods(survey, opt_ins, maximum);
        if all_docker {
            match docker_host(survey, maximum) {
                Ok(host) => chosen.push((host, Permission::Links)),
                Err(refused) => {
                    opt_ins.is_known = false; // the user wanted it, and what was done before stays
                    self.say(refused.to_string());
                }
            }
        }
        for (_, asked) in &mut chosen {
            *asked = permission.min(*asked);
        }
        chosen
    }

    /// Carries out what is allowed of the plan for one namespace that opted in; tells how many changes are left.
    fn tune(
        &mut self,
        survey: &Survey,
        (doors, without_door): (&Doors, &BTreeSet<NetnsIx>),
        opted_in: &(Chosen, Permission),
    ) -> usize {
        let (look, (chosen, permission)) = (&survey.look, opted_in);
        let netns = chosen.opted_in.netns;
        let inode = look.identities[netns.0].inode.unwrap_or_default();
        let clamped = self.clamped(survey, doors, netns);
        let scope = std::slice::from_ref(&chosen.opted_in);
        let plan = Plan::new(&look.topology, scope, Mode::Both, &clamped);
        let is_allowed = |change: &&Change| needed(**change) <= *permission;
        let allowed: Vec<_> = plan.changes.iter().filter(is_allowed).copied().collect();
        let (possible, impossible) = within_reach(&look.topology, &allowed, without_door);
        for netns in impossible.iter().map(|change| change.netns()).filter(|it| without_door.contains(it)) {
            let called = called(&look.topology, &look.identities, netns);
            self.say(format!("what is in {called}, with the links that lead there: {NO_DOOR}"));
        }
        let (all, left) = (plan.changes.len(), plan.changes.len() - possible.len());
        let mut steps: Vec<_> = match tune::steps(look, doors, &possible) {
            Ok(steps) => steps.into_iter().map(Step::live).collect(),
            Err(error) => {
                self.say(with_sources(&error));
                return all;
            }
        };
        let planned = steps.len();
        steps.retain(|step| !self.is_contested(step));
        let left = left + planned - steps.len();
        if steps.is_empty() {
            self.refused.remove(&inode);
            return left;
        }
        if self.refused.get(&inode) == Some(&steps) {
            return all;
        }
        let called = called(&look.topology, &look.identities, netns);
        let mut last = None;
        match tune::apply(&self.ledger, doors, &steps, |step| last = Some(what(step))) {
            Ok(done) => {
                self.refused.remove(&inode);
                let written = steps.iter().zip(done).filter(|(_, done)| *done == Done::Written);
                let written: Vec<_> = written.map(|(step, _)| step).collect();
                for step in &written {
                    self.metrics.count_tune_write(what(step), TuneResult::Written);
                    self.undone.entry(step.at()).or_default().written(step, clock());
                }
                if !written.is_empty() {
                    info!(netns = called, written = written.len(), "tuned");
                }
                left
            }
            Err(error) if error.lacks_nftables() => {
                self.cannot_clamp(&error);
                self.tune(survey, (doors, without_door), opted_in)
            }
            Err(error @ TuneError::Refused { .. }) => {
                if let Some(what) = last {
                    self.metrics.count_tune_write(what, TuneResult::Refused);
                }
                warn!(netns = called, error = %with_sources(&error), "not tuned, until something changes");
                self.refused.insert(inode, steps);
                all
            }
            Err(error @ (TuneError::Record(_) | TuneError::NoDoor { .. })) => {
                self.say(with_sources(&error));
                all
            }
        }
    }

    /// Whether somebody else wants it otherwise.
    fn is_contested(&mut self, step: &Step) -> bool {
        let (at, now) = (step.at(), clock());
        if self.news.is_contested(at, now) {
            return true;
        }
        let Some(Undone { strife, .. }) = self.undone.get_mut(&at) else { return false };
        if strife.is_news(now) {
            self.metrics.count_tune_write(what(step), TuneResult::Contested);
            warn!(what = step.what(), "undone again and again; it is left alone for a while");
        }
        let until = strife.until(now);
        self.news.contested().extend(until.map(|until| (at, until)));
        until.is_some()
    }

    /// The namespace itself, if it is clamped or cannot be.
    fn clamped(&mut self, survey: &Survey, doors: &Doors, netns: NetnsIx) -> BTreeSet<NetnsIx> {
        if self.cannot_clamp {
            return [netns].into();
        }
        let door = doors.to(&survey.look.identities[netns.0]);
        match door.map(|door| door.run(clamp::read)) {
            Some(Ok(Ok(Clamp::Present))) => [netns].into(),
            Some(Ok(Err(error @ ClampError::Unsupported { .. }))) => {
                self.cannot_clamp(&error);
                [netns].into()
            }
            Some(Ok(Err(error))) => {
                self.say(with_sources(&error));
                [netns].into()
            }
            Some(Ok(Ok(Clamp::Absent | Clamp::Altered)) | Err(_)) | None => BTreeSet::new(),
        }
    }

    fn cannot_clamp(&mut self, error: &dyn std::error::Error) {
        self.cannot_clamp = true;
        let error = with_sources(error);
        warn!(error, "TCP is not clamped until the agent starts anew; links are tuned where they may be");
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
        Change::Clamp { .. } => Permission::Clamp,
    }
}
