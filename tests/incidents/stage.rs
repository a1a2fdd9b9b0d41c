//! One world and the daemons that lead in it one after the other: the real engine, journal, issuer, leases and loop, in virtual time.

use crate::sim::{self, Change};
use crate::wire::{Wire, Wires};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use wavegate::cloud::sim::{CallRecord, Operation, SimOptions, SimWorld};
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::{Core, Fatal};
use wavegate::daemon::driver::{Driver, Orders};
use wavegate::daemon::issuer::Objection;
use wavegate::daemon::{kill_file, leader};
use wavegate::engine::decide::Input;
use wavegate::journal::Journal;
use wavegate::model::event::{Direction, Event, Outcome};
use wavegate::model::halt::{Hold, Kill, KillDoor, KillMode, KillScope, RevertReason};
use wavegate::model::ids::{CellId, Digest, Region, RolloutId, Seq, TargetId};
use wavegate::model::plan::{Plan, PlannedTarget};
use wavegate::model::state::State;
use wavegate::model::verdict::{Finding, Problem};

/// What is deployed before anything happens. Its one parameter matters, so that a change of it alone is a change.
pub const BASE: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 10, DelaySeconds: {Ref: Delay}}\n";
/// A good change.
pub const GOOD: &str = "Parameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 30, DelaySeconds: {Ref: Delay}}\n";
/// Twenty seconds after its deployment nothing works any more.
pub const BAD: &str = "Metadata:\n  Sim:\n    Effects: [{Metric: 5xx, Factor: 400, After: 20}]\nParameters:\n  Delay: {Type: Number, Default: 0}\nResources:\n  Queue:\n    Type: AWS::SQS::Queue\n    Properties: {VisibilityTimeout: 31, DelaySeconds: {Ref: Delay}}\n";

/// How long a story may take, in virtual time: the longest bake given up, and a revert.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// A rollout of this template to so many cells a wave.
pub fn plan(waves: &[usize], template: &'static str) -> Plan {
    sim::plan(waves, &Change::update(template))
}

/// One daemon.
pub struct Daemon {
    pub orders: Orders,
    task: JoinHandle<Result<(), Fatal>>,
    gate: Arc<Gate>,
    seq: watch::Receiver<u64>,
}

/// Lets a process stand still, as SIGSTOP or a paused machine does.
#[derive(Default)]
struct Gate {
    closed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Daemon {
    /// Ends it at once, as `kill -9` does.
    pub async fn kill_9(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn stand_still(&self, still: bool) {
        self.gate.closed.store(still, Ordering::Relaxed);
        if let Some(waker) = self.gate.waker.lock().unwrap().take().filter(|_| !still) {
            waker.wake();
        }
    }

    /// Why it ended.
    pub async fn end(self) -> Result<(), Fatal> {
        self.task.await.expect("it ends by itself")
    }

    /// Waits until record `at` is written; false when nothing is written any more.
    pub async fn reaches(&mut self, at: u64) -> bool {
        tokio::time::timeout(PATIENCE, self.seq.wait_for(|seq| *seq >= at)).await.is_ok_and(|found| found.is_ok())
    }
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
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::world(start);
        let mut stage = Self { world, wires, dir, clock, started: 0, objections: Arc::default() };
        let daemon = stage.start().await.unwrap();
        (stage, daemon)
    }

    /// A daemon that leads, after the lease of one that stands still where there is one.
    pub async fn start(&mut self) -> Result<Daemon, Fatal> {
        self.started += 1;
        let gate = Arc::new(Gate::default());
        let (wrote, seq) = watch::channel(0);
        let (ready, orders) = oneshot::channel();
        let life = live(
            self.dir.path().to_owned(),
            self.started,
            self.clock.clone(),
            ready,
            Observed { wire: Wire::new(&self.world, &self.wires), wrote, objections: Arc::clone(&self.objections) },
        );
        let task = tokio::spawn(stoppable(Box::pin(life), Arc::clone(&gate)));
        match orders.await {
            Ok(orders) => Ok(Daemon { orders, task, gate, seq }),
            Err(_) => Err(task.await.expect("it says why").expect_err("it did not come up")),
        }
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

/// Orders and waiting.
impl Daemon {
    pub async fn propose(&self, plan: &Plan) {
        let (plan, digest) = (Arc::new(plan.clone()), plan.digest().unwrap());
        self.input(Input::Propose { plan, digest, by: "test".into() }).await;
    }

    pub async fn input(&self, input: Input) {
        self.orders.input(input).await.unwrap().unwrap();
    }

    pub async fn send_back(&self, rollout: &str) {
        self.input(Input::Revert { rollout: rollout.into(), by: "on-call".into() }).await;
    }

    /// A stop order for everything, over the socket.
    pub async fn kill(&self, mode: KillMode) {
        self.input(Input::Kill(Kill {
            id: "k-1".into(),
            scope: KillScope::All,
            mode,
            by: "on-call".into(),
            door: KillDoor::Cli,
            at: Timestamp::UNIX_EPOCH,
            reason: String::new(),
        }))
        .await;
    }

    /// Looks often, until it is so. False when it does not come to that.
    pub async fn comes_to(&self, is: impl Fn(&State) -> bool + Send + Sync + Clone + 'static) -> bool {
        let looks = async {
            loop {
                let is = is.clone();
                match self.orders.look(move |core| is(core.state())).await {
                    Ok(true) => return true,
                    Ok(false) => tokio::time::sleep(Duration::from_millis(100)).await,
                    Err(_) => return false,
                }
            }
        };
        tokio::time::timeout(PATIENCE, looks).await.unwrap_or(false)
    }

    pub async fn until(&self, what: &str, is: impl Fn(&State) -> bool + Send + Sync + Clone + 'static) {
        if !self.comes_to(is).await {
            let state = self.orders.look(|core| stand(core.state())).await;
            panic!("{what}: did not happen; {state:?}");
        }
    }

    /// Until the rollout has ended.
    pub async fn outcome(&self, rollout: &str) -> Outcome {
        let id = RolloutId::new(rollout);
        let of = id.clone();
        self.until("the end", move |state| state.rollouts[&of].is_ended()).await;
        self.orders.look(move |core| core.state().rollouts[&id].outcome()).await.unwrap().unwrap()
    }

    /// Until the rollout waits for a person.
    pub async fn hold(&self, rollout: &str) -> Hold {
        let id = RolloutId::new(rollout);
        let of = id.clone();
        self.until("a hold", move |state| state.rollouts[&of].hold.is_some()).await;
        self.orders.look(move |core| core.state().rollouts[&id].hold.clone()).await.unwrap().unwrap()
    }
}

fn stand(state: &State) -> String {
    let of = |r: &wavegate::model::state::Rollout| {
        let targets: Vec<_> = r.targets.iter().map(|(id, t)| format!("{id} {}", t.phase.name())).collect();
        format!("{:?} {:?} {targets:?}", r.phase, r.hold)
    };
    state.rollouts.values().map(of).collect::<Vec<_>>().join("; ")
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

struct Observed {
    wire: Wire,
    wrote: watch::Sender<u64>,
    objections: Arc<Mutex<Vec<Objection>>>,
}

async fn live(
    dir: PathBuf,
    number: u32,
    clock: Clock,
    ready: oneshot::Sender<Orders>,
    observed: Observed,
) -> Result<(), Fatal> {
    let lead = leader::take_as(&dir, format!("daemon {number}")).await.expect("the state directory can be had");
    let file = Some(kill_file::path(&dir));
    let core = Core::new(lead.journal, &lead.holder, file.clone(), clock.now())?;
    let (driver, orders) = Driver::new(core, Arc::new(observed.wire), clock, file);
    let _ = ready.send(orders);
    let (wrote, objections) = (observed.wrote, observed.objections);
    let mut observer = |core: &mut Core, _| {
        drop(core.take_fresh());
        objections.lock().unwrap().extend(core.objections().iter().map(|(_, objection)| objection.clone()));
        wrote.send_replace(core.seq().0);
    };
    driver.run(&mut observer).await
}

type Life = Pin<Box<dyn Future<Output = Result<(), Fatal>> + Send>>;

async fn stoppable(mut life: Life, gate: Arc<Gate>) -> Result<(), Fatal> {
    std::future::poll_fn(move |cx| {
        if gate.closed.load(Ordering::Relaxed) {
            *gate.waker.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        life.as_mut().poll(cx)
    })
    .await
}
