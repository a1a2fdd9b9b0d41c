//! What all parts of one simulation share: the world, the ledger, what is counted, and whether faults still happen.

use super::ledger::Ledger;
use super::scenario::{Disturbance, Scenario, When};
use super::storage::Fault;
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use wavegate::cloud::budget::BudgetOptions;
use wavegate::cloud::sim::SimWorld;
use wavegate::model::event::{Direction, Event};
use wavegate::model::ids::RolloutId;

/// Faults that are counted here; the world counts its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Count {
    DeliveredTwice,
    AnsweredTwice,
    Detached,
    Reordered,
    PartialPage,
    Expired,
    DiskFull,
    IoBefore,
    IoAfter,
    Torn,
    CrashInRecovery,
    Takeover,
    UnseenIntermediate,
}

/// Where writes go wrong, by their number, for crash points.
#[derive(Clone, Debug, Default)]
pub struct WritePlan {
    /// The fate of the n-th write from the start, counted from 1.
    pub at: BTreeMap<u64, Fault>,
}

impl fmt::Display for WritePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<_> = self.at.iter().map(|(n, fault)| format!("{n}:{}", fault.name())).collect();
        f.write_str(&each.join(","))
    }
}

impl FromStr for WritePlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |part: &str| {
            let (n, fault) = part.split_once(':')?;
            Some((n.parse().ok()?, Fault::ALL.into_iter().find(|f| f.name() == fault)?))
        };
        let at: Option<BTreeMap<_, _>> = text.split(',').map(one).collect();
        Ok(Self { at: at.ok_or("write it as 5:before,8:torn")? })
    }
}

/// What all parts share.
pub struct Shared {
    world: SimWorld,
    ledger: Mutex<Ledger>,
    rng: Mutex<Rng>,
    counts: Mutex<BTreeMap<String, u64>>,
    born: Instant,
    calm: AtomicBool,
    expired: AtomicBool,
    write_rate: f64,
    failed_writes: AtomicU32,
    plan: Mutex<WritePlan>,
    writes: Mutex<u64>,
    budget: (u32, f64),
    /// Disturbances that wait for a record, and those whose record is there.
    waiting: Mutex<Vec<(When, Disturbance)>>,
    due: Mutex<Vec<(Duration, Disturbance)>>,
    fired: Notify,
    seen: Mutex<(u32, u32)>,
    /// The state directory of the daemons; another one after a torn write.
    directories: Mutex<(PathBuf, u32)>,
}

impl Shared {
    pub fn new(scenario: &Scenario, world: SimWorld, root: &Path, plan: WritePlan) -> Self {
        let mut ledger = Ledger::default();
        ledger.meter.limits = (f64::from(scenario.budget.0), scenario.budget.1);
        ledger.kinds = scenario.proposals.iter().map(|p| (p.plan.rollout.clone(), p.kind)).collect();
        Self {
            world,
            ledger: Mutex::new(ledger),
            rng: Mutex::new(Rng::with_seed(scenario.seed.rotate_left(17))),
            counts: Mutex::default(),
            born: Instant::now(),
            calm: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            write_rate: scenario.rates.write,
            failed_writes: AtomicU32::new(0),
            plan: Mutex::new(plan),
            writes: Mutex::default(),
            budget: scenario.budget,
            waiting: Mutex::new(
                scenario.disturbances.iter().filter(|(when, _)| !matches!(when, When::At(_))).cloned().collect(),
            ),
            due: Mutex::default(),
            fired: Notify::new(),
            seen: Mutex::default(),
            directories: Mutex::new((root.to_owned(), 0)),
        }
    }

    /// Looks whether a disturbance waits for these records.
    pub fn recorded(&self, events: &[Event]) {
        let mut seen = self.seen.lock().unwrap();
        for event in events {
            if let Event::GuardrailsJudged { rollout, judged } = event {
                self.asked(rollout, judged.request.is_some());
            }
            match event {
                Event::OperationIntended { operation, .. } if operation.direction == Direction::Forward => seen.0 += 1,
                Event::HealthJudged { .. } => seen.1 += 1,
                _ => continue,
            }
            let is_due = |when: &When| match when {
                When::AfterIntent(n) => *n <= seen.0,
                When::AfterLook(n) => *n <= seen.1,
                When::At(_) | When::Asked(..) => false,
            };
            let mut waiting = self.waiting.lock().unwrap();
            let (due, rest) = waiting.drain(..).partition(|(when, _)| is_due(when));
            *waiting = rest;
            let due: Vec<(When, Disturbance)> = due;
            if !due.is_empty() {
                self.due.lock().unwrap().extend(due.into_iter().map(|(_, what)| (Duration::ZERO, what)));
                self.fired.notify_one();
            }
        }
    }

    /// What people were going to answer is due from now on; where nobody is asked, it never is.
    fn asked(&self, rollout: &RolloutId, people: bool) {
        let is_its = |n: usize| format!("r-{n}") == rollout.as_str();
        let mut due = self.due.lock().unwrap();
        self.waiting.lock().unwrap().retain(|(when, what)| match when {
            When::Asked(n, after) if is_its(*n) => {
                due.extend(people.then(|| (*after, what.clone())));
                false
            }
            _ => true,
        });
        if !due.is_empty() {
            self.fired.notify_one();
        }
    }

    /// True while a disturbance waits for its record.
    pub fn waits(&self) -> bool {
        !self.waiting.lock().unwrap().is_empty()
    }

    /// Waits for a disturbance whose record is there.
    pub async fn fired(&self) {
        self.fired.notified().await;
    }

    /// Disturbances that are due now, or so long from now on.
    pub fn take_due(&self) -> Vec<(Duration, Disturbance)> {
        std::mem::take(&mut *self.due.lock().unwrap())
    }

    pub fn world(&self) -> SimWorld {
        self.world.clone()
    }

    /// The ledger. Never ask the world while it is locked: the world tells its witness, and the witness locks it too.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    pub fn elapsed(&self) -> Duration {
        self.born.elapsed()
    }

    pub fn count(&self, what: Count) {
        self.count_named(&format!("{what:?}"));
    }

    pub fn count_named(&self, what: &str) {
        *self.counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap().clone()
    }

    /// True once no fault happens any more.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub fn set_calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.set_expired(false);
    }

    pub fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    pub fn set_expired(&self, expired: bool) {
        self.expired.store(expired, Ordering::Relaxed);
    }

    pub fn budget(&self) -> BudgetOptions {
        BudgetOptions { burst: self.budget.0, per_second: self.budget.1, ..BudgetOptions::default() }
    }

    /// A number below `below`, by chance.
    pub fn draw(&self, below: u64) -> u64 {
        self.rng.lock().unwrap().u64(0..below.max(1))
    }

    /// Notes that a write failed on purpose.
    pub fn write_failed(&self) {
        self.failed_writes.fetch_add(1, Ordering::Relaxed);
    }

    /// True once for each write that failed on purpose.
    pub fn take_write_failed(&self) -> bool {
        self.failed_writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// How many writes there were.
    pub fn writes(&self) -> u64 {
        *self.writes.lock().unwrap()
    }

    /// The fate of the next write: by plan, or by chance.
    pub fn next_write(&self) -> Option<Fault> {
        let number = {
            let mut writes = self.writes.lock().unwrap();
            *writes += 1;
            *writes
        };
        if let Some(fault) = self.plan.lock().unwrap().at.get(&number) {
            return Some(*fault);
        }
        if self.is_calm() || self.write_rate == 0.0 {
            return None;
        }
        let mut rng = self.rng.lock().unwrap();
        let all = [Fault::Full, Fault::Before, Fault::After, Fault::Torn];
        (rng.f64() < self.write_rate).then(|| all[rng.usize(0..all.len())])
    }

    /// Where the daemons' state is now.
    pub fn directory(&self) -> PathBuf {
        self.directories.lock().unwrap().0.clone()
    }

    /// A new directory, in which the daemons find their state from now on.
    pub fn next_directory(&self) -> PathBuf {
        let mut directories = self.directories.lock().unwrap();
        directories.1 += 1;
        let next = directories.0.with_file_name(format!("state-{}", directories.1));
        std::fs::create_dir_all(&next).unwrap();
        directories.0 = next.clone();
        next
    }
}
