//! One run: the change sets come in, the disturbances happen at their times, then all faults stop and everything must settle.

use super::ledger::{Promise, Violation};
use super::process::{Process, Setup};
use super::scenario::{self, Disturbance, Kind, Scenario, V1, When};
use super::stage::{Shared, WritePlan};
use super::{consent, invariants};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wavegate::cloud::sim::{Fault, Operation, SimOptions, SimWorld};
use wavegate::daemon::driver::Orders;
use wavegate::engine::decide::{Input, Refusal};
use wavegate::journal::Journal;
use wavegate::model::event::Outcome;
use wavegate::model::halt::RevertReason;
use wavegate::model::ids::{RolloutId, StackName};
use wavegate::model::plan::Plan;
use wavegate::model::stack::Scope;

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

/// A run under way.
pub(super) struct Run<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) shared: Arc<Shared>,
    pub(super) processes: Vec<Process>,
    started: u32,
    pub(super) kills: u32,
    pub(super) proposed: Vec<RolloutId>,
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
            alone: !self.scenario.standby,
        });
        self.processes.push(process);
    }

    /// Notes since when nothing keeps the daemon from its work.
    pub(super) fn quiet(&mut self, quiet: bool) {
        self.disruptions = if quiet { self.disruptions.saturating_sub(1) } else { self.disruptions + 1 };
        let now = self.shared.world().wall();
        self.shared.ledger().undisturbed_since = (self.disruptions == 0).then_some(now);
    }

    fn leader(&self) -> Option<Orders> {
        self.processes.iter().find_map(Process::orders)
    }

    /// Hands an input in; none: nobody took it in time, and nothing is known of it.
    pub(super) async fn order(&self, input: Input) -> Option<Result<(), Refusal>> {
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
            self.put(after, next);
        }
    }

    /// Puts something on the agenda, so long from now.
    fn put(&mut self, after: Duration, item: Item) {
        let at = self.shared.elapsed() + after;
        let place = self.agenda.partition_point(|(other, _)| *other <= at);
        self.agenda.insert(place, (at, item));
    }

    /// Lets time pass, and starts a daemon anew where one has ended by itself: somebody supervises it.
    async fn wait_until(&mut self, at: Duration) {
        while self.shared.elapsed() < at {
            let left = at.saturating_sub(self.shared.elapsed());
            tokio::select! {
                () = tokio::time::sleep(left.min(Duration::from_secs(5))) => {}
                () = self.shared.fired() => {}
            }
            let mut later = false;
            for (after, disturbance) in self.shared.take_due() {
                if after.is_zero() {
                    self.go_through(Item::Begin(disturbance)).await;
                } else {
                    self.put(after, Item::Begin(disturbance));
                    later = true;
                }
            }
            self.supervise();
            if later {
                return;
            }
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
        match self.order(Input::Propose { plan: Arc::new(plan), digest, by: proposal.by.into(), handed_in: None }).await
        {
            Some(Ok(())) => {
                self.shared.ledger().promised.push(Promise::Rollout(rollout.clone()));
                self.proposed.push(rollout);
            }
            Some(Err(_)) => self.refused += 1,
            None => {}
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
            self.give_what_is_asked().await;
            for (rollout, waits) in open {
                // Where another change broke the same cells, a person looks into it.
                if waits && (!by_itself || self.is_broken_by_another(&rollout)) {
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

    fn is_broken_by_another(&self, rollout: &RolloutId) -> bool {
        let guarded = self.scenario.proposals.iter().any(|p| p.plan.safeguards.is_some());
        let spoils = |kind: &Kind| matches!(kind, Kind::Bad | Kind::Deletes);
        guarded && self.shared.ledger().kinds.iter().any(|(id, kind)| spoils(kind) && id != rollout)
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
            let (forbidden, may_be) = (consent::is_forbidden(rollout), consent::may_be_denied(&ledger, rollout));
            // What a deletion took away is not there for the next one.
            let gone = ledger.kinds.iter().any(|(id, kind)| *kind == Kind::Deletes && *id != proposal.plan.rollout);
            let rejected = matches!(rollout.revert, Some(RevertReason::Rejected { .. }));
            let refused = rejected || (outcome == Some(Outcome::Cancelled) && may_be);
            if forbidden && outcome.is_some() && outcome != Some(Outcome::Cancelled) {
                let id = proposal.plan.rollout.clone();
                ledger.broken("S7", format!("{id} is forbidden, and ended as {phase:?}"));
            } else if outcome != wanted && !broken_by_another && !refused && !gone {
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

/// What is on the agenda.
#[derive(Clone, Debug)]
pub(super) enum Item {
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

/// Where the stack of a cell is.
pub(super) fn place(n: usize) -> (Scope, StackName) {
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
        Kind::Removes | Kind::Opaque | Kind::Deletes => Some(Outcome::Succeeded),
        _ if holds => None,
        Kind::Bad | Kind::Fails | Kind::RollbackFails => Some(Outcome::Reverted),
    }
}
