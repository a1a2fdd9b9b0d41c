//! One daemon as a process: it takes the lead, runs the real loop, takes orders, stands still, dies.

use crate::wire::Wire;
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use wavegate::daemon::clock::Clock;
use wavegate::daemon::core::{Core, Fatal};
use wavegate::daemon::driver::{Driver, Orders};
use wavegate::daemon::issuer::Objection;
use wavegate::daemon::{kill_file, leader};
use wavegate::engine::decide::Input;
use wavegate::model::event::Outcome;
use wavegate::model::halt::{Hold, Kill, KillDoor, KillMode, KillScope};
use wavegate::model::ids::RolloutId;
use wavegate::model::plan::Plan;
use wavegate::model::state::State;

/// How long a story may take, in virtual time: the longest bake given up, and a revert.
const PATIENCE: Duration = Duration::from_secs(4 * 3600);

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
    /// One that leads in this state directory; or why it does not come up.
    pub async fn start(
        dir: &Path,
        number: u32,
        clock: Clock,
        wire: Wire,
        objections: Arc<Mutex<Vec<Objection>>>,
    ) -> Result<Self, Fatal> {
        let gate = Arc::new(Gate::default());
        let (wrote, seq) = watch::channel(0);
        let (ready, orders) = oneshot::channel();
        let life = live(dir.to_owned(), number, clock, ready, Observed { wire, wrote, objections });
        let task = tokio::spawn(stoppable(Box::pin(life), Arc::clone(&gate)));
        match orders.await {
            Ok(orders) => Ok(Self { orders, task, gate, seq }),
            Err(_) => Err(task.await.expect("it says why").expect_err("it did not come up")),
        }
    }

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

/// Orders and waiting.
impl Daemon {
    pub async fn propose(&self, plan: &Plan) {
        let (plan, digest) = (Arc::new(plan.clone()), plan.digest().unwrap());
        self.input(Input::Propose { plan, digest, by: "test".into(), handed_in: None }).await;
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
