//! A daemon over the embedded world, driven step by step.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test; each file uses its part"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wavegate::cloud::sim::{CallOutcome, Operation, SimOptions, SimWorld};
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::Core;
use wavegate::daemon::driver::{Driver, Orders};
use wavegate::engine::decide::Input;
use wavegate::journal::Journal;
use wavegate::model::change_set::Action;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::ids::{CellId, Digest, StackName, TargetId};
use wavegate::model::pipeline::*;
use wavegate::model::plan::*;
use wavegate::model::stack::{Scope, StackStatus, Template};
use wavegate::model::time::Millis;

pub const V1: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 10}\n";
pub const V2: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 30}\n  Dead:\n    Type: AWS::SQS::Queue\n";
pub const V2_BAD: &str = "Metadata:\n  Sim:\n    Effects: [{Metric: 5xx, Factor: 400, After: 20}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31}\n";
pub const V2_FAILS: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 32, FailUpdate: true}\n";

pub struct Change {
    pub action: Action,
    pub template: &'static str,
}

impl Change {
    pub fn update(template: &'static str) -> Self {
        Self { action: Action::Update, template }
    }
    pub fn create(template: &'static str) -> Self {
        Self { action: Action::Create, template }
    }
}

pub struct Harness {
    pub world: SimWorld,
    clock: Clock,
    journal: PathBuf,
    _dir: tempfile::TempDir,
    waves: Vec<usize>,
    orders: Orders,
    task: tokio::task::JoinHandle<()>,
    plan: Option<Plan>,
}

const START: &str = "2026-11-21T08:00:00Z";

impl Harness {
    pub async fn new(seed: u64, waves: &[usize]) -> Self {
        let start: jiff::Timestamp = START.parse().unwrap();
        let world = SimWorld::new(SimOptions { seed, start, ..SimOptions::default() });
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal.db");
        let clock = Clock::world(start);
        let harness_cells: usize = waves.iter().sum();
        for n in 0..harness_cells {
            let cell = cell(n);
            let (scope, stack) = (cell.scope(), cell.stacks.values().next().unwrap().clone());
            world
                .add_stack(
                    &scope,
                    &stack,
                    V1,
                    BTreeMap::from([("Delay".into(), "5".into())]),
                    BTreeMap::from([("team".into(), "orders".into())]),
                )
                .unwrap();
            world.bind(&scope, cell.name.as_str(), stack);
        }
        let (orders, task) = start_daemon(&journal, &world, clock.clone(), None);
        Self { world, clock, journal, _dir: dir, waves: waves.to_vec(), orders, task, plan: None }
    }

    pub fn cells(&self) -> Vec<CellId> {
        (0..self.waves.iter().sum()).map(|n| cell(n).name).collect()
    }

    pub fn place(&self, id: &CellId) -> (Scope, StackName) {
        let cell = (0..).map(cell).find(|c| c.name == *id).unwrap();
        (cell.scope(), cell.stacks.values().next().unwrap().clone())
    }

    pub fn template(&self, id: &CellId) -> String {
        let (scope, stack) = self.place(id);
        self.world.stack(&scope, &stack).unwrap().template.body().to_owned()
    }

    pub fn content(&self, id: &CellId) -> Digest {
        let (scope, stack) = self.place(id);
        self.world.stack(&scope, &stack).unwrap().content_digest().unwrap()
    }

    pub fn edit(&self, id: &CellId, template: &str) {
        let (scope, stack) = self.place(id);
        self.world.edit_stack(&scope, &stack, template, BTreeMap::from([("Delay".into(), "5".into())])).unwrap();
    }

    /// A person deletes the cell's stack.
    pub fn remove(&self, id: &CellId) {
        let (scope, stack) = self.place(id);
        assert!(self.world.remove_stack(&scope, &stack));
    }

    pub fn created_stacks(&self) -> Vec<StackName> {
        let plan = self.plan.as_ref().unwrap();
        plan.targets
            .values()
            .filter(|t| t.action == Action::Create)
            .filter(|t| {
                self.world.stack(&t.scope, &t.stack).is_some_and(|s| s.view.status != StackStatus::DeleteComplete)
            })
            .map(|t| t.stack.clone())
            .collect()
    }

    pub async fn propose(&mut self, change: Change) {
        self.propose_plan(plan(&self.waves, &change)).await;
    }

    pub async fn propose_plan(&mut self, plan: Plan) {
        let digest = plan.digest().unwrap();
        self.plan = Some(plan.clone());
        for target in plan.targets.values().filter(|t| t.action == Action::Create) {
            self.world.bind(&target.scope, target.cell.as_str(), target.stack.clone());
        }
        self.orders
            .input(Input::Propose { plan: Arc::new(plan), digest, by: "test".into(), handed_in: None })
            .await
            .unwrap()
            .unwrap();
    }

    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    pub async fn input(&self, input: Input) {
        self.orders.input(input).await.unwrap().unwrap();
    }

    pub async fn try_input(&self, input: Input) -> Result<(), wavegate::engine::decide::Refusal> {
        self.orders.input(input).await.unwrap()
    }

    pub async fn run_until(&mut self, until: impl Fn(&Core) -> bool + Send + Sync + Clone + 'static) {
        for _ in 0..200_000 {
            let until = until.clone();
            if self.orders.look(move |core| until(core)).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        let stuck = self
            .orders
            .look(|core| {
                format!(
                    "{:#?}",
                    core.state()
                        .rollouts
                        .values()
                        .map(|r| (
                            &r.phase,
                            &r.hold,
                            r.targets.iter().map(|(id, t)| (id.clone(), t.phase.name())).collect::<Vec<_>>()
                        ))
                        .collect::<Vec<_>>()
                )
            })
            .await
            .unwrap();
        panic!("did not happen: {stuck}");
    }

    pub async fn run_for(&mut self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    pub async fn run_to_end(&mut self) -> Outcome {
        self.run_until(|core| core.state().rollouts.values().all(|r| r.is_ended())).await;
        let outcome =
            self.orders.look(|core| core.state().rollouts.values().next().unwrap().outcome().unwrap()).await.unwrap();
        // Replay gives the same state (S19).
        let journal = Journal::open_read_only(&self.journal).unwrap();
        let replayed = journal.replay().unwrap();
        let same = self.orders.look(move |core| *core.state() == replayed).await.unwrap();
        assert!(same, "replay differs");
        outcome
    }

    pub fn outcome(&self) -> Option<Outcome> {
        Journal::open_read_only(&self.journal).unwrap().replay().unwrap().rollouts.values().next().unwrap().outcome()
    }

    /// Copies the journal as a daemon that ended in order leaves it: one packed file, in WAL mode.
    pub fn copy_journal(&self, to: &std::path::Path) {
        let db = rusqlite::Connection::open(&self.journal).unwrap();
        db.execute("VACUUM INTO ?", [to.to_str().unwrap()]).unwrap();
        let copy = rusqlite::Connection::open(to).unwrap();
        let mode: String = copy.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    pub fn seq(&self) -> u64 {
        self.events().len() as u64
    }

    pub fn events(&self) -> Vec<Event> {
        let journal = Journal::open_read_only(&self.journal).unwrap();
        journal.entries_after(wavegate::model::ids::Seq(0), usize::MAX).unwrap().into_iter().map(|e| e.event).collect()
    }

    /// Ends the daemon, calls in flight and all, as soon as record `at` is written, and starts another one.
    pub async fn crash_at(&mut self, at: u64) {
        for _ in 0..200_000 {
            if self.orders.look(move |core| core.seq().0 >= at).await.unwrap() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        self.crash().await;
    }

    pub async fn crash(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
        let (orders, task) = start_daemon(&self.journal, &self.world, self.clock.clone(), None);
        self.orders = orders;
        self.task = task;
    }

    pub fn calls(&self, operation: Operation) -> usize {
        self.world.calls().iter().filter(|c| c.operation == operation).count()
    }

    fn executions(&self) -> BTreeMap<String, Direction> {
        let mut tokens = BTreeMap::new();
        for event in self.events() {
            if let Event::OperationIntended { operation, .. } = event {
                tokens.insert(operation.token.to_string(), operation.direction);
            }
        }
        tokens
    }

    pub fn forward_executions_after(&self, at: jiff::Timestamp) -> usize {
        let directions = self.executions();
        self.world
            .calls()
            .iter()
            .filter(|c| c.operation == Operation::ExecuteChangeSet && c.at > at)
            .filter(|c| c.token.as_ref().and_then(|t| directions.get(t.as_str())) == Some(&Direction::Forward))
            .count()
    }

    pub fn assert_executed_once_per_token(&self) {
        let mut seen = BTreeSet::new();
        for call in self.world.calls().iter().filter(|c| {
            c.operation == Operation::ExecuteChangeSet
                && c.took_effect
                && matches!(c.outcome, CallOutcome::Ok | CallOutcome::Pending)
        }) {
            assert!(seen.insert(call.token.clone()), "executed twice: {call:?}");
        }
    }

    /// No change set of ours is left that could still be executed. The provider keeps the executed ones on show.
    pub fn assert_no_leftovers(&self) {
        let calls = self.world.calls();
        let executed: BTreeSet<String> = calls
            .iter()
            .filter(|c| c.operation == Operation::ExecuteChangeSet && c.took_effect)
            .filter_map(|c| c.change_set.clone())
            .collect();
        for cell in self.cells() {
            let (scope, stack) = self.place(&cell);
            let left: Vec<String> = self
                .world
                .change_sets(&scope, &stack)
                .into_iter()
                .filter(|name| !executed.iter().any(|arn| arn.contains(name.as_str())))
                .collect();
            assert!(left.is_empty(), "{cell}: {left:?}");
        }
    }

    pub fn assert_reverted_last_wave_first(&self) {
        let plan = self.plan.as_ref().unwrap();
        let mut lowest = usize::MAX;
        for event in self.events() {
            if let Event::OperationIntended { target, operation, .. } = &event
                && operation.direction == Direction::Revert
            {
                let wave = plan.targets[target].wave;
                assert!(wave <= lowest, "wave {wave} after {lowest}");
                lowest = wave;
            }
        }
    }
}

fn start_daemon(
    journal: &std::path::Path,
    world: &SimWorld,
    clock: Clock,
    kill: Option<PathBuf>,
) -> (Orders, tokio::task::JoinHandle<()>) {
    let mut journal = Journal::open(journal).unwrap();
    let seen = journal.lease().unwrap();
    journal.take_lead(seen.as_ref(), "test").unwrap();
    let core = Core::new(journal, "test", kill.clone(), clock.now()).unwrap();
    let (driver, orders) = Driver::new(core, Arc::new(world.clone()), clock, kill);
    let task = tokio::spawn(async move {
        let mut quiet = |core: &mut Core, _| drop(core.take_fresh());
        driver.run(&mut quiet).await.unwrap();
    });
    (orders, task)
}

fn cell(n: usize) -> Cell {
    let regions = ["eu-west-1", "us-east-1", "ap-southeast-2"];
    Cell {
        name: format!("cell-{n:02}").into(),
        account: "111111111111".into(),
        region: regions[n % 3].into(),
        environment: "production".into(),
        role: None,
        traffic_share: 1.0,
        stacks: BTreeMap::from([("orders".into(), format!("orders-{n:02}").into())]),
        attributes: BTreeMap::new(),
    }
}

pub fn plan(waves: &[usize], change: &Change) -> Plan {
    let template = Template::new(change.template);
    let mut plan = Plan {
        rollout: "r-test".into(),
        change_set: PlannedChangeSet {
            digest: Digest::of_bytes(b"x"),
            agent: "agent".into(),
            title: "t".into(),
            reasoning: "r".into(),
        },
        pipeline: PipelineRef { name: "test".into(), digest: Digest::of_bytes(b"p") },
        created_at: START.parse().unwrap(),
        look_only: false,
        templates: BTreeMap::from([(template.digest().clone(), template.clone())]),
        cells: BTreeMap::new(),
        waves: Vec::new(),
        targets: BTreeMap::new(),
        health: health(),
        repairs: BTreeSet::new(),
        revert: RevertPolicy {
            on_failure: OnFailure::Revert,
            max_concurrent_percent: 50.0,
            irreversible: Irreversible::Refuse,
            continue_rollback_attempts: 3,
            operation_deadline: Millis::from_secs(3600),
        },
        proposer: None,
        safeguards: None,
    };
    let mut next = 0;
    for (index, size) in waves.iter().enumerate() {
        let mut ids = Vec::new();
        for n in next..next + size {
            let cell = cell(n);
            let id = TargetId::of(&cell.name, &"orders".into());
            let stack = match change.action {
                Action::Create => StackName::new(format!("new-{n:02}")),
                _ => cell.stacks.values().next().unwrap().clone(),
            };
            plan.targets.insert(
                id.clone(),
                PlannedTarget {
                    cell: cell.name.clone(),
                    environment: cell.environment.clone(),
                    key: "orders".into(),
                    stack,
                    scope: cell.scope(),
                    wave: index,
                    order: 0,
                    action: change.action,
                    template: Some(template.digest().clone()),
                    declared: Some(BTreeSet::from(["Delay".into()])),
                    parameters: BTreeMap::new(),
                    tags: None,
                    capabilities: BTreeSet::new(),
                },
            );
            plan.cells.insert(cell.name.clone(), cell);
            ids.push(id);
        }
        next += size;
        plan.waves.push(PlannedWave {
            name: format!("wave-{index}"),
            one_box: index == 0,
            targets: ids,
            max_concurrent: 2,
            failure_tolerance: 0,
            regions: RegionOrder::Parallel,
            bake: Millis::from_secs(180),
            bake_datapoints: 2,
            max_bake: Millis::from_secs(900),
        });
    }
    plan
}

fn health() -> Health {
    Health {
        interval: Millis::from_secs(15),
        settle: Millis(0),
        lag: Some(Millis(0)),
        metrics: vec![Metric {
            name: "errors".into(),
            source: MetricSource::Metric(StatTemplate {
                namespace: "Orders".into(),
                name: "5xx".into(),
                dimensions: BTreeMap::from([("Cell".into(), "{cell}".into())]),
                statistic: "Average".into(),
                unit: None,
            }),
            period_s: 60,
            fail_when: Some(Threshold { op: Comparison::Above, value: 5.0 }),
            datapoints_to_alarm: 1,
            evaluation_periods: 2,
            missing_data: MissingData::Hold,
            min_samples: 0,
            scope: wavegate::model::pipeline::MetricScope::Cell,
            compare: None,
            detect: None,
        }],
        alarms: vec![],
        compare: None,
        prometheus: None,
    }
}
