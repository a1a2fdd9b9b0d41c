//! The way between a daemon and the world: within the call budget where there is one, with the retries of the real client, and with
//! a place where a test can step in. A call that has left arrives, though its sender dies.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;
use wavegate::cloud::Priority;
use wavegate::cloud::budget::{Budget, BudgetOptions};
use wavegate::cloud::retry::{Failure, RetryPolicy, retry};
use wavegate::cloud::sim::SimWorld;
use wavegate::daemon::perform::{self, Perform};
use wavegate::engine::effect::{Call, Effect, EffectId, Reply};
use wavegate::model::ids::Region;
use wavegate::model::observation::{ProviderError, ProviderErrorKind};

/// Called with each effect, just before it is sent.
pub type StepIn = Arc<dyn Fn(&Effect, &SimWorld) + Send + Sync>;

/// What all daemons of one stage send through.
#[derive(Clone, Default)]
pub struct Wires {
    pub budget: Option<BudgetOptions>,
    pub step_in: Option<StepIn>,
    /// The provider turns everything away for its rate.
    pub overloaded: Arc<AtomicBool>,
    /// Each attempt that left: when, since the runtime's start, and where to.
    pub sent: Arc<Mutex<Vec<(Instant, Region)>>>,
}

impl Wires {
    /// The most attempts that one region got within any `span`, among those at or after `from`.
    pub fn peak(&self, span: Duration, from: Instant) -> usize {
        let sent = self.sent.lock().unwrap();
        let late: Vec<_> = sent.iter().filter(|(at, _)| *at >= from).collect();
        let within = |(at, region): &(Instant, Region)| {
            late.iter().filter(|(other, of)| of == region && *other >= *at && *other < *at + span).count()
        };
        late.iter().map(|first| within(first)).max().unwrap_or(0)
    }

    pub fn sent_since(&self, from: Instant) -> usize {
        self.sent.lock().unwrap().iter().filter(|(at, _)| *at >= from).count()
    }
}

/// One daemon's end of it. A budget is a process's own: a new daemon begins with a full one.
pub struct Wire {
    world: SimWorld,
    wires: Wires,
    budget: Option<Budget>,
}

impl Wire {
    pub fn new(world: &SimWorld, wires: &Wires) -> Self {
        let budget = wires.budget.map(Budget::new);
        Self { world: world.clone(), wires: wires.clone(), budget }
    }
}

impl Perform for Wire {
    async fn perform(&self, effect: Effect) -> (EffectId, Reply) {
        if let Some(step_in) = &self.wires.step_in {
            step_in(&effect, &self.world);
        }
        let id = effect.id;
        let reply = match &self.budget {
            None => send(&self.world, effect).await,
            Some(budget) => client(&self.world, &self.wires, budget, effect).await,
        };
        (id, reply)
    }
}

/// A request that has left arrives, though its sender dies.
async fn send(world: &SimWorld, effect: Effect) -> Reply {
    let world = world.clone();
    let sent = tokio::spawn(async move { perform::perform(&world, effect).await.1 });
    sent.await.expect("the world answers")
}

/// As `cloud::call::Caller` does it around the SDK: a turn for each attempt, and another attempt after a refusal for the rate.
async fn client(world: &SimWorld, wires: &Wires, budget: &Budget, effect: Effect) -> Reply {
    let policy = match effect.call {
        Call::ExecuteChangeSet { .. } | Call::CreateChangeSet { .. } | Call::DeleteStack { .. } => &RetryPolicy::EFFECT,
        _ => &RetryPolicy::READ,
    };
    let priority = if effect.urgent { Priority::Reserved } else { Priority::Normal };
    let attempt = || async {
        let turn = budget.acquire(&effect.scope, priority).await;
        wires.sent.lock().unwrap().push((Instant::now(), effect.scope.region.clone()));
        let reply = match wires.overloaded.load(Ordering::Relaxed) {
            true => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Err(throttled())
            }
            false => send(world, effect.clone()).await,
        };
        drop(turn);
        reply.map_err(|error| match error.kind {
            ProviderErrorKind::Throttled => {
                budget.throttled(&effect.scope);
                Failure::Again(error)
            }
            ProviderErrorKind::Unavailable => Failure::Again(error),
            _ => Failure::Final(error),
        })
    };
    retry(policy, effect.id.0, attempt, |_, _| {}).await
}

pub fn throttled() -> ProviderError {
    ProviderError {
        operation: "any".into(),
        kind: ProviderErrorKind::Throttled,
        code: "Throttling".into(),
        message: "Rate exceeded".into(),
    }
}
