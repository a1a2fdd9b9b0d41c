//! One daemon as a process: it takes the lead, runs the real loop, stands still, dies.

use super::network::Network;
use super::scenario::Rates;
use super::stage::{Count, Shared};
use super::storage::{self, Disk};
use super::{invariants, scenario};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::task::JoinHandle;
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::{Core, Fatal};
use wavegate::daemon::driver::{Driver, Orders};
use wavegate::daemon::{kill_file, leader};
use wavegate::journal::JournalError;

/// How often a daemon renews its lease that has no other beside it: nobody waits for it, and a third of a run would be spent on it.
const RENEW_ALONE: Duration = Duration::from_secs(60);

/// One daemon, leading or standing by.
pub struct Process {
    task: JoinHandle<()>,
    leads: Arc<Mutex<Option<Orders>>>,
    gate: Arc<Gate>,
    clock: Clock,
}

/// Lets a process stand still, as SIGSTOP or a paused machine does.
#[derive(Debug, Default)]
struct Gate {
    closed: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// It has stood still since its last turn.
    stood_still: Arc<AtomicBool>,
}

/// How a daemon is started.
#[derive(Clone)]
pub struct Setup {
    pub shared: Arc<Shared>,
    pub rates: Rates,
    pub seed: u64,
    pub kill_file: bool,
    /// Each start has a number of its own.
    pub number: u32,
    pub standby: bool,
    /// No other daemon looks at its lease.
    pub alone: bool,
}

impl Process {
    /// Starts a daemon.
    pub fn start(setup: Setup) -> Self {
        let leads = Arc::new(Mutex::new(None));
        let gate = Arc::new(Gate::default());
        let clock = Clock::world(setup.shared.world().wall());
        let life = live(setup, Arc::clone(&leads), Arc::clone(&gate.stood_still), clock.clone());
        let task = tokio::spawn(stoppable(Box::pin(life), Arc::clone(&gate)));
        Self { task, leads, gate, clock }
    }

    /// The way to give it orders, when it leads.
    pub fn orders(&self) -> Option<Orders> {
        self.leads.lock().unwrap().clone().filter(|_| !self.task.is_finished())
    }

    /// True when it has ended by itself.
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends it at once, calls in flight and all.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Stops and continues it.
    pub fn stand_still(&self, still: bool) {
        self.gate.closed.store(still, Ordering::Relaxed);
        if still {
            self.gate.stood_still.store(true, Ordering::Relaxed);
        } else if let Some(waker) = self.gate.waker.lock().unwrap().take() {
            waker.wake();
        }
    }

    /// True while it stands still.
    pub fn stands_still(&self) -> bool {
        self.gate.closed.load(Ordering::Relaxed)
    }

    /// Sets its wall clock wrong.
    pub fn set_clock(&self, wrong_by_ms: i64) {
        self.clock.set_wrong_by(wrong_by_ms);
    }
}

async fn stoppable(mut life: Pin<Box<dyn Future<Output = ()> + Send>>, gate: Arc<Gate>) {
    std::future::poll_fn(move |cx| {
        if gate.closed.load(Ordering::Relaxed) {
            *gate.waker.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        life.as_mut().poll(cx)
    })
    .await;
}

async fn live(setup: Setup, leads: Arc<Mutex<Option<Orders>>>, stood_still: Arc<AtomicBool>, clock: Clock) {
    let shared = Arc::clone(&setup.shared);
    let mut lead = loop {
        let directory = shared.directory();
        let holder = format!("daemon {}", setup.number);
        match leader::take_as(&directory, holder).await {
            // A torn write has moved the state while this one stood by: it leads where nothing is any more.
            Ok(_) if directory != shared.directory() => {}
            Ok(lead) => break lead,
            Err(leader::LeadError::Journal(JournalError::Led { .. })) => {
                look_again(&shared).await;
            }
            Err(error) => return shared.ledger().broken("S19", format!("a daemon cannot start: {error}")),
        }
    };
    if setup.standby {
        shared.count(Count::Takeover);
    }
    let directory = shared.directory();
    match lead.journal.replay() {
        Ok(state) => storage::judge_start(&shared, &state),
        Err(error) => return shared.ledger().broken("S19", format!("the journal cannot be replayed: {error}")),
    }
    lead.journal.set_tap(Box::new(Disk::new(&shared, &directory.join("journal.db"))));
    let epoch = lead.journal.epoch();
    let kill = setup.kill_file.then(|| kill_file::path(&directory));
    let core = match Core::new(lead.journal, &lead.holder, kill.clone(), clock.now()) {
        Ok(core) => core,
        Err(error) => return ended(&shared, &error),
    };
    let network =
        Arc::new(Network::new(&shared, setup.rates, setup.seed, epoch, kill.clone(), Arc::clone(&stood_still)));
    let (driver, orders) = Driver::new(core, Arc::clone(&network), clock, kill);
    let driver = if setup.alone { driver.renew_every(RENEW_ALONE) } else { driver };
    network.connect(orders.clone());
    *leads.lock().unwrap() = Some(orders);
    let witness = Arc::clone(&shared);
    let mut observer = move |core: &mut Core, _| {
        let now = witness.world().wall();
        stood_still.store(false, Ordering::Relaxed);
        drop(core.take_fresh());
        invariants::turned(&mut witness.ledger(), core.objections(), now);
    };
    let end = driver.run(&mut observer).await;
    *leads.lock().unwrap() = None;
    if let Err(error) = end {
        ended(&shared, &error);
    }
}

/// A standby tries again soon when the leader is gone, and now and then while it lives: that a try is refused needs no proof every second.
async fn look_again(shared: &Shared) {
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        if shared.ledger().leaderless_since.is_some() {
            return;
        }
    }
}

/// A daemon may end because its disk failed or because another one leads. Anything else is a defect.
fn ended(shared: &Shared, error: &Fatal) {
    match error {
        Fatal::Journal(JournalError::Overtaken { .. } | JournalError::Led { .. }) => {}
        Fatal::Journal(JournalError::Storage { .. }) if shared.take_write_failed() => {}
        // Two daemons met in the file: the lease should have told the old one first.
        Fatal::Journal(error @ JournalError::Storage { .. }) => {
            shared.ledger().broken("S4", format!("a daemon was stopped by the file, not by its lease: {error:?}"));
        }
        Fatal::Journal(other) => shared.ledger().broken("S19", format!("a daemon ended: {other}")),
        Fatal::Illegal(error) => shared.ledger().broken("S24", format!("a decision does not fit: {error}")),
        Fatal::Livelock => shared.ledger().broken("L5", "decisions did not come to rest"),
    }
    let _ = scenario::START;
}
