//! What a checker knows: every record in the moment in which it is durable, every act of the provider, every effect that leaves
//! a daemon, in their true order. The invariants (`invariants.rs`) are judged here and nowhere in the daemon.

use super::scenario::Kind;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use wavegate::cloud::sim::SimWorld;
use wavegate::journal::tap::Write;
use wavegate::model::event::{Direction, Event, Operation};
use wavegate::model::ids::{CellId, Digest, Epoch, RolloutId, StackName, TargetId, Token};
use wavegate::model::plan::PlannedTarget;
use wavegate::model::stack::Scope;
use wavegate::model::state::State;

/// Something that must never happen, and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number in `docs/architecture.md`.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
    /// At which step of the simulation.
    pub step: u64,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is broken at step {}: {}", self.invariant, self.step, self.what)
    }
}

/// An intent that is durable.
#[derive(Clone, Debug)]
pub struct Intent {
    pub rollout: RolloutId,
    pub target: TargetId,
    pub operation: Operation,
    /// By the world's clock.
    pub at: Timestamp,
    /// When the description of its change set was asked for that had been answered by then.
    pub described: Option<Timestamp>,
}

/// What the world is at the moment of a record.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    /// The stack's content; none: it does not exist.
    pub content: Option<Digest>,
    /// The digest of its template.
    pub template: Option<Digest>,
    /// True while an operation under the recorded token goes on.
    pub running: bool,
}

/// A bake under watch.
#[derive(Clone, Debug)]
pub struct Bake {
    /// By the world's clock.
    pub began: Timestamp,
    /// Looks that were recorded.
    pub looks: u32,
}

/// Everything that the checker knows.
#[derive(Debug, Default)]
pub struct Ledger {
    /// What the durable records say.
    pub state: State,
    /// What is broken.
    pub violations: Vec<Violation>,
    /// Turns, acts, writes and disturbances so far.
    pub steps: u64,
    /// What each rollout wants.
    pub kinds: BTreeMap<RolloutId, Kind>,
    pub intents: BTreeMap<Token, Intent>,
    /// Tokens of operations that the provider has started.
    pub accepted: BTreeSet<Token>,
    /// Tokens of operations that are recorded as not started.
    pub not_started: BTreeSet<Token>,
    /// Names of change sets that were made.
    pub names: BTreeSet<String>,
    /// The newest epoch whose effect the provider has seen.
    pub newest_effect: Epoch,
    /// When a person last touched a stack.
    pub edited: BTreeMap<StackName, Timestamp>,
    pub bakes: BTreeMap<(RolloutId, usize), Bake>,
    /// Cells whose metric is not to be trusted, and since when.
    pub untrusted: BTreeMap<CellId, Timestamp>,
    /// What a daemon has said is done: it must be durable.
    pub promised: Vec<Promise>,
    /// States that were reached, each by its digest.
    pub covered: HashSet<u64>,
    /// Calls that the budget let out, for S25.
    pub meter: super::invariants::Meter,
    /// When each rollout last made progress.
    pub progress: BTreeMap<RolloutId, Timestamp>,
    /// Since when nothing keeps the daemon from its work: no outage, no stall, no crash, no fault of its clock.
    pub undisturbed_since: Option<Timestamp>,
    /// Since when there is nobody who leads, while another daemon stands by undisturbed.
    pub leaderless_since: Option<Timestamp>,
    /// Since when a leader leads and has nothing left to fence.
    pub free_since: Timestamp,
    /// A daemon that led stood still for a while.
    pub stood_still: bool,
    /// A daemon's clock was set back.
    pub slow_clock: bool,
    /// Cells whose metric is now good, now bad.
    pub lying: BTreeSet<CellId>,
    /// When the newest description that was answered was asked for, by stack.
    pub described: BTreeMap<StackName, Timestamp>,
    /// When the change sets of a stack were altered.
    pub altered: BTreeMap<StackName, Timestamp>,
    /// A daemon's clock was set forward or back.
    pub clock_was_wrong: bool,
    /// What people said, by rollout.
    pub cases: BTreeMap<RolloutId, super::consent::Case>,
    /// What is under way.
    pub motion: super::limits::Motion,
    /// What stacks were when a person had touched them: never ours.
    pub of_persons: BTreeSet<Digest>,
}

/// What a daemon has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promise {
    Kill(wavegate::model::ids::KillId),
    Rollout(RolloutId),
}

impl Ledger {
    /// Notes a broken invariant.
    pub fn broken(&mut self, invariant: &'static str, what: impl Into<String>) {
        // One is enough to know, and a hundred of the same hide others.
        if self.violations.len() < 8 {
            self.violations.push(Violation { invariant, what: what.into(), step: self.steps });
        }
    }

    /// The plan's target behind an id.
    pub fn planned(&self, rollout: &RolloutId, target: &TargetId) -> Option<&PlannedTarget> {
        self.state.rollouts.get(rollout)?.plan.targets.get(target)
    }

    /// True when a person touched the stack so lately that a read of before may still be under way.
    pub fn lately_edited(&self, stack: &StackName, now: Timestamp) -> bool {
        self.edited.get(stack).is_some_and(|at| wavegate::model::time::since(*at, now).as_secs() < 180)
    }

    /// Takes a durable write in.
    pub fn written(&mut self, write: Write<'_>, now: Timestamp, truths: &[Truth]) {
        self.steps += 1;
        super::invariants::invariant_s4_writes(self, write);
        for (event, truth) in write.events.iter().zip(truths) {
            super::invariants::before_event(self, event, now, truth);
            super::limits::before_event(self, event, now);
            if let Err(error) = self.state.apply(event) {
                self.broken("S24", format!("a durable record does not fit: {error}"));
            }
            self.remember(event, now);
            super::consent::remember(self, event, now);
            super::invariants::after_event(self, event, now);
        }
        self.covered.insert(self.abstract_state());
    }

    fn remember(&mut self, event: &Event, now: Timestamp) {
        if let Some(rollout) = event.rollout().filter(|_| !matches!(event, Event::HealthJudged { .. })) {
            self.progress.insert(rollout.clone(), now);
        }
        match event {
            Event::OperationIntended { rollout, target, operation } => {
                let (rollout, target) = (rollout.clone(), target.clone());
                let stack =
                    self.state.rollouts.get(&rollout).and_then(|r| r.plan.targets.get(&target)).map(|t| &t.stack);
                let described = stack.and_then(|stack| self.described.get(stack)).copied();
                let intent = Intent { rollout, target, operation: operation.clone(), at: now, described };
                self.intents.insert(operation.token.clone(), intent);
            }
            Event::OperationNotStarted { rollout, target, .. } => {
                let newest = self
                    .intents
                    .values()
                    .filter(|i| i.rollout == *rollout && i.target == *target)
                    .max_by_key(|i| i.operation.attempt);
                let token = newest.map(|i| i.operation.token.clone());
                self.not_started.extend(token);
            }
            Event::BakeStarted { rollout, wave, .. } => {
                self.bakes.insert((rollout.clone(), *wave), Bake { began: now, looks: 0 });
            }
            Event::HealthJudged { rollout, wave, .. } => {
                if let Some(bake) = self.bakes.get_mut(&(rollout.clone(), *wave)) {
                    bake.looks += 1;
                }
            }
            _ => {}
        }
    }

    /// The state with everything left out that only names or dates it.
    fn abstract_state(&self) -> u64 {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        for rollout in self.state.rollouts.values() {
            std::mem::discriminant(&rollout.phase).hash(&mut hasher);
            rollout.hold.as_ref().map(std::mem::discriminant).hash(&mut hasher);
            rollout.gates.len().hash(&mut hasher);
            let admission = &rollout.admission;
            let judged = admission.judged.as_ref().map(|judged| judged.level as u8);
            (judged, admission.given.len(), admission.waits.len(), admission.used.is_some()).hash(&mut hasher);
            for target in rollout.targets.values() {
                let direction = target.operation().map(|op| op.direction == Direction::Revert);
                (target.phase.name(), direction, target.failed, target.cancelling, target.reverts).hash(&mut hasher);
            }
        }
        for kill in self.state.kills.values() {
            (kill.kill.mode as u8, kill.acknowledged, kill.in_force()).hash(&mut hasher);
        }
        self.state.has_stale_work().hash(&mut hasher);
        hasher.finish()
    }
}

/// What the world is, for those records that claim something about it. Asked before the ledger is locked: the world tells its
/// witness, and the witness locks the ledger.
pub fn truths(world: &SimWorld, state: &State, events: &[Event]) -> Vec<Truth> {
    events.iter().map(|event| truth(world, state, event).unwrap_or_default()).collect()
}

fn truth(world: &SimWorld, state: &State, event: &Event) -> Option<Truth> {
    let claims = matches!(
        event,
        Event::RestorePointCaptured { .. } | Event::OperationEnded { .. } | Event::TargetSettled { .. }
    );
    if !claims {
        return None;
    }
    let rollout = state.rollouts.get(event.rollout()?)?;
    let planned = rollout.plan.targets.get(event.target()?)?;
    let record = world.stack(&planned.scope, &planned.stack);
    let token = rollout.targets.get(event.target()?)?.operation().map(|op| op.token.clone());
    let running = matches!(event, Event::OperationEnded { .. })
        && token.is_some_and(|token| is_running(world, &planned.scope, &planned.stack, &token));
    Some(Truth {
        content: record.as_ref().and_then(|r| r.content_digest().ok()),
        template: record.map(|r| r.template.digest().clone()),
        running,
    })
}

fn is_running(world: &SimWorld, scope: &Scope, stack: &StackName, token: &Token) -> bool {
    let events = world.events(scope, stack.as_str());
    let newest = events.iter().rev().find(|e| e.resource_type == "AWS::CloudFormation::Stack");
    newest.is_some_and(|e| e.token.as_ref() == Some(token) && e.status.ends_with("_IN_PROGRESS"))
}
