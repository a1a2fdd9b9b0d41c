//! One run: the change sets come in, the disturbances happen at their times, then all faults stop and everything must settle.

use super::invariants;
use super::ledger::{Promise, Violation};
use super::process::{Process, Setup};
use super::scenario::{self, Disturbance, Kind, Scenario, V1, When};
use super::stage::{Shared, WritePlan};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wavegate::cloud::sim::{Fault, MetricFault, Operation, SimOptions, SimWorld};
use wavegate::daemon::driver::Orders;
use wavegate::engine::decide::{Input, Refusal};
use wavegate::journal::Journal;
use wavegate::model::event::Outcome;
use wavegate::model::halt::{Kill, KillDoor, KillMode, KillScope, RevertReason};
use wavegate::model::ids::{KillId, RolloutId, StackName};
use wavegate::model::plan::Plan;
use wavegate::model::stack::Scope;
use wavegate::model::stack::StackStatus;

/// After the faults have stopped, everything must have settled within this much virtual time.
const SETTLE: Duration = Duration::from_secs(4 * 3600);
/// How often a person looks in while it settles.
const LOOK_IN: Duration = Duration::from_secs(60);

/// How a run is made, besides its seed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Writes that go wrong by plan.
    pub writes: WritePlan,
    /// Keep the journal of a run that violates something here.
    pub keep: Option<PathBuf>,
}

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Ended {
    pub seed: u64,
    pub violations: Vec<Violation>,
    pub steps: u64,
    pub rollouts: u64,
    pub writes: u64,
    pub outcomes: BTreeMap<String, u64>,
    pub faults: BTreeMap<String, u64>,
    pub covered: HashSet<u64>,
    /// A digest of every record: the same for the same seed and commit.
    pub fingerprint: String,
}

/// Runs one scenario in a runtime of its own.
pub fn run(scenario: &Scenario, options: &Options) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let root = tempfile::Builder::new().prefix("wavegate-simulation-").tempdir_in(fast_directory()).unwrap();
    runtime.block_on(async {
        let mut run = Run::new(scenario, root.path(), options);
        run.play().await;
        run.settle().await;
        run.end(options).await
    })
}

/// Memory-backed where there is such a place: the simulation tears its files itself.
fn fast_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

struct Run<'a> {
    scenario: &'a Scenario,
    shared: Arc<Shared>,
    processes: Vec<Process>,
    started: u32,
    kills: u32,
    proposed: Vec<RolloutId>,
    refused: u64,
    agenda: VecDeque<(Duration, Item)>,
    /// What keeps the daemon from its work now.
    disruptions: u32,
    root: PathBuf,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, root: &Path, options: &Options) -> Self {
        let start = scenario::START.parse().unwrap();
        let world = SimWorld::new(SimOptions {
            seed: scenario.seed,
            start,
            update_duration: scenario.update_duration.clone(),
            fault_rate: scenario.rates.world,
            ..SimOptions::default()
        });
        let state = root.join("state-0");
        std::fs::create_dir_all(&state).unwrap();
        let shared = Arc::new(Shared::new(scenario, world.clone(), &state, options.writes.clone()));
        add_stacks(scenario, &world);
        make_late(scenario, &world);
        let witness = Arc::downgrade(&shared);
        world.set_witness(Box::new(move |act| {
            if let Some(shared) = witness.upgrade() {
                invariants::acted(&mut shared.ledger(), act);
            }
        }));
        let mut run = Self {
            scenario,
            shared,
            processes: Vec::new(),
            started: 0,
            kills: 0,
            proposed: Vec::new(),
            refused: 0,
            agenda: VecDeque::new(),
            disruptions: 0,
            root: root.to_owned(),
        };
        run.start_daemon(false);
        if scenario.standby {
            run.start_daemon(true);
        }
        run.quiet(true);
        run
    }

    fn start_daemon(&mut self, standby: bool) {
        self.started += 1;
        let process = Process::start(Setup {
            shared: Arc::clone(&self.shared),
            rates: self.scenario.rates,
            seed: self.scenario.seed.wrapping_mul(31).wrapping_add(u64::from(self.started)),
            kill_file: self.scenario.kill_file,
            number: self.started,
            standby,
        });
        self.processes.push(process);
    }

    /// Notes since when nothing keeps the daemon from its work.
    fn quiet(&mut self, quiet: bool) {
        self.disruptions = if quiet { self.disruptions.saturating_sub(1) } else { self.disruptions + 1 };
        let now = self.shared.world().wall();
        self.shared.ledger().undisturbed_since = (self.disruptions == 0).then_some(now);
    }

    fn leader(&self) -> Option<Orders> {
        self.processes.iter().find_map(Process::orders)
    }

    /// Hands an input in; none: nobody took it in time, and nothing is known of it.
    async fn order(&self, input: Input) -> Option<Result<(), Refusal>> {
        let orders = self.leader()?;
        tokio::time::timeout(Duration::from_secs(2), orders.input(input)).await.ok()?.ok()
    }

    async fn play(&mut self) {
        let mut agenda: Vec<(Duration, Item)> = Vec::new();
        agenda.extend(self.scenario.proposals.iter().enumerate().map(|(n, p)| (p.at, Item::Propose(n))));
        agenda.extend(self.scenario.disturbances.iter().filter_map(|(when, d)| match when {
            When::At(at) => Some((*at, Item::Begin(d.clone()))),
            _ => None,
        }));
        agenda.sort_by_key(|(at, _)| *at);
        self.agenda = agenda.into();
        // Half an hour at most; a run that is over earlier has nothing left to disturb.
        let end = Duration::from_secs(1_800);
        while self.shared.elapsed() < end {
            let next = self.agenda.front().map(|(at, _)| *at);
            // What waits for a record has so long to come.
            let until = next.unwrap_or(if self.shared.waits() { end } else { Duration::ZERO });
            if next.is_none() && (until.is_zero() || self.is_idle()) {
                return;
            }
            self.wait_until(until.min(self.shared.elapsed() + Duration::from_secs(30))).await;
            if let Some((_, item)) = self.agenda.pop_front_if(|(at, _)| *at <= self.shared.elapsed()) {
                self.go_through(item).await;
            }
        }
    }

    /// Nothing is under way and nothing will come.
    fn is_idle(&self) -> bool {
        self.shared.elapsed() > Duration::from_secs(60) && self.open().is_empty()
    }

    async fn go_through(&mut self, item: Item) {
        if let Some((after, next)) = self.happen(item).await {
            let at = self.shared.elapsed() + after;
            let place = self.agenda.partition_point(|(other, _)| *other <= at);
            self.agenda.insert(place, (at, next));
        }
    }

    /// Lets time pass, and starts a daemon anew where one has ended by itself: somebody supervises it.
    async fn wait_until(&mut self, at: Duration) {
        while self.shared.elapsed() < at {
            let left = at.saturating_sub(self.shared.elapsed());
            tokio::select! {
                () = tokio::time::sleep(left.min(Duration::from_secs(5))) => {}
                () = self.shared.fired() => {}
            }
            for disturbance in self.shared.take_due() {
                self.go_through(Item::Begin(disturbance)).await;
            }
            self.supervise();
        }
    }

    fn supervise(&mut self) {
        let before = self.processes.len();
        self.processes.retain(|p| !p.is_over());
        for _ in self.processes.len()..before {
            self.quiet(false);
            self.shared.ledger().leaderless_since = None;
            self.start_daemon(false);
            self.quiet(true);
        }
    }

    async fn happen(&mut self, item: Item) -> Option<(Duration, Item)> {
        match item {
            Item::Propose(n) => {
                self.propose(n).await;
                None
            }
            Item::Begin(disturbance) => {
                self.shared.ledger().steps += 1;
                self.shared.count_named(disturbance.name());
                self.disturb(disturbance).await
            }
            Item::End(disturbance) => {
                self.mend(&disturbance);
                None
            }
            Item::Restart(dead) => {
                for _ in 0..dead {
                    self.start_daemon(false);
                }
                self.quiet(true);
                None
            }
        }
    }

    async fn propose(&mut self, n: usize) {
        let proposal = &self.scenario.proposals[n];
        let plan = proposal.plan.clone();
        let digest = plan.digest().unwrap();
        let world = self.shared.world();
        for target in plan.targets.values().filter(|_| proposal.kind == Kind::Creates) {
            world.bind(&target.scope, target.cell.as_str(), target.stack.clone());
        }
        let rollout = plan.rollout.clone();
        match self.order(Input::Propose { plan: Arc::new(plan), digest, by: "agent".into() }).await {
            Some(Ok(())) => {
                self.shared.ledger().promised.push(Promise::Rollout(rollout.clone()));
                self.proposed.push(rollout);
            }
            Some(Err(_)) => self.refused += 1,
            None => {}
        }
    }

    async fn disturb(&mut self, disturbance: Disturbance) -> Option<(Duration, Item)> {
        use Disturbance as D;
        let world = self.shared.world();
        let ends = |after: Duration, what: &D| Some((after, Item::End(what.clone())));
        match &disturbance {
            D::Edit(n) => {
                let (scope, stack) = place(*n);
                let template =
                    V1.replace("VisibilityTimeout: 10", &format!("VisibilityTimeout: {}", 40_000 + self.kills));
                self.kills += 1;
                let values = BTreeMap::from([("Delay".into(), "7".into())]);
                // CloudFormation refuses a person's update while another one goes on.
                let done = world.edit_stack(&scope, &stack, &template, values).is_ok();
                self.edited((done, true), &scope, stack, &world);
                None
            }
            D::Remove(n) => {
                let (scope, stack) = place(*n);
                let done = world.remove_stack(&scope, &stack);
                self.edited((done, false), &scope, stack, &world);
                None
            }
            D::Stick(n, span) => {
                let (scope, stack) = place(*n);
                world.stick(&scope, &stack);
                ends(*span, &disturbance)
            }
            D::Vanish(n) => {
                let (scope, stack) = place(*n);
                for name in world.change_sets(&scope, &stack) {
                    world.vanish_change_set(&scope, &stack, &name);
                }
                None
            }
            D::Alter(n) => {
                let (scope, stack) = place(*n);
                for name in world.change_sets(&scope, &stack) {
                    world.alter_change_set(&scope, &stack, &name);
                }
                let now = world.wall();
                self.shared.ledger().altered.insert(stack, now);
                None
            }
            D::UnknownStatus(n, span) => {
                let (scope, stack) = place(*n);
                let settled = world.stack(&scope, &stack).is_some_and(|r| r.view.status.is_settled_complete());
                if settled {
                    world.set_status(&scope, &stack, StackStatus::from("REIMAGINE_IN_REVIEW"), None);
                    self.edited((true, false), &scope, stack, &world);
                }
                ends(*span, &disturbance).filter(|_| settled)
            }
            D::Outage(region, outage, span) => {
                world.set_outage(&(*region).into(), Some(*outage));
                self.quiet(false);
                ends(*span, &disturbance)
            }
            D::Expired(span) => {
                self.shared.set_expired(true);
                self.quiet(false);
                ends(*span, &disturbance)
            }
            D::Metric(n, fault, span) => {
                self.break_metric(*n, *fault, &world);
                ends(*span, &disturbance)
            }
            D::ClockJump(ms) => {
                self.processes.iter().for_each(|p| p.set_clock(*ms));
                self.quiet(false);
                None
            }
            D::Stall(span) => {
                // The one that leads; a standby must take over.
                if let Some(process) = self.processes.iter().find(|p| p.orders().is_some()) {
                    process.stand_still(true);
                }
                self.quiet(false);
                self.lost_leader(&world);
                ends(*span, &disturbance)
            }
            D::Crash(pause) => {
                let index = self.processes.iter().position(|p| p.orders().is_some())?;
                self.processes.remove(index).kill().await;
                self.quiet(false);
                self.lost_leader(&world);
                Some((*pause, Item::Restart(1)))
            }
            D::Kill(mode, cell) => {
                self.kill(*mode, *cell).await;
                None
            }
            D::KillFile(mode, span) => {
                let file = wavegate::daemon::kill_file::path(&self.shared.directory());
                std::fs::write(file, format!("{mode}\n")).unwrap();
                ends(*span, &disturbance)
            }
            D::Lift => {
                self.lift().await;
                None
            }
            D::Pause => {
                if let Some(rollout) = self.proposed.last().cloned() {
                    self.order(Input::Pause { rollout, by: "ada".into() }).await;
                }
                None
            }
            D::Resume => {
                for rollout in self.proposed.clone() {
                    self.order(Input::Resume { rollout, by: "ada".into() }).await;
                }
                None
            }
            D::Revert => {
                if let Some(rollout) = self.proposed.first().cloned() {
                    self.order(Input::Revert { rollout, by: "ada".into() }).await;
                }
                None
            }
        }
    }

    /// Notes that a person touched a stack, and made its content theirs.
    fn edited(&self, (done, theirs): (bool, bool), scope: &Scope, stack: StackName, world: &SimWorld) {
        if done {
            let now = world.wall();
            let content = world.stack(scope, &stack).and_then(|r| r.content_digest().ok());
            let mut ledger = self.shared.ledger();
            ledger.of_persons.extend(content.filter(|_| theirs));
            ledger.edited.insert(stack, now);
        }
    }

    /// Notes that nobody leads any more, where somebody stands by who can.
    fn lost_leader(&self, world: &SimWorld) {
        let awake = self.processes.iter().any(|p| p.orders().is_none() && !p.is_over() && !p.stands_still());
        // With failing writes the newcomer may die too; then the time is not its own.
        let now = world.wall();
        let known = awake && self.scenario.rates.write == 0.0;
        self.shared.ledger().leaderless_since = known.then_some(now);
    }

    fn break_metric(&self, n: usize, fault: MetricFault, world: &SimWorld) {
        let cell = scenario::cell(n);
        let now = world.wall();
        let fault = match fault {
            MetricFault::MissingFrom(_) => MetricFault::MissingFrom(now),
            other => other,
        };
        world.break_metric(&cell.scope(), "5xx", Some(cell.name.as_str()), fault);
        // Points that are a little late, or good every other minute, may yet be what a short bake asks for.
        let mild = match fault {
            MetricFault::Late(by) => by < Duration::from_secs(360),
            MetricFault::Flapping => true,
            _ => false,
        };
        if !mild {
            self.shared.ledger().untrusted.entry(cell.name).or_insert(now);
        }
    }

    fn mend(&mut self, disturbance: &Disturbance) {
        use Disturbance as D;
        let world = self.shared.world();
        match disturbance {
            D::Stick(n, _) => {
                let (scope, stack) = place(*n);
                world.unstick(&scope, &stack);
            }
            D::UnknownStatus(n, _) => {
                let (scope, stack) = place(*n);
                if world.stack(&scope, &stack).is_some_and(|r| matches!(r.view.status, StackStatus::Unknown(_))) {
                    world.set_status(&scope, &stack, StackStatus::UpdateComplete, None);
                    self.edited((true, false), &scope, stack, &world);
                }
            }
            D::Outage(region, ..) => {
                world.set_outage(&(*region).into(), None);
                self.quiet(true);
            }
            D::Expired(_) => {
                self.shared.set_expired(false);
                self.quiet(true);
            }
            D::Metric(..) => {
                world.mend_metrics();
                self.shared.ledger().untrusted.clear();
            }
            D::Stall(_) => {
                self.processes.iter().for_each(|p| p.stand_still(false));
                self.quiet(true);
            }
            D::KillFile(..) => {
                // A file that is gone does not lift the kill.
                let _ = std::fs::remove_file(wavegate::daemon::kill_file::path(&self.shared.directory()));
            }
            _ => {}
        }
    }

    async fn kill(&mut self, mode: KillMode, cell: Option<usize>) {
        self.kills += 1;
        let id = KillId::new(format!("k-{}", self.kills));
        let kill = Kill {
            id: id.clone(),
            scope: cell.map_or(KillScope::All, |n| KillScope::Cell(scenario::cell(n).name.to_string())),
            mode,
            by: "on-call".into(),
            door: KillDoor::Cli,
            at: self.shared.world().wall(),
            reason: "it looks wrong".into(),
        };
        if let Some(Ok(())) = self.order(Input::Kill(kill)).await {
            self.shared.ledger().promised.push(Promise::Kill(id));
        }
    }

    async fn lift(&mut self) {
        let kills: Vec<KillId> = self.shared.ledger().state.kills.keys().cloned().collect();
        for kill in kills {
            self.order(Input::Lift { kill, by: ["ada".into(), "grace".into()] }).await;
        }
    }

    /// All faults stop. A calm run gets no help; in any other, people send back what is held or killed.
    async fn settle(&mut self) {
        self.calm_down();
        let deadline = self.shared.elapsed() + SETTLE;
        let by_itself = self.scenario.is_calm();
        while self.shared.elapsed() < deadline {
            tokio::time::sleep(LOOK_IN).await;
            self.supervise();
            if self.processes.is_empty() {
                self.start_daemon(false);
            }
            let open = self.open();
            if open.is_empty() && self.leader().is_some() {
                return;
            }
            for (rollout, waits) in open {
                if waits && !by_itself {
                    self.order(Input::Revert { rollout, by: "ada".into() }).await;
                }
            }
            // A hold that the policy asks for is where a calm run ends.
            if by_itself && self.all_wait() {
                return;
            }
        }
        let open = self.open();
        let what = format!("{open:?} did not settle after the faults had stopped");
        self.shared.ledger().broken(if by_itself { "L2" } else { "L1" }, what);
    }

    fn calm_down(&mut self) {
        let world = self.shared.world();
        self.shared.set_calm();
        world.set_fault_rate(0.0);
        world.clear_faults();
        world.mend_metrics();
        scenario::REGIONS.iter().for_each(|region| world.set_outage(&(*region).into(), None));
        for n in 0..self.scenario.cells {
            self.mend(&Disturbance::Stick(n, Duration::ZERO));
            self.mend(&Disturbance::UnknownStatus(n, Duration::ZERO));
        }
        for plan in self.scenario.proposals.iter().map(|p| &p.plan) {
            plan.targets.values().for_each(|t| {
                world.unstick(&t.scope, &t.stack);
            });
        }
        self.processes.iter().for_each(|p| {
            p.stand_still(false);
            p.set_clock(0);
        });
        let _ = std::fs::remove_file(wavegate::daemon::kill_file::path(&self.shared.directory()));
        self.shared.ledger().untrusted.clear();
        self.disruptions = 0;
        self.quiet(true);
        if self.processes.is_empty() {
            self.start_daemon(false);
        }
    }

    /// Open rollouts, and whether each waits for a person.
    fn open(&self) -> Vec<(RolloutId, bool)> {
        let ledger = self.shared.ledger();
        let state = &ledger.state;
        let waits = |r: &wavegate::model::state::Rollout| r.hold.is_some() || state.kill_mode(r).is_some();
        state.open_rollouts().map(|r| (r.plan.rollout.clone(), waits(r))).collect()
    }

    fn all_wait(&self) -> bool {
        self.open().iter().all(|(_, waits)| *waits)
    }

    async fn end(mut self, options: &Options) -> Ended {
        self.judge_outcomes();
        for process in self.processes.drain(..) {
            process.kill().await;
        }
        let fingerprint = self.judge_replay();
        let world = self.shared.world();
        let mut faults = self.shared.counts();
        faults.extend(world.fault_counts().iter().map(|(kind, n)| (format!("{kind:?}"), *n)));
        let writes = self.shared.writes();
        let mut ledger = self.shared.ledger();
        let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
        for rollout in ledger.state.rollouts.values() {
            let name = rollout.outcome().map_or("held".to_owned(), |o| format!("{o:?}"));
            *outcomes.entry(name).or_default() += 1;
        }
        let ended = Ended {
            seed: self.scenario.seed,
            violations: ledger.violations.clone(),
            steps: ledger.steps,
            rollouts: ledger.state.rollouts.len() as u64,
            writes,
            outcomes,
            faults,
            covered: std::mem::take(&mut ledger.covered),
            fingerprint,
        };
        drop(ledger);
        if let Some(keep) = options.keep.as_ref().filter(|_| !ended.violations.is_empty()) {
            std::fs::create_dir_all(keep).unwrap();
            let name = keep.join(format!("seed-{}.db", self.scenario.seed));
            let _ = std::fs::copy(self.shared.directory().join("journal.db"), name);
        }
        ended
    }

    /// L2: with nothing in its way, a change set comes to its end by itself, and to the right one.
    fn judge_outcomes(&self) {
        if !self.scenario.is_calm() {
            return;
        }
        let mut ledger = self.shared.ledger();
        for proposal in &self.scenario.proposals {
            let Some(rollout) = ledger.state.rollouts.get(&proposal.plan.rollout) else { continue };
            let (outcome, phase) = (rollout.outcome(), rollout.phase);
            let red = matches!(rollout.revert, Some(RevertReason::GateFailed { .. }));
            let wanted = wanted(proposal.kind, &proposal.plan);
            // A change of another rollout that breaks the same cell is seen here too.
            let broken_by_another =
                ledger.kinds.iter().any(|(id, kind)| *kind == Kind::Bad && *id != proposal.plan.rollout);
            if outcome != wanted && !broken_by_another {
                let id = proposal.plan.rollout.clone();
                let kind = proposal.kind;
                ledger.broken("L2", format!("{id} ({kind:?}) ended as {phase:?} (red: {red}), not as {wanted:?}"));
            }
        }
    }

    /// S19: what is in the file is what the daemon knew.
    fn judge_replay(&self) -> String {
        let file = self.shared.directory().join("journal.db");
        let replayed = Journal::open(&file).and_then(|j| j.replay().map(|state| (state, j)));
        let mut ledger = self.shared.ledger();
        match replayed {
            Ok((state, journal)) => {
                if state != ledger.state {
                    ledger.broken("S19", "the replayed journal gives another state");
                }
                journal.last_link().to_owned()
            }
            Err(error) => {
                ledger.broken("S19", format!("the journal cannot be replayed: {error}"));
                String::new()
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Item {
    Propose(usize),
    Begin(Disturbance),
    End(Disturbance),
    Restart(u32),
}

/// Executions whose answer is lost and whose effect comes late, and fences that do not get through at once.
fn make_late(scenario: &Scenario, world: &SimWorld) {
    let mut rng = fastrand::Rng::with_seed(scenario.seed.rotate_left(29));
    let (executions, deletions) = scenario.late_calls;
    for _ in 0..executions {
        let late = Fault::DelayedEffect(Duration::from_millis(rng.u64(1_000..15_000)));
        let fault = if rng.u8(0..4) == 0 { Fault::AmbiguousAfterEffect } else { late };
        world.inject(Operation::ExecuteChangeSet, fault, 1);
    }
    for _ in 0..deletions {
        world.inject(Operation::DeleteChangeSet, if rng.bool() { Fault::Throttle } else { Fault::Unavailable }, 1);
    }
}

fn place(n: usize) -> (Scope, StackName) {
    let cell = scenario::cell(n);
    (cell.scope(), cell.stacks.values().next().unwrap().clone())
}

fn add_stacks(scenario: &Scenario, world: &SimWorld) {
    for n in 0..scenario.cells {
        let (scope, stack) = place(n);
        let parameters = BTreeMap::from([("Delay".into(), "5".into())]);
        let tags = BTreeMap::from([("team".into(), "orders".into())]);
        world.add_stack(&scope, &stack, &V1, parameters, tags).unwrap();
        world.bind(&scope, scenario::cell(n).name.as_str(), stack);
    }
}

/// How a change set ends when nothing is in its way; none: it is held.
fn wanted(kind: Kind, plan: &Plan) -> Option<Outcome> {
    let holds = plan.revert.on_failure == wavegate::model::pipeline::OnFailure::Hold;
    match kind {
        _ if plan.look_only => Some(Outcome::Cancelled),
        Kind::Good | Kind::Values | Kind::Creates | Kind::Nothing => Some(Outcome::Succeeded),
        _ if holds => None,
        Kind::Bad | Kind::Fails | Kind::RollbackFails => Some(Outcome::Reverted),
    }
}
