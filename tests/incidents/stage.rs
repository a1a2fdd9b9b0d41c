//! One world and the daemons that lead in it one after the other: the real engine, journal, issuer, leases and loop, in virtual time.

use crate::daemon::Daemon;
use crate::sim::{self, Change};
use crate::wire::{Wire, Wires};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use wavegate::cloud::sim::{CallRecord, Operation, SimOptions, SimWorld};
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::Fatal;
use wavegate::daemon::issuer::Objection;
use wavegate::daemon::kill_file;
use wavegate::journal::Journal;
use wavegate::model::event::{Direction, Event};
use wavegate::model::halt::{Hold, RevertReason};
use wavegate::model::ids::{CellId, Digest, Region, Seq, TargetId};
use wavegate::model::plan::{Plan, PlannedTarget};
use wavegate::model::state::State;
use wavegate::model::verdict::{Finding, Problem};

/// What is deployed before anything happens. Its one parameter matters, so that a change of it alone is a change.
pub const BASE: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 10, DelaySeconds: {Ref: Delay}}\n";
/// A good change.
pub const GOOD: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 30, DelaySeconds: {Ref: Delay}}\n";
/// Twenty seconds after its deployment nothing works any more.
pub const BAD: &str = "Metadata:\n  Sim:\n    Effects: [{Metric: 5xx, Factor: 400, After: 20}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31, DelaySeconds: {Ref: Delay}}\n";

/// A rollout of this template to so many cells a wave.
pub fn plan(waves: &[usize], template: &'static str) -> Plan {
    sim::plan(waves, &Change::update(template))
}

pub struct Stage {
    pub world: SimWorld,
    pub wires: Wires,
    dir: tempfile::TempDir,
    clock: Clock,
    started: u32,
    objections: Arc<Mutex<Vec<Objection>>>,
}

impl Stage {
    /// A world with `BASE` in every cell of the plan, and a daemon that leads.
    pub async fn open(seed: u64, plan: &Plan, wires: Wires) -> (Self, Daemon) {
        let start = plan.created_at;
        let world = SimWorld::new(SimOptions { seed, start, ..SimOptions::default() });
        for target in plan.targets.values() {
            let parameters = BTreeMap::from([("Delay".into(), "5".into())]);
            let tags = BTreeMap::from([("team".into(), "orders".into())]);
            world.add_stack(&target.scope, &target.stack, BASE, parameters, tags).unwrap();
            world.bind(&target.scope, target.cell.as_str(), target.stack.clone());
        }
        Self::of(world, start, wires).await
    }

    /// A daemon that leads in this world.
    pub async fn of(world: SimWorld, start: Timestamp, wires: Wires) -> (Self, Daemon) {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::world(start);
        let mut stage = Self { world, wires, dir, clock, started: 0, objections: Arc::default() };
        let daemon = stage.start().await.unwrap();
        (stage, daemon)
    }

    /// A daemon that leads, after the lease of one that stands still where there is one.
    pub async fn start(&mut self) -> Result<Daemon, Fatal> {
        self.started += 1;
        let wire = Wire::new(&self.world, &self.wires);
        Daemon::start(self.dir.path(), self.started, self.clock.clone(), wire, Arc::clone(&self.objections)).await
    }

    pub fn kill_file(&self) -> PathBuf {
        kill_file::path(self.dir.path())
    }

    /// What the issuer did not let out, since the start of the world.
    pub fn objections(&self) -> Vec<Objection> {
        self.objections.lock().unwrap().clone()
    }

    /// The durable record, with its times.
    pub fn record(&self) -> Vec<(Timestamp, Event)> {
        let entries = self.journal().entries_after(Seq(0), usize::MAX).unwrap();
        entries.into_iter().map(|entry| (entry.at, entry.event)).collect()
    }

    /// The state that a new daemon would begin with.
    pub fn state(&self) -> State {
        self.journal().replay().unwrap()
    }

    pub fn journal(&self) -> Journal {
        Journal::open_read_only(&self.dir.path().join("journal.db")).unwrap()
    }

    /// When the first such record was written.
    pub fn when(&self, is: impl Fn(&Event) -> bool) -> Option<Timestamp> {
        self.record().into_iter().find(|(_, event)| is(event)).map(|(at, _)| at)
    }

    /// Which record is the first such one.
    pub fn position(&self, is: impl Fn(&Event) -> bool) -> Option<usize> {
        self.record().iter().position(|(_, event)| is(event))
    }

    /// The holds on record, oldest first.
    pub fn holds(&self) -> Vec<Hold> {
        let held = |event| match event {
            Event::RolloutHeld { hold, .. } => Some(hold),
            _ => None,
        };
        self.record().into_iter().filter_map(|(_, event)| held(event)).collect()
    }

    /// Why the rollout went back, as it is on record.
    pub fn revert_reason(&self) -> Option<RevertReason> {
        self.record().into_iter().find_map(|(_, event)| match event {
            Event::RevertStarted { reason, .. } => Some(reason),
            _ => None,
        })
    }

    /// Operations that began at the provider in this direction: when, and on which target.
    pub fn began(&self, direction: Direction) -> Vec<(Timestamp, TargetId)> {
        let mut tokens = BTreeMap::new();
        for (_, event) in self.record() {
            if let Event::OperationIntended { target, operation, .. } = event {
                tokens.insert(operation.token.clone(), (operation.direction, target));
            }
        }
        let mut began: Vec<_> = self
            .world
            .calls()
            .iter()
            .filter(|call| call.took_effect)
            .filter_map(|call| {
                let (way, target) = tokens.get(call.token.as_ref()?)?;
                let starts = matches!(call.operation, Operation::ExecuteChangeSet | Operation::DeleteStack);
                (starts && *way == direction).then(|| Some((call.acted_at?, target.clone())))?
            })
            .collect();
        began.sort();
        began
    }

    /// The targets that a forward operation began on.
    pub fn touched(&self) -> BTreeSet<TargetId> {
        self.began(Direction::Forward).into_iter().map(|(_, target)| target).collect()
    }

    pub fn calls(&self, operation: Operation) -> Vec<CallRecord> {
        self.world.calls().into_iter().filter(|call| call.operation == operation).collect()
    }

    pub fn template(&self, plan: &Plan, target: &TargetId) -> String {
        let planned = &plan.targets[target];
        self.world.stack(&planned.scope, &planned.stack).unwrap().template.body().to_owned()
    }

    /// The targets whose stack has this template now.
    pub fn with_template(&self, plan: &Plan, template: &str) -> BTreeSet<TargetId> {
        plan.targets.keys().filter(|id| self.template(plan, id) == template).cloned().collect()
    }

    /// Template, parameters, tags and role of every stack of the plan.
    pub fn contents(&self, plan: &Plan) -> BTreeMap<TargetId, Digest> {
        let content = |t: &PlannedTarget| self.world.stack(&t.scope, &t.stack).unwrap().content_digest().unwrap();
        plan.targets.iter().map(|(id, t)| (id.clone(), content(t))).collect()
    }
}

/// The targets of these waves.
pub fn targets(plan: &Plan, waves: &[usize]) -> BTreeSet<TargetId> {
    plan.targets.iter().filter(|(_, t)| waves.contains(&t.wave)).map(|(id, _)| id.clone()).collect()
}

/// The regions of the plan.
pub fn regions(plan: &Plan) -> BTreeSet<Region> {
    plan.targets.values().map(|t| t.scope.region.clone()).collect()
}

/// True when an operation of the wave runs at the provider.
pub fn runs(state: &State, wave: usize) -> bool {
    state.rollouts.values().any(|r| r.wave_states(wave).any(|t| t.phase.name() == "running"))
}

/// The cells of the breaches among these findings.
pub fn breached(findings: &[Finding]) -> BTreeSet<CellId> {
    let breach = |f: &&Finding| matches!(f.problem, Problem::Breach { .. });
    findings.iter().filter(breach).filter_map(|f| f.cell.clone()).collect()
}
